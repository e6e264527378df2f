"""The main job end to end, in process: convert, train, eval, gen, export, benchmark."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import logging
import os
from pathlib import Path
from typing import NamedTuple

import pytest

from hrm_codegen.cli import main
from hrm_codegen.data import Problem, load_problems

TASKS = [
    {
        "text": f"Write a function that adds {n}.",
        "code": f"def add{n}(x):\n    return x + {n}",
        "test_list": [f"assert add{n}(1) == {n + 1}"],
    }
    for n in range(8)
]
# The smoke configuration, smaller still: what takes time in these tests is compilation.
FIELDS = (
    "model.hidden_dim=32", "model.intermediate_dim=64", "model.h_cycles=1", "model.l_cycles=1", "data.seq_len=64",
    "train.bp_warmup_ratio=0", "train.batch_size=8",
)  # fmt: skip
SMALL = ("-c", "smoke", "--data", "tasks.bin", "--no-wandb", *(word for field in FIELDS for word in ("--set", field)))


class Ran(NamedTuple):
    code: int
    out: str
    err: str


def hc(*argv: object, stdin: str | None = None) -> Ran:
    """Runs one command in this process, with its streams caught and its logging undone."""
    root = logging.getLogger()
    before = list(root.handlers), root.level
    out, err = io.StringIO(), io.StringIO()
    try:
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            if stdin is not None:
                patch.setattr("sys.stdin", io.StringIO(stdin))
            code = main([str(word) for word in argv])
    finally:
        root.handlers[:] = before[0]
        root.setLevel(before[1])
    return Ran(code, out.getvalue(), err.getvalue())


def last_json(ran: Ran):
    assert ran.code == 0, ran.err
    return json.loads(ran.out.splitlines()[-1])


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory):
    """A folder with raw problems, a token file, and a run of three steps; the working directory of the tests."""
    path = tmp_path_factory.mktemp("chain")
    before = Path.cwd()
    os.chdir(path)
    try:
        Path("tasks.jsonl").write_text("".join(json.dumps(task) + "\n" for task in TASKS))
        converted = hc("data", "convert", "tasks.jsonl", "tasks.bin")
        assert converted.code == 0, converted.err
        trained = hc("train", *SMALL, "--eval-data", "tasks.bin", "--json", "--set", "train.num_steps=3")
        assert trained.code == 0, trained.err
        Path("trained.json").write_text(trained.out)
        yield path
    finally:
        os.chdir(before)


@pytest.fixture(autouse=True)
def in_home(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(home)


def test_training_prints_its_metrics_last(home: Path):
    metrics = json.loads((home / "trained.json").read_text().splitlines()[-1])
    assert metrics["train_loss"] > 0
    assert all(isinstance(value, float | int | None) for value in metrics.values())
    assert (home / "checkpoints" / "best.pt").is_file()


def test_eval_reports_json(home: Path):
    report = last_json(
        hc("eval", "--ckpt", "best.pt", "--data", "tasks.jsonl", "--k", "1,2", "--limit", 2, "--max", 8, "--json")
    )
    assert {"metrics", "dataset", "model", "sandbox", "settings"} <= set(report)
    assert 0 <= report["metrics"]["pass@1"] <= report["metrics"]["pass@2"] <= 1


def test_eval_of_two_checkpoints_is_two_rows(home: Path):
    words = ("--data", "tasks.jsonl", "--k", 1, "--limit", 1, "--max", 4, "--out", "two")
    ran = hc("eval", "--ckpt", "best.pt", "checkpoints/best.pt", *words)
    assert ran.code == 0, ran.err
    assert len([line for line in ran.out.splitlines() if "%" in line]) == 2
    assert "pass@1" in ran.out
    assert len(list(Path("two").glob("*/report.json"))) == 2


def test_eval_knows_every_checkpoint_before_it_scores_the_first(home: Path):
    ran = hc("eval", "--ckpt", "best.pt", "nosuch.pt", "--data", "tasks.jsonl", "--k", 1, "--out", "none")
    assert ran.code == 1
    assert "nosuch.pt" in ran.err
    assert not Path("none").exists()


def test_eval_of_given_samples(home: Path):
    rows = [
        {"task_id": task_id, "completion": TASKS[i]["code"] if i % 2 else "def f(): pass"}
        for i, task_id in enumerate(ids())
    ]
    Path("samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    ran = hc("eval", "--samples", "samples.jsonl", "--data", "tasks.jsonl", "--k", 1, "--json", "--out", "scored")
    assert last_json(ran)["metrics"]["pass@1"] == 0.5
    assert (home / "scored" / "report.json").is_file()


def test_failures_are_shown_as_diffs(home: Path):
    rows = [{"task_id": task_id, "completion": f"def add{i}(x):\n    return -1"} for i, task_id in enumerate(ids())]
    Path("wrong.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    ran = hc("eval", "--samples", "wrong.jsonl", "--data", "tasks.jsonl", "--k", 1, "--show-failures", 1)
    assert ran.code == 0, ran.err
    assert ran.out.count("--- expected") == 1
    assert "+++ got" in ran.out
    assert "\x1b" not in ran.out


def ids() -> list[str]:
    return [problem.task_id for problem in load_problems("tasks.jsonl")]


def test_fewer_samples_than_k_is_wrong_usage(home: Path):
    ran = hc("eval", "--ckpt", "best.pt", "--data", "tasks.jsonl", "--n", 5, "--k", 10)
    assert ran.code == 2
    assert "n must be ≥ max(k)" in ran.err


def test_gen_takes_the_newest_model_and_says_so(home: Path):
    ran = hc("gen", "--prompt", "Write a function that adds 3.", "--max", 8)
    assert ran.code == 0, ran.err
    assert "best.pt" in ran.err
    assert "\x1b" not in ran.out


def test_batch_of_prompts_is_a_line_each_whatever_the_batch_size(home: Path):
    prompts = "".join(task["text"] + "\n" for task in TASKS[:5])
    runs = [hc("gen", "--max", 8, "--batch", batch, "--format", "jsonl", stdin=prompts) for batch in (1, 4)]
    assert [ran.code for ran in runs] == [0, 0], runs[0].err
    assert runs[0].out == runs[1].out
    rows = [json.loads(line) for line in runs[0].out.splitlines()]
    assert [row["prompt"] for row in rows] == prompts.splitlines()


def test_device_that_is_not_there_is_wrong_usage(home: Path):
    ran = hc("gen", "--device", "cuda", "--prompt", "x")
    assert ran.code == 2
    assert ran.err.startswith("DeviceError:")
    assert "pip install" in ran.err


def test_blank_line_among_prompts_is_named(home: Path):
    ran = hc("gen", stdin="one\n\ntwo\n")
    assert ran.code == 2
    assert ran.err.splitlines()[-1] == "ValueError: prompt must be non-empty and <2048 chars (stdin:2)"


def test_gen_writes_a_file(home: Path):
    ran = hc("gen", "--prompt", "adds", "--max", 4, "--temperature", 0, "-o", "code.txt")
    assert (ran.code, ran.out) == (0, ""), ran.err
    assert Path("code.txt").is_file()


def test_beams_do_not_sample(home: Path):
    assert hc("gen", "--prompt", "adds", "--max", 4, "--beams", 2).code == 0
    assert hc("gen", "--prompt", "adds", "--beams", 2, "--temperature", 1).code == 2


def test_unknown_checkpoint_names_the_places_tried(home: Path):
    ran = hc("gen", "--ckpt", "nosuch.pt", "--prompt", "x")
    assert ran.code == 1
    assert ran.err.startswith("ModelNotFoundError:")


def test_export_round_trip_generates_the_same(home: Path):
    assert hc("export", "safetensors", "--ckpt", "best.pt", "-o", "model.safetensors").code == 0
    assert hc("export", "torch", "--ckpt", "model.safetensors", "-o", "again.pt").code == 0
    words = ("gen", "--prompt", "Write a function.", "--max", 8, "--seed", 1, "--ckpt")
    first, *others = [hc(*words, name).out for name in ("best.pt", "model.safetensors", "again.pt")]
    assert others == [first, first]


def test_export_refuses_another_suffix_and_its_own_source(home: Path):
    assert hc("export", "torch", "--ckpt", "best.pt", "-o", "x.onnx").code == 2
    assert hc("export", "torch", "--ckpt", "best.pt").code == 2


def test_benchmark_measures_training_and_decoding(home: Path):
    figures = last_json(hc("benchmark", "--ckpt", "best.pt", "--seq-len", 16, "--batch", 2, "--steps", 2, "--json"))
    names = {"tokens_per_sec", "ms_per_step", "compile_sec", "peak_mem_mb", "gen_tokens_per_sec", "gen_ms_per_token"}
    assert names <= set(figures)
    assert all(figures[name] > 0 for name in names)


def test_data_tools_show_what_is_in_a_file(home: Path):
    facts = last_json(hc("data", "info", "tasks.bin", "--json"))
    assert facts["documents"] == len(TASKS)
    assert last_json(hc("data", "info", "tasks.jsonl", "--json"))["problems"] == len(TASKS)
    assert "documents" in hc("data", "info", "tasks.bin").out
    for file in ("tasks.bin", "tasks.jsonl"):
        texts = last_json(hc("data", "peek", file, "-n", 2, "--json"))
        assert [task["text"] in text and task["code"] in text for task, text in zip(TASKS, texts, strict=False)] == [
            True,
            True,
        ]
        text = hc("data", "peek", file, "-n", 1).out
        assert TASKS[0]["text"] in text
        assert TASKS[1]["text"] not in text


def test_converting_again_is_up_to_date(home: Path):
    assert hc("data", "convert", "tasks.jsonl", "twice.bin", "--json").out == hc(
        "data", "convert", "tasks.jsonl", "twice.bin", "--json"
    ).out.replace('"up_to_date": true', '"up_to_date": false')
    assert "up to date" in hc("data", "convert", "tasks.jsonl", "twice.bin").out


def test_tokenizer_of_ones_own(home: Path):
    assert hc("data", "tokenizer", "tasks.jsonl", "-o", "tok.json", "--vocab-size", 400).code == 0
    assert hc("data", "convert", "tasks.jsonl", "own.bin", "--tokenizer", "tok.json").code == 0
    assert hc("data", "convert", "tasks.jsonl", "byte.bin", "--tokenizer", "byte").code == 0
    own, byte = (last_json(hc("data", "info", file, "--json")) for file in ("own.bin", "byte.bin"))
    assert own["tokens"] < byte["tokens"]
    assert own["vocab_size"] <= 400
    assert TASKS[0]["code"] in hc("data", "peek", "own.bin", "-n", 1).out


class AddingReader:
    """Splits the tasks; `first` is an option of its own."""

    name = "basics"
    description = "adds"
    splits = ("train", "test")

    def load(self, *, source: str | None = None, first: int = 8) -> dict[str, list[Problem]]:
        problems = load_problems("tasks.jsonl")
        return {"train": problems[:first], "test": problems[-1:]}


@pytest.fixture
def adding_reader(monkeypatch: pytest.MonkeyPatch):
    for module in ("preparation", "registry"):
        importlib.import_module(f"hrm_codegen.data.{module}")
        monkeypatch.setattr(f"hrm_codegen.data.{module}.get_reader", lambda name: AddingReader())


def test_data_set_with_its_own_tokenizer_and_reader_options(home: Path, adding_reader):
    words = ["data", "basics", "--out", "adds", "--set", "first=5", "--tokenizer", "train", "--vocab-size", "400"]
    rows = last_json(hc(*words, "--split", "train", "--json"))["splits"]
    assert [(row["split"], row["problems"]) for row in rows] == [("train", 5)]
    vocab_size = last_json(hc("data", "info", "adds/train.bin", "--json"))["vocab_size"]
    assert 264 < vocab_size <= 400
    ran = hc(*words)
    assert ["up to date" in line for line in ran.out.splitlines()] == [False, True, False]


@pytest.mark.parametrize("option", ["nonsense", "no_such=1"])
@pytest.mark.parametrize("tokenizer", ["byte", "train"])
def test_wrong_reader_option_is_wrong_usage(home: Path, adding_reader, option: str, tokenizer: str):
    ran = hc("data", "basics", "--out", "adds", "--set", option, "--tokenizer", tokenizer)
    assert (ran.code, ran.err.partition(":")[0]) == (2, "UsageError")


def test_data_sets_are_listed(home: Path):
    assert {"mbpp", "humaneval", "basics"} <= {row["name"] for row in last_json(hc("data", "list", "--json"))}


def test_resume_goes_on(home: Path):
    assert hc("train", *SMALL, "--out", "run", "--set", "train.num_steps=1").code == 0
    last_json(hc("train", *SMALL, "--out", "run", "--set", "train.num_steps=2", "--resume", "--json"))
    steps = [json.loads(line)["step"] for line in Path("run/metrics.jsonl").read_text().splitlines()]
    assert max(steps) == 2


def test_resume_with_a_folder_takes_its_configuration(home: Path):
    Path("earlier").mkdir()
    Path("earlier/config.yaml").write_text(hc("train", *SMALL, "--dry-run").out)
    assert last_json(hc("train", "--resume", "earlier", "--dry-run", "--json"))["model"]["hidden_dim"] == 32


def test_missing_data_names_the_command_that_makes_it(home: Path):
    ran = hc("train", "-c", "smoke", "--data", "data/mbpp/train.bin")
    assert ran.code == 1
    assert "hrm-codegen data mbpp" in ran.err


def test_logs_are_json_lines_throughout(home: Path):
    words = ("train", *SMALL, "--out", "logged", "--set", "train.num_steps=2", "--set", "train.log_every=1")
    ran = hc("--log-format", "json", *words)
    assert ran.code == 0, ran.err
    lines = [json.loads(line) for line in ran.err.splitlines()]
    assert all({"ts", "level", "event"} <= set(line) for line in lines)
    assert any("step" in line for line in lines)


def test_init_from_brings_its_model_and_keeps_the_rest(home: Path):
    words = ("train", "--init-from", "best.pt", "--data", "tasks.bin", "--no-wandb", "--out", "tuned", "--json")
    tree = last_json(hc(*words, "--dry-run"))
    assert tree["model"]["hidden_dim"] == 32
    assert tree["train"]["num_steps"] > 3
    fields = ("data.seq_len=64", "train.batch_size=8", "train.bp_warmup_ratio=0", "train.num_steps=1")
    assert last_json(hc(*words, *(word for field in fields for word in ("--set", field))))["steps"] == 1


def test_other_data_does_without_an_absent_validation_set(home: Path):
    ran = hc("train", *SMALL, "--dry-run", "--json")
    assert last_json(ran)["data"]["eval"] is None
    assert "without a validation loss" in ran.err
    assert last_json(hc("train", *SMALL, "--eval-data", "x.bin", "--dry-run", "--json"))["data"]["eval"] == "x.bin"


def test_options_of_the_model_do_not_go_with_samples(home: Path):
    ran = hc("eval", "--samples", "x.jsonl", "--ckpt", "best.pt", "--top-p", 0.5)
    assert ran.code == 2
    assert "--ckpt, --top-p" in ran.err


def test_unknown_data_set_lists_what_there_is(home: Path):
    ran = hc("eval", "--ckpt", "best.pt", "--data", "nosuch")
    assert ran.code == 1
    assert "humaneval" in ran.err


@pytest.mark.slow
def test_demo_goes_all_the_way(home: Path):
    ran = hc("demo", "--fast", "--json")
    result = last_json(ran)
    assert {"train", "metrics", "prompt", "code"} <= set(result)
    assert "pass@10_level1" in result["metrics"]
    assert Path(result["ckpt"]).is_file()
    commands = [line.split()[2] for line in ran.err.splitlines() if line.startswith("$ hrm-codegen ")]
    assert commands == ["data", "train", "eval", "gen"]
