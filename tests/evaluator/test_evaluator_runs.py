"""Reading evaluation folders back: those that `ResultsLog` wrote, and what can be wrong with them."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from hrm_codegen.data.problem import Problem
from hrm_codegen.errors import DatasetError, UsageError
from hrm_codegen.evaluator import EvalResult, ProgramResult, SampleResult, Verdict, find_runs, load_run
from hrm_codegen.evaluator.report import compute_metrics
from hrm_codegen.evaluator.results_log import ResultsLog
from hrm_codegen.evaluator.runs import what_is_missing

PROBLEMS = [Problem(task_id=f"b/{i}", text="t") for i in (9, 10, 100)]
SAMPLES = tuple(
    SampleResult(task_id=p.task_id, sample=j, result=ProgramResult(verdict=verdict, message="m\n"), completion="\ud800")
    for p in PROBLEMS[:2]
    for j, verdict in enumerate((Verdict.PASSED, Verdict.CRASH))
)
SETTINGS = {"num_samples": 2, "timeout": 2.0, "seed": 0, "temperature": 0.5, "max_tokens": None, "top_p": 0.9}


def make_result(k=(1, 2)):
    return EvalResult(
        metrics=compute_metrics(PROBLEMS, SAMPLES, k),
        samples=SAMPLES,
        dataset={"name": "d", "sha256": "e" * 64, "problems": 3},
        model={"name": "m", "path": None},
        sandbox={"tier": "A"},
        settings={"k": list(k), **SETTINGS},
    )


def write_run(folder, *, samples=SAMPLES, report=True):
    with ResultsLog(folder, {"model": "f" * 64, **SETTINGS}) as log:
        for sample in reversed(samples):  # as they come from a pool: in any order
            log.append(sample)
        if report:
            log.write_report(make_result())
    return folder


def test_a_folder_is_read_back_in_the_order_of_the_data(tmp_path):
    assert load_run(write_run(tmp_path / "a")) == make_result()


def test_as_on_resuming_the_last_of_a_sample_counts_and_failures_of_the_harness_do_not(tmp_path):
    first = [SampleResult(**vars(s) | {"completion": "old"}) for s in SAMPLES[:1]]
    broken = SampleResult(**vars(SAMPLES[0]) | {"result": ProgramResult(verdict=Verdict.HARNESS_ERROR)})
    write_run(tmp_path / "a", samples=(*SAMPLES, *first, broken))
    with (tmp_path / "a" / "results.jsonl").open("a") as file:
        file.write('{"torn')
    assert load_run(tmp_path / "a") == make_result()


def test_folders_are_found_below_a_folder(tmp_path):
    for name in ("sweep/t0.2", "sweep/t1.0", "other"):
        write_run(tmp_path / name)
    found = find_runs([tmp_path / "other", tmp_path, tmp_path / "sweep" / "t1.0"])
    assert found == [tmp_path / name for name in ("other", "sweep/t0.2", "sweep/t1.0")]


def test_what_is_no_evaluation(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"no folder .*nowhere"):
        find_runs([tmp_path / "nowhere"])
    with pytest.raises(UsageError, match=r"no evaluation in .*empty: .* makes one"):
        find_runs([tmp_path / "empty"])
    with pytest.raises(UsageError, match=r"no evaluation in .*: it has no run\.json"):
        load_run(tmp_path / "empty")


def test_an_unfinished_evaluation_says_how_to_go_on(tmp_path):
    folder = write_run(tmp_path / "a b", samples=SAMPLES[:3], report=False)
    text = what_is_missing(folder)
    options = "--n 2 --timeout 2.0 --seed 0 --temperature 0.5 --top-p 0.9"
    command = f"hrm-codegen eval --ckpt FILE --data DATA {options} --out '{folder}'"
    assert text == (
        f"{folder} is not finished: 3 samples judged, no report.json. "
        f"It goes on where it stopped if you repeat its command: {command}"
    )
    with pytest.raises(UsageError) as caught:
        load_run(folder)
    assert str(caught.value) == text
    with ResultsLog(tmp_path / "c", {"samples_sha256": "f", "all_tests": True, "confirm_timeouts": False}):
        pass
    assert "--data DATA --all-tests --no-confirm-timeouts --out" in what_is_missing(tmp_path / "c")
    assert what_is_missing(write_run(tmp_path / "done")) is None


def test_an_evaluation_of_samples_that_has_not_begun(tmp_path):
    with ResultsLog(tmp_path / "a", {"samples_sha256": "f" * 64, "timeout": 2.0}):
        pass
    os.unlink(tmp_path / "a" / "results.jsonl")
    assert "0 samples judged" in what_is_missing(tmp_path / "a")
    assert "hrm-codegen eval --samples FILE --data DATA --timeout 2.0 --out" in what_is_missing(tmp_path / "a")


def test_a_folder_of_another_limit_is_refused(tmp_path):
    write_run(tmp_path / "a", samples=SAMPLES[:3])
    with pytest.raises(DatasetError, match=r"results\.jsonl holds 3 samples, report\.json is about 4"):
        load_run(tmp_path / "a")


def test_problems_are_in_the_order_of_the_data_set(tmp_path):
    write_run(tmp_path / "a")
    changed(tmp_path / "a" / "report.json", dataset__task_ids=["b/100", "b/10", "b/9"])
    order = [(sample.task_id, sample.sample) for sample in load_run(tmp_path / "a").samples]
    assert order == [("b/10", 0), ("b/10", 1), ("b/9", 0), ("b/9", 1)]


def test_what_a_larger_limit_left_in_the_folder_is_not_of_the_run(tmp_path):
    more = SampleResult(**vars(SAMPLES[0]) | {"task_id": "b/7"})
    write_run(tmp_path / "a", samples=(*SAMPLES, more))
    with pytest.raises(DatasetError, match="holds 5 samples"):
        load_run(tmp_path / "a")
    changed(tmp_path / "a" / "report.json", dataset__task_ids=[problem.task_id for problem in PROBLEMS])
    assert load_run(tmp_path / "a").samples == SAMPLES


def changed(path, **changes):
    tree = json.loads(path.read_text())
    for place, value in changes.items():
        section, _, name = place.partition("__")
        if name:
            tree[section][name] = value
        else:
            tree[section] = value
    path.write_text(json.dumps(tree))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metrics": []}, "no object 'metrics'"),
        ({"settings__k": []}, "settings.k"),
        ({"settings__k": [1, "2"]}, "settings.k"),
        ({"settings__k": [7]}, r"metrics\['pass@7'\] is no number"),
        ({"metrics__n_missing": float("nan")}, r"metrics\['n_missing'\]"),
        ({"metrics__other": "1"}, r"metrics\['other'\]"),
        ({"metrics__n_missing": 1e300}, r"metrics\['n_missing'\]"),
        ({"metrics__n_missing": 2.0}, "2 problems have samples"),
        ({"dataset__sha256": None}, "no dataset.sha256"),
        ({"dataset__task_ids": "b/9"}, "dataset.task_ids is no list"),
        ({"dataset__task_ids": ["b/9", 3]}, "dataset.task_ids is no list"),
    ],
)
def test_a_report_that_was_edited_is_refused_with_its_place(tmp_path, changes, message):
    write_run(tmp_path / "a")
    changed(tmp_path / "a" / "report.json", **changes)
    with pytest.raises(DatasetError, match=rf"report\.json: broken \(.*{message}.*\)\. Delete the file"):
        load_run(tmp_path / "a")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"[" * 100_000])
def test_a_file_that_is_no_object_is_refused(tmp_path, content):
    write_run(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    (tmp_path / "a" / "report.json").write_bytes(content)
    with pytest.raises(DatasetError, match=r"report\.json: broken"):
        load_run(tmp_path / "a")
    (tmp_path / "b" / "run.json").write_bytes(content)
    os.unlink(tmp_path / "b" / "report.json")
    with pytest.raises(DatasetError, match=r"run\.json: broken .* Delete the folder"):
        load_run(tmp_path / "b")


@pytest.mark.parametrize("line", [b"{}", b"3", b"\xff", b'{"task_id": "b/9"}', b"[" * 100_000])
def test_a_broken_line_is_named(tmp_path, line):
    write_run(tmp_path / "a")
    path = tmp_path / "a" / "results.jsonl"
    path.write_bytes(line + b"\n" + path.read_bytes())
    with pytest.raises(DatasetError, match=r"results\.jsonl:1: broken .* Delete the line"):
        load_run(tmp_path / "a")


def test_a_report_without_results_is_refused(tmp_path):
    os.unlink(write_run(tmp_path / "a") / "results.jsonl")
    with pytest.raises(DatasetError, match=r"no .*results\.jsonl"):
        load_run(tmp_path / "a")
