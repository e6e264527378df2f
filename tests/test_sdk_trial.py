"""The SDK as its users meet it: the example of the user-experience document, section 3, from data to benchmark.

One story in one test, in the order in which a newcomer runs it; what each call promises is checked on the way.
"""

from __future__ import annotations

import json
import math
import sys

import pytest

CONFIG = """\
model:
  vocab_size: 1024
  hidden_dim: 16
  num_heads: 2
  intermediate_dim: 32
  layers_per_stack: 1
  h_cycles: 1
  l_cycles: 1
data:
  seq_len: 128
optim:
  lr: 1e-2
  warmup_steps: 2
mesh:
  data: 1
train:
  num_steps: 4
  batch_size: 2
  eval_every: 2
  log_every: 1
  wandb: disabled
"""


def mbpp_rows() -> list[dict]:
    """Twelve tasks in MBPP's format, with the line ends and the numbers of the official file."""
    rows = []
    for task_id in [*range(11, 15), *range(511, 515), *range(601, 605)]:
        step = task_id % 7 + 1
        rows.append(
            {
                "task_id": task_id,
                "text": f"Write a function to add {step} to a number.",
                "code": f"def add_{step}(n):\r\n  return n + {step} ",
                "test_list": [f"assert add_{step}({n}) == {n + step}" for n in (0, 5, -3)],
                "test_setup_code": "",
                "challenge_test_list": [],
            }
        )
    return rows


def test_the_sdk_example(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mbpp.jsonl").write_text("\n".join(json.dumps(row) for row in mbpp_rows()) + "\n")
    (tmp_path / "mbpp_dev.yaml").write_text(CONFIG)

    import hrm_codegen as hc

    assert {"HRMCodeGen", "Trainer", "evaluator", "data", "utils", "errors", "__version__"} <= set(dir(hc))

    # Data, as `hrm-codegen data mbpp`.
    reports = hc.data.prepare_mbpp(source="mbpp.jsonl")
    assert {report.split: report.problems for report in reports if report.problems} == {
        "train": 4,
        "validation": 4,
        "test": 4,
    }

    # 3.2 Train, from scratch: `model=None`.
    trainer = hc.Trainer(
        model=None,
        train_dataset="data/mbpp/train.bin",
        eval_dataset="data/mbpp/validation.bin",
        config="mbpp_dev.yaml",
    )
    metrics = trainer.fit()
    assert all(type(value) is float for value in metrics.values())
    assert {"train_loss", "eval_loss"} <= set(metrics)
    assert (tmp_path / "checkpoints" / "best.pt").is_file()

    # 3.1 Load.
    model = hc.HRMCodeGen.from_pretrained("checkpoints/best.pt", device="auto")
    assert model.device in ("cpu", "cuda", "tpu", "mps", "rocm")
    assert model.config == trainer.model.config

    # 3.3 Generate.
    prompt = "Write a python function to compute gcd"
    code = model.generate_code(prompt=prompt, max_tokens=16, temperature=0.7, top_p=0.95)
    assert isinstance(code, str)
    assert model.generate_code(prompt, max_tokens=16, seed=0) == model.generate_code(prompt, max_tokens=16, seed=0)
    greedy = model.generate_code(prompt, max_tokens=16, temperature=0)
    shorter = model.generate_code(prompt, max_tokens=8, temperature=0).rstrip("\N{REPLACEMENT CHARACTER}")
    assert greedy.startswith(shorter)
    assert len(shorter) < len(greedy)
    assert model.beam_search(prompt, max_tokens=16, num_beams=1) == greedy
    with pytest.raises(ValueError, match=r"^prompt must be non-empty and <2048 chars$"):
        model.generate_code("x" * 2048)

    # 3.4 Evaluate: this model knows nothing, a model that answers with the reference everything.
    scores = hc.evaluator.pass_at_k(model=model, dataset="data/mbpp/test_raw.json", k=(1, 2), timeout=2.0)
    assert set(scores) == {"pass@1", "pass@2"}
    assert all(0.0 <= value <= 1.0 for value in scores.values())

    solutions = {problem.text: problem.code for problem in hc.data.load_problems("data/mbpp/test_raw.json")}

    class Oracle:
        def generate_code(self, prompt: str, **_: object) -> str:
            return next(code for text, code in solutions.items() if prompt.startswith(text))

    perfect = hc.evaluator.pass_at_k(Oracle(), "data/mbpp/test_raw.json", k=(1, 2))
    assert perfect == {"pass@1": 1.0, "pass@2": 1.0}

    # 3.5 Utilities, and fine-tuning the loaded model further.
    model.save_checkpoint("mine.safetensors")
    assert hc.HRMCodeGen.from_pretrained("mine.safetensors").sha256 == model.sha256
    figures = hc.utils.benchmark(model, seq_len=64, batch_size=2)
    for name in ("tokens_per_sec", "ms_per_step", "compile_sec", "peak_mem_mb"):
        assert math.isfinite(figures[name])
        assert figures[name] > 0
    again = hc.Trainer(model, "data/mbpp/train.bin", None, "mbpp_dev.yaml").fit()
    assert again["steps"] == 4.0
    assert not any(name == "eval_loss" for name in again)
    assert "torch" not in sys.modules
