"""Sample files in every state people leave them in, and what becomes of a text before it runs."""

from __future__ import annotations

import gzip
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrm_codegen.data.problem import Problem
from hrm_codegen.errors import DatasetError
from hrm_codegen.evaluator import Sample, assemble_program, read_samples
from hrm_codegen.evaluator.assemble import extract_code

PROBLEMS = [
    Problem(task_id="mbpp/11", text="a", test_list=("assert f(1) == 1",)),
    Problem(task_id="mbpp/12", text="b", test_list=("assert g(1) == 1",)),
]
STUB = 'import math\n\n\ndef area(r):\n    """Area.\n    """\n'
HUMAN = Problem(task_id="HumanEval/0", text=STUB, prompt_code=STUB, entry_point="area", test_list=("check(area)",))


def test_order_and_duplicates(tmp_path):
    path = tmp_path / "s.jsonl"
    rows = [("mbpp/12", "completion", "x"), ("mbpp/11", "solution", "y"), ("mbpp/12", "completion", "z")]
    path.write_text("".join(json.dumps({"task_id": t, kind: text}) + "\n\n" for t, kind, text in rows))
    assert read_samples(path, PROBLEMS) == [
        Sample(task_id="mbpp/12", index=0, text="x", kind="completion"),
        Sample(task_id="mbpp/11", index=0, text="y", kind="solution"),
        Sample(task_id="mbpp/12", index=1, text="z", kind="completion"),
    ]


@pytest.mark.parametrize("task_id", [11, "11", "mbpp/11", "Mbpp/11", "MBPP/11"])
def test_spellings_of_a_task(task_id):
    assert read_samples([{"task_id": task_id, "completion": ""}], PROBLEMS)[0].task_id == "mbpp/11"


def test_an_ambiguous_number_is_unknown():
    problems = [*PROBLEMS, Problem(task_id="other/11", text="c")]
    with pytest.raises(DatasetError, match="'11'"):
        read_samples([{"task_id": 11, "completion": ""}], problems)


def test_unknown_tasks_are_counted_and_a_few_are_listed():
    rows = [{"task_id": f"x/{i}", "completion": ""} for i in range(9)]
    with pytest.raises(DatasetError, match=r"9 samples .*'x/4' and 4 more; .*'mbpp/11'"):
        read_samples(rows, PROBLEMS)


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"[1]",
        b'{"completion": "x"}',
        b'{"task_id": true, "completion": "x"}',
        b'{"task_id": 11}',
        b'{"task_id": 11, "completion": null}',
        b'{"task_id": 11, "completion": "\xff"}',
        b"[" * 100_000,
        b"1" * 10_000,
    ],
)
def test_a_broken_line_is_named(tmp_path, line):
    path = tmp_path / "s.jsonl"
    path.write_bytes(b'{"task_id": 11, "completion": "x"}\n' + line + b"\n")
    with pytest.raises(DatasetError, match=r"s\.jsonl:2: "):
        read_samples(path, PROBLEMS)


def test_rows_in_memory_are_named_by_number():
    with pytest.raises(DatasetError, match="samples row 2: "):
        read_samples([{"task_id": 11, "completion": ""}, {}], PROBLEMS)


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(DatasetError, match="cannot read"):
        read_samples(tmp_path / "none.jsonl", PROBLEMS)


@pytest.mark.parametrize("text", ["\0", "\ud800", "x" * 10_000_000, "\u2028\x85"])
def test_unusual_texts_survive(tmp_path, text):
    path = tmp_path / "s.jsonl.gz"
    with gzip.open(path, "wt", compresslevel=1) as file:
        file.write(json.dumps({"task_id": 11, "completion": text}) + "\n")
    assert read_samples(path, PROBLEMS)[0].text == text


def test_a_solution_stands_alone_and_a_completion_continues_the_stub():
    assert assemble_program(HUMAN, "    return 1\n", "completion").code == STUB + "    return 1\n"
    assert assemble_program(HUMAN, "def area(r): ...", "solution").code == "def area(r): ..."
    assert assemble_program(PROBLEMS[0], "def f(): ...", "completion").code == "def f(): ..."


def test_an_answer_finds_the_imports_of_the_stub():
    code = assemble_program(HUMAN, "def area(r):\n    return math.pi * r\n", "answer").code
    namespace: dict = {}
    exec(code, namespace)
    assert namespace["area"](2) == pytest.approx(6.283185307)


@pytest.mark.parametrize("stub", ["def f(x):\n", "def f(x):\n\t'''Doc.'''\n", "import math\ndef f(x):\n    # why\n"])
def test_any_stub_is_closed(stub):
    problem = Problem(task_id="a/1", text="", prompt_code=stub, entry_point="f")
    namespace: dict = {}
    exec(assemble_program(problem, "def g():\n    return 5\n", "answer").code, namespace)
    assert namespace["g"]() == 5


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Here:\n```python\nx = 1\n```\nThat is it.", "x = 1\n"),
        ("```\nx = 1\n```", "x = 1\n"),
        ("```py\nx = 1\n", "x = 1\n"),
        ("~~~python\nx = 1\n~~~\n", "x = 1\n"),
        ("    return 1\n```\nThis returns one.", "    return 1\n"),
        ("```sh\npip install x\n```\nthen\n```python\ndef area(r): ...\n```", "def area(r): ...\n"),
    ],
)
def test_fences_are_taken_off_and_said(text, code):
    found, changes = extract_code(text, "area")
    assert found == code
    assert len(changes) == 1


@pytest.mark.parametrize("text", ['def f():\n    """\n```\nf()\n```\n    """\n', "x = '''\n```\n'''\n", "x = `1`", ""])
def test_code_without_outer_fences_is_left_alone(text):
    assert extract_code(text) == (text, ())


@given(st.text(alphabet="ab `~\n\"'", max_size=60))
@settings(max_examples=50, deadline=None)
def test_extraction_only_cuts(text):
    code, changes = extract_code(text, "a")
    assert code in text
    assert changes or code == text


def test_a_fenced_whole_function_does_not_continue_the_stub_s_body():
    text = "```python\ndef area(r):\n    return math.pi * r * r\n```"
    assembled = assemble_program(HUMAN, text, "completion")
    namespace: dict = {}
    exec(assembled.code, namespace)
    assert namespace["area"](1) == pytest.approx(3.14159265)
    assert assembled.changes == ("took one of 1 fenced blocks",)
