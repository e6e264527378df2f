"""`python -m benchmarks.speed`: its arithmetic, its tables, its worker processes; and once, end to end.

What it measures is not tested: times are the machine's.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.speed import __main__ as command
from benchmarks.speed import overall, tables, timing, work
from benchmarks.speed import records as figures
from benchmarks.speed.engines import llama
from benchmarks.speed.engines.llama import combined
from benchmarks.speed.process import ROOT, Worker, WorkerError, environment
from benchmarks.speed.records import Record, Summary
from benchmarks.speed.sections import machine, rows, train
from benchmarks.speed.settings import QUICK, SECTIONS, Settings
from benchmarks.speed.team import NOT_INSTALLED, Contender, Team, installed

TOY = """
import time

class Toy:
    def prepare(self, log, name, logits):
        print("a package says something on stdout")
        self.log, self.name = log, name
        return {"logits": logits}

    def measure(self, fails=False):
        with open(self.log, "a") as file:
            file.write(self.name)
        if fails and self.name == "b":
            raise ValueError("broken\\nhere")
        return {"units": 1, "seconds": [0.5]}

    def sleep(self):
        time.sleep(60)

    def end(self):
        raise SystemExit(3)
"""


def record(contender: str, *seconds: float, **more: Any) -> Record:
    """Ten units in each repetition, a round for each number of seconds."""
    measured = [{"units": 10, "seconds": [value]} for value in seconds]
    return Record(**{"section": "s", "size": "1m", "contender": contender, "work": {}, "rounds": measured} | more)


def settings_of(*arguments: str) -> Settings:
    parser = command._parser()
    return command.settings_of(parser.parse_args(arguments), parser)


@pytest.fixture
def toy(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "toy_engine.py").write_text(TOY)
    return {"PYTHONPATH": str(tmp_path)}


def test_a_summary_is_the_median_with_its_extremes() -> None:
    assert figures.summary([3.0, 1.0, 10.0]) == Summary(3.0, 1.0, 10.0)
    assert figures.summary([]) is None


def test_a_round_counts_all_of_its_repetitions() -> None:
    measured = record("ours", rounds=[{"units": 6, "seconds": [1.0, 2.0]}])
    assert figures.speeds(measured) == [4.0]  # 12 units in 3 seconds
    assert figures.seconds(measured) == [1.5]


def test_ratios_are_taken_round_by_round() -> None:
    """The second round met a load that slowed both down: the ratio of the medians would be of two rounds."""
    ours, theirs = record("ours", 1.0, 4.0, 2.0), record("hf", 2.0, 8.0, 1.0)
    assert figures.ratio(ours, theirs) == Summary(2.0, 0.5, 2.0)


def test_a_contender_that_failed_midway_is_compared_in_the_rounds_that_both_have() -> None:
    assert figures.ratio(record("ours", 1.0, 1.0), record("hf", 3.0)) == Summary(3.0, 3.0, 3.0)
    assert figures.ratio(record("ours", 1.0), record("hf")) is None


@pytest.mark.parametrize(
    ("value", "text"), [(1234.5, "1,234"), (100.4, "100"), (56.78, "56.8"), (0.123, "0.12"), (None, "–")]
)
def test_numbers_have_three_digits(value: float | None, text: str) -> None:
    assert tables.number(value) == text


def test_the_table_shows_spread_ratio_and_who_is_missing() -> None:
    measured = [record("ours", 0.1, 0.2, 0.4), record("hf", 0.2, 0.2, 0.2), record("ort", problem=NOT_INSTALLED)]
    columns = {"tokens/s": lambda r: tables.spread(figures.summary(figures.speeds(r))), "more": lambda r: "x"}
    assert tables.compared(measured, (), columns) == (
        "| size | contender | tokens/s | more | ours / it |\n"
        "| --- | --- | --- | --- | --- |\n"
        "| 1m | ours | 50.0 (25.0..100) | x | 1.00 (1.00..1.00) |\n"
        "| 1m | hf | 50.0 (50.0..50.0) | x | 1.00 (0.50..2.00) |\n"
        "| 1m | ort | not installed | – | – |\n"
    )


def test_each_piece_of_work_is_compared_with_itself() -> None:
    measured = [
        record(name, value, work={"batch": batch})
        for batch, values in ((1, (1.0, 2.0)), (8, (3.0, 3.0)))
        for name, value in zip(("ours", "hf"), values, strict=True)
    ]
    lines = tables.compared(measured, ("batch",), {"x": lambda r: "x"}).splitlines()
    assert lines[3] == "| 1m | 1 | hf | x | 2.00 (2.00..2.00) |"
    assert lines[5] == "| 1m | 8 | hf | x | 1.00 (1.00..1.00) |"


def test_a_cell_cannot_break_the_table() -> None:
    assert tables.markdown(["a"], [["x|y"]]) == "| a |\n| --- |\n| x\\|y |\n"


def test_json_has_every_measurement() -> None:
    tree = json.loads(json.dumps(figures.to_json([record("ours", 1.0, 2.0)], machine={"cores": 2})))
    assert [each["seconds"] for each in tree["records"][0]["rounds"]] == [[1.0], [2.0]]
    assert tree["records"][0]["units_per_second"] == {"median": 7.5, "low": 5.0, "high": 10.0}
    assert tree["machine"] == {"cores": 2}


def test_the_peak_is_the_best_median_of_a_product() -> None:
    measured = [
        record("jax", 1.0, 2.0, 2.0, section="machine", work={"what": "product"}),
        record("torch", 5.0, 1.0, 1.0, section="machine", work={"what": "product"}),
        record("torch", 0.1, section="machine", work={"what": "read"}),
    ]
    assert machine.peak(measured) == 10.0
    assert machine.peak([]) is None


def test_training_is_shown_as_a_share_of_the_peak() -> None:
    measured = record("ours", 2.0, section="train", facts={"step_flops": 60.0})
    found = {**measured.rounds[0], "peak_bytes": 2**21, "step_bytes": None}
    shown = train.show([dataclasses.replace(measured, rounds=[found])], 100.0)
    assert "| 1m | ours | 5.00 (5.00..5.00) | 2,000 (2,000..2,000) | 2.00 (2.00..2.00) | – | 30% |" in shown


def test_the_overall_table_has_every_comparison_and_says_which_are_lost() -> None:
    measured = [
        record("ours", 1.0, 2.0, section="decode", work={"batch": 8}),
        record("ours-1dev", 4.0, 4.0, section="decode", work={"batch": 8}),
        record("ours-int8", 2.0, 2.0, section="decode", work={"batch": 8}),
        record("hf", 2.0, 8.0, section="decode", work={"batch": 8}),
        record("onnxruntime", 0.5, 1.0, section="decode", work={"batch": 8}),
        record("ours", 1.0, section="start", work={"goal": "train", "cache": "cold"}),
        record("hf-eager", 1.0, section="train"),
        record("ours", 2.0, section="train"),
        record("ours-bf16", 1.0, section="train"),
        record("hf-bf16", 4.0, section="train"),  # of its like alone
        record("hf-compiled", 4.0, section="train"),
        record("ours", 4.0, section="rows"),  # of the same size, and without distinctions of its own, too
    ]
    shown = overall.show(figures.from_json(json.loads(json.dumps(figures.to_json(measured)))))
    assert shown.splitlines()[2:] == [
        "| decode, batch 8 | 1m | tokens/s | 7.50 | 3.12 | 3.00 (2.00..4.00) | onnxruntime 15.0 (0.50 lost) |",
        "| decode, batch 8, int8 weights | 1m | tokens/s | 5.00 | 3.12 | 2.50 (1.00..4.00) "
        "| onnxruntime 15.0 (0.38 lost) |",
        "| train step, 8 x 256 | 1m | tokens/s | 5.00 | 10.0 | 0.50 (0.50..0.50) lost | hf-compiled 2.50 (2.00) |",
        "| train step, 8 x 256, bfloat16 products | 1m | tokens/s | 10.0 | 2.50 | 4.00 (4.00..4.00) | – |",
        "| epoch of real problems | 1m | answer tokens/s | 2.50 | – | – | – |",
    ]


def test_rows_are_not_compared_if_the_targets_differ() -> None:
    measured = [record("ours", 1.0, facts={"answers": 7}), record("hf", 1.0, facts={"answers": 8})]
    assert all(each.problem and not each.rounds for each in rows._checked(measured))
    assert rows._checked(measured[:1]) == measured[:1]


def test_llama_bench_reads_a_prompt_and_writes_after_it() -> None:
    tests = [
        {"n_prompt": 64, "n_gen": 0, "avg_ns": 1e9, "samples_ns": [1e9]},
        {"n_prompt": 64, "n_gen": 128, "avg_ns": 5e9, "samples_ns": [4e9, 6e9]},
    ]
    assert combined(tests, 128) == {"units": 128, "seconds": [4.0, 6.0], "first": [1.03125]}


def test_llama_bench_repeats_what_is_short(tmp_path: Path) -> None:
    """A program in its place keeps its arguments, and says that a repetition took 0.3 s."""
    program, log = tmp_path / "bench", tmp_path / "log"
    answer = [{"n_prompt": 4, "n_gen": n, "avg_ns": 3e8, "samples_ns": [3e8]} for n in (0, 8)]
    program.write_text(f"#!/bin/sh\necho \"$@\" >> '{log}'\necho '{json.dumps(answer)}'\n")
    program.chmod(0o755)
    engine = llama.Decoder()
    engine.prepare(str(program), "model.gguf")
    for _ in range(2):
        engine.measure(batch=1, prompt_len=4, new_tokens=8, seconds=1.0)
    first, second = log.read_text().splitlines()
    assert first.endswith("-p 4 -n 0 -pg 4,8 -r 1")
    assert second.endswith("-r 4")


def test_settings_without_arguments_are_the_defaults() -> None:
    assert settings_of() == Settings()
    assert settings_of("--quick") == QUICK
    assert settings_of("--quick", "--rounds", "2").rounds == 2


def test_training_brings_the_peak_along() -> None:
    assert settings_of("--only", "start,train").only == ("machine", "train", "start")
    assert settings_of("--only", "decode").only == ("decode",)
    assert set(command._MODULES) == set(SECTIONS)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--sizes", "2m"],
        ["--only", "nothing"],
        ["--batches", "0"],
        ["--gguf", "1m"],
        ["--llama-bench", sys.executable],
        ["--llama-bench", "/nowhere/llama-bench", "--gguf", "1m=x.gguf"],
    ],
)
def test_wrong_arguments_end_at_once(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        settings_of(*arguments)
    assert ended.value.code == 2


def test_work_is_the_same_for_everyone() -> None:
    first, second = work.random_rows(64, 2, 8), work.random_rows(64, 2, 8)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert np.array_equal(first.targets[:, :-1], first.tokens[:, 1:])
    assert first.prefix.sum(axis=1).tolist() == [2, 2]
    assert np.array_equal(first.counts, ~first.prefix)
    lengths = [len(prompt) for prompt in work.varied_prompts(64, 9)]
    assert (min(lengths), max(lengths), len(set(lengths))) == (40, 120, 9)


def test_contenders_take_turns(toy: dict[str, str], tmp_path: Path) -> None:
    log = tmp_path / "log"
    contenders = [
        contender(toy, log, "ours"),
        contender(toy, log, "b"),
        contender(toy, log, "c", needs=("no_such_pkg",)),
    ]
    with Team("s", "1m", contenders) as team:
        found = {each.contender: each for each in team.alternate(2, {})}
        failed = {each.contender: each for each in team.alternate(2, {"fails": True})}
    assert log.read_text() == "oursb" * 3 + "oursb" + "ours" * 2  # a warm-up and two rounds; then b fails at once
    assert found["b"].rounds == [{"units": 1, "seconds": [0.5]}] * 2
    assert (found["c"].problem, found["c"].rounds) == (NOT_INSTALLED, [])
    assert failed["b"].problem == "failed: ValueError: broken here"
    assert len(failed["ours"].rounds) == 2


def test_another_model_is_not_measured(toy: dict[str, str], tmp_path: Path) -> None:
    contenders = [contender(toy, tmp_path / "log", "ours"), contender(toy, tmp_path / "log", "b", logits=[1.0, 2.1])]
    with Team("s", "1m", contenders) as team:
        ours, other = team.alternate(1, {})
    assert other.problem == "failed: another model: logits differ by 1.0e-01"
    assert (len(ours.rounds), other.rounds) == (1, [])


def contender(toy: dict[str, str], log: Path, name: str, logits: Any = (1.0, 2.0), **more: Any) -> Contender:
    options = {"log": str(log), "name": name, "logits": logits}
    return Contender(name=name, engine="toy_engine:Toy", env=toy, options=lambda: options, **more)


def test_a_worker_that_ends_or_hangs_is_an_error(toy: dict[str, str]) -> None:
    for method, timeout, message in [("end", 30.0, "ended with code 3"), ("sleep", 1.0, "no answer in time")]:
        worker = Worker("toy_engine:Toy", toy)
        with pytest.raises(WorkerError, match=message):
            worker.call(method, timeout)
        worker.close()


def test_no_contender_inherits_other_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert "OMP_NUM_THREADS" not in environment()
    assert environment({"XLA_FLAGS": "--x"})["XLA_FLAGS"] == "--x"


def test_the_command_imports_no_framework() -> None:
    """It stays small and idle: jax, torch and onnxruntime belong to the workers."""
    code = "import sys, benchmarks.speed.__main__; print({'jax', 'torch', 'onnxruntime'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "set()\n"


@pytest.mark.extras
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_whole_command_runs(tmp_path: Path) -> None:
    """Without torch.compile and the ONNX export, which take a minute each."""
    if not installed(("torch", "transformers")):
        pytest.skip("needs torch and transformers")
    out = tmp_path / "speed.json"
    arguments = ["--quick", "--without", "hf-compiled,onnxruntime", "--json", str(out)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.speed", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=850
    )
    assert done.returncode == 0, done.stderr
    titles = [line for line in done.stdout.splitlines() if line.startswith("#")]
    assert titles == [f"## {name}" for name in SECTIONS]
    tree = json.loads(out.read_text())
    assert {each["section"] for each in tree["records"]} == set(SECTIONS)
    assert [each["problem"] for each in tree["records"]] == [None] * len(tree["records"])
    assert all(min(each["rounds"][0]["seconds"]) > 0 for each in tree["records"])
    hf = [each for each in tree["records"] if each["contender"].startswith("hf") and each["section"] != "start"]
    assert {each["section"] for each in hf} == {"train", "decode", "samples", "rows"}
    assert all(each["facts"]["logits_difference"] < 1e-3 for each in hf)
    assert next(each for each in hf if each["section"] == "train")["facts"]["L_bp_cycles"] == [0, 3]


@pytest.mark.parametrize(("at_least", "times"), [(0.0, 1), (0.0, 3), (0.02, 1)])
def test_work_is_repeated_often_and_long_enough(at_least: float, times: int) -> None:
    seconds = timing.repeat(lambda: time.sleep(0.005), at_least, times=times)
    assert len(seconds) >= times
    assert sum(seconds) >= at_least
    assert len(seconds) == times or sum(seconds[:-1]) < at_least  # and not more often
