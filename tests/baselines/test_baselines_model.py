"""Models of Transformers behind our interface: the same calls, reproducible draws, where answers end, errors."""

from __future__ import annotations

import inspect
import json
import math
import shutil
from pathlib import Path

import pytest

pytestmark = pytest.mark.extras
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from small_models import ADD, byte_tokenizer, random_model, save  # noqa: E402

from hrm_codegen.baselines import BaselineModel  # noqa: E402
from hrm_codegen.baselines.decoding import GumbelNoise, draw_seed  # noqa: E402
from hrm_codegen.baselines.loading import find_torch_device  # noqa: E402
from hrm_codegen.codegen import HRMCodeGen  # noqa: E402
from hrm_codegen.errors import (  # noqa: E402
    CheckpointError,
    DeviceError,
    ModelNotFoundError,
    PromptError,
    UsageError,
)
from hrm_codegen.evaluator import evaluate  # noqa: E402

PROMPTS = ["Add two numbers.", "Reverse a string, and then return it twice.\nassert f('ab') == 'baba'", "Nothing."]
ANSWER = "def add(a, b):\n    return a + b\n"


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def model(request: pytest.FixtureRequest) -> BaselineModel:
    return BaselineModel.from_pretrained(f"hf:{request.getfixturevalue(f'{request.param}_folder')}", device="cpu")


def test_it_has_the_interface_of_our_models(model: BaselineModel) -> None:
    for name in ("generate", "generate_code", "beam_search"):
        ours = inspect.signature(getattr(HRMCodeGen, name))
        assert str(inspect.signature(getattr(BaselineModel, name))) == str(ours)
    for section, field in (("eval", "k"), ("sample", "seed"), ("sample", "temperature"), ("data", "prompt_tests")):
        assert hasattr(getattr(model.config, section), field)
    assert model.device == "cpu"
    assert model.num_params == sum(parameter.numel() for parameter in model.model.parameters())
    assert len(model.sha256) == 64
    assert Path(model.metadata["path"]).is_dir()
    assert model.metadata["protocol"] == "completion"
    assert "completion" in repr(model)


def test_equal_weights_have_one_hash(model: BaselineModel, tmp_path: Path) -> None:
    shutil.copytree(model.metadata["path"], tmp_path / "copy")
    assert BaselineModel.from_pretrained(tmp_path / "copy").sha256 == model.sha256
    other = BaselineModel.from_pretrained(tmp_path / "copy")
    with torch.no_grad():
        next(other.model.parameters()).add_(1)
    assert other.sha256 != model.sha256


def test_draws_depend_on_seed_and_number_alone(model: BaselineModel) -> None:
    def draw(prompts: list[str], seeds: list[int], **options: int) -> list[list[str]]:
        return model.generate(prompts, seeds=seeds, max_tokens=12, **options)

    together = draw(PROMPTS, [3, 4, 5], num_samples=4)
    assert together == draw(PROMPTS, [3, 4, 5], num_samples=4)
    assert together == draw(PROMPTS, [3, 4, 5], num_samples=4, batch_size=1)
    assert together == draw(PROMPTS, [3, 4, 5], num_samples=4, batch_size=5)
    assert together[::-1] == draw(PROMPTS[::-1], [5, 4, 3], num_samples=4)
    assert [answers[:2] for answers in together] == draw(PROMPTS, [3, 4, 5], num_samples=2)
    assert draw([PROMPTS[1]], [4], num_samples=4) == [together[1]]
    assert len({answer for answers in together for answer in answers}) == 12
    assert draw([PROMPTS[1]], [9], num_samples=4) != [together[1]]


def test_seeds_come_from_the_configuration(model: BaselineModel) -> None:
    drawn = model.generate(PROMPTS[:2], max_tokens=9)
    first = model.config.sample.seed
    assert drawn == model.generate(PROMPTS[:2], seeds=[first, first + 1], max_tokens=9)
    assert model.generate_code(PROMPTS[0], max_tokens=9) == drawn[0][0]
    assert model.generate_code(PROMPTS[0], max_tokens=9, seed=5) != drawn[0][0]


def test_temperature_zero_is_the_greedy_search_of_transformers(model: BaselineModel) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(model.metadata["path"])
    plain = transformers.AutoModelForCausalLM.from_pretrained(model.metadata["path"])
    for prompt, answers in zip(
        PROMPTS, model.generate(PROMPTS, temperature=0, num_samples=2, max_tokens=20), strict=True
    ):
        question = model.protocol.ask(prompt)
        output = plain.generate(torch.tensor([question.tokens]), max_new_tokens=20, do_sample=False, pad_token_id=0)
        text = tokenizer.decode(output[0, len(question.tokens) :], skip_special_tokens=True)
        assert answers == [question.answer(text)] * 2
    assert (
        model.beam_search(PROMPTS[0], max_tokens=20, num_beams=1)
        == model.generate(PROMPTS[:1], temperature=0, max_tokens=20)[0][0]
    )


def test_noise_draws_in_proportion(model: BaselineModel) -> None:
    shares = torch.tensor([0.5, 0.3, 0.2, 0.0])
    noise = GumbelNoise([torch.Generator().manual_seed(draw_seed(0, number)) for number in range(4000)])
    drawn = noise(None, shares.log().expand(4000, 4)).argmax(-1)
    counts = torch.bincount(drawn, minlength=4) / 4000
    assert counts[3] == 0
    assert torch.allclose(counts, shares, atol=4 * math.sqrt(0.25 / 4000))


def test_top_k_of_one_is_greedy(model: BaselineModel) -> None:
    greedy = model.generate(PROMPTS, temperature=0, max_tokens=10)
    assert model.generate(PROMPTS, temperature=2.0, top_k=1, max_tokens=10) == greedy
    assert model.generate(PROMPTS, temperature=2.0, top_p=1e-6, max_tokens=10) == greedy


def test_the_limit_holds(model: BaselineModel) -> None:
    tokens = [len(answer.encode()) for answers in model.generate(PROMPTS, max_tokens=5) for answer in answers]
    assert all(0 < count <= 15 for count in tokens)  # a byte that is no UTF-8 becomes three
    room = model.context - len(model.protocol.ask(PROMPTS[0]).tokens)
    with pytest.raises(UsageError, match=r"prompt 0 has \d+ tokens .* context of 1024"):
        model.generate(PROMPTS, max_tokens=room + 1)
    with pytest.raises(PromptError, match="prompt 1 has"):
        model.generate(["Add.", "long " * 300])


def test_impossible_arguments(model: BaselineModel) -> None:
    for options in ({"temperature": -1}, {"top_p": 0}, {"max_tokens": 0}, {"num_samples": 0}, {"seeds": [1, 2]}):
        with pytest.raises(UsageError):
            model.generate(["Add."], **options)
    for call in (model.generate_code, model.beam_search, lambda prompt: model.generate([prompt])):
        with pytest.raises(PromptError):
            call("  ")
    assert model.generate([]) == []


def test_a_base_model_is_cut_after_the_function(knowing_gpt2: Path) -> None:
    model = BaselineModel.from_pretrained(knowing_gpt2)
    assert model.generate_code(ADD, temperature=0) == f"{ANSWER}\n\n"
    assert model.generate_code(ADD, temperature=0, max_tokens=14) == "def add(a, b):\n"
    assert model.beam_search(ADD, max_tokens=80, num_beams=3) == f"{ANSWER}\n\n"


def test_a_chat_model_is_asked_by_its_template(knowing_chat: Path) -> None:
    model = BaselineModel.from_pretrained(f"hf:{knowing_chat}")
    assert model.metadata["protocol"] == "chat"
    assert model.generate_code(ADD, temperature=0) == ANSWER
    asked = model.protocol.ask(ADD).tokens
    text = byte_tokenizer().decode(asked)
    assert text.startswith("<|user|>You are an expert Python programmer")
    assert text.endswith("<|end|><|assistant|>```python\n")


def test_generation_stops_early(knowing_gpt2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = BaselineModel.from_pretrained(knowing_gpt2)
    widths = []
    generate = model.model.generate

    def spy(**options):
        output = generate(**options)
        widths.append(output.shape[1] - options["input_ids"].shape[1])
        return output

    monkeypatch.setattr(model.model, "generate", spy)
    model.generate([ADD], temperature=0, max_tokens=400)
    assert widths[0] < 60
    others = [f"Say {number}." for number in range(3)]
    widths.clear()
    answers = model.generate([ADD] * 5 + others, temperature=0, max_tokens=70)
    assert answers == [model.generate([prompt], temperature=0, max_tokens=70)[0] for prompt in [ADD] * 5 + others]
    assert widths[0] < 60


def test_an_evaluation_scores_it(knowing_gpt2: Path, tmp_path: Path) -> None:
    row = {"task_id": 1, "text": ADD.split("\n")[0], "code": ANSWER, "test_list": ["assert add(1, 2) == 3"]}
    huge = {"task_id": 2, "text": "long " * 300, "code": ANSWER, "test_list": ["assert add(1, 2) == 3"]}
    data = tmp_path / "data.jsonl"
    data.write_text(f"{json.dumps(row)}\n{json.dumps(huge)}\n")
    model = BaselineModel.from_pretrained(knowing_gpt2)
    result = evaluate(model, data, k=1, temperature=0)
    assert result.metrics["pass@1"] == 0.5
    assert result.model["params"] == model.num_params
    assert result.model["sha256"] == model.sha256
    assert result.model["name"] == "knowing-gpt2 (completion)"
    assert "the model refused the prompt" in result.samples[1].result.message


def test_a_setting_of_the_checkpoint_changes_nothing(gpt2_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(gpt2_folder, tmp_path / "penalty")
    settings = json.loads((folder / "generation_config.json").read_text())
    settings |= {"repetition_penalty": 9.0, "do_sample": True, "temperature": 0.1, "eos_token_id": [0, 11]}
    (folder / "generation_config.json").write_text(json.dumps(settings))
    changed, plain = BaselineModel.from_pretrained(folder), BaselineModel.from_pretrained(gpt2_folder)
    assert changed.protocol.end_ids == (0, 11)
    assert plain.protocol.end_ids == (0,)
    changed.protocol.end_ids = (0,)
    assert changed.generate(PROMPTS, max_tokens=12) == plain.generate(PROMPTS, max_tokens=12)


def test_what_is_no_causal_model_is_refused(tmp_path: Path) -> None:
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    bert = transformers.BertConfig(vocab_size=257, architectures=["BertForMaskedLM"], **small)
    t5 = transformers.T5Config(vocab_size=257, d_model=16, num_layers=1)
    for name, config in {"bert": bert, "t5": t5}.items():
        config.save_pretrained(tmp_path / name)
        with pytest.raises(CheckpointError, match="is not a causal language model"):
            BaselineModel.from_pretrained(tmp_path / name)


def test_damaged_folders(gpt2_folder: Path, tmp_path: Path) -> None:
    def changed(name: str, file: str, content: bytes | None) -> Path:
        folder = shutil.copytree(gpt2_folder, tmp_path / name)
        if content is None:
            (folder / file).unlink()
        else:
            (folder / file).write_bytes(content)
        return folder

    config = json.loads((gpt2_folder / "config.json").read_text())
    deeper, unknown, custom = config | {"n_layer": 3}, {"model_type": "nobody"}, {"auto_map": {"AutoConfig": "x.C"}}
    broken = {
        "no-weights": ("model.safetensors", None),
        "no-tokenizer": ("tokenizer.json", None),
        "torn": ("model.safetensors", b"\x08\0\0\0\0\0\0\0{}"),
        "no-json": ("config.json", b"{"),
        "deeper": ("config.json", json.dumps(deeper).encode()),
        "unknown": ("config.json", json.dumps(unknown).encode()),
        "own-code": ("config.json", json.dumps(unknown | custom).encode()),
    }
    for name, (file, content) in broken.items():
        with pytest.raises(CheckpointError) as caught:
            BaselineModel.from_pretrained(changed(name, file, content))
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_repository_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelNotFoundError, match=r"'nobody/nothing' here, and as a repository .* Offline, copy"):
        BaselineModel.from_pretrained("hf:nobody/nothing")


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_torch_device("cpu") == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="no device 'cuda' here: torch has"):
        find_torch_device("cuda")
    with pytest.raises(DeviceError, match="choose from auto, cuda"):
        find_torch_device("tpu")
    monkeypatch.setenv("HRM_CODEGEN_DEVICE_FALLBACK", "1")
    assert find_torch_device("gpu") == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert find_torch_device("rocm") == find_torch_device("auto") == "cuda"


def test_a_template_that_fails(tmp_path: Path) -> None:
    folder = save(tmp_path / "bad", random_model("llama"), byte_tokenizer("{{ raise_exception('no') }}"))
    with pytest.raises(CheckpointError, match="chat template fails: no"):
        BaselineModel.from_pretrained(folder).generate_code("Add.")
