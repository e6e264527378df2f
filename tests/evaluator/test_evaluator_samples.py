"""Sample files in every state people leave them in, and what becomes of a text before it runs."""

from __future__ import annotations

import dataclasses
import gzip
import json
import sysconfig
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrm_codegen.data.problem import Problem
from hrm_codegen.errors import DatasetError
from hrm_codegen.evaluator import Sample, assemble_program, read_samples
from hrm_codegen.evaluator.assemble import Assembled, closed_stub
from hrm_codegen.evaluator.extraction import MAX_LENGTH, extract_code

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
    found, changes = extract_code(text, {"area"})
    assert found == code
    assert len(changes) == 1


@pytest.mark.parametrize("text", ['def f():\n    """\n```\nf()\n```\n    """\n', "x = '''\n```\n'''\n", "x = `1`", ""])
def test_code_without_outer_fences_is_left_alone(text):
    assert extract_code(text) == (text, ())


@given(st.text(alphabet="ab `~\n\"'", max_size=60))
@settings(max_examples=50, deadline=None)
def test_extraction_only_cuts(text):
    code, changes = extract_code(text, {"a"})
    assert code in text
    assert changes or code == text


def test_a_fenced_whole_function_does_not_continue_the_stub_s_body():
    text = "```python\ndef area(r):\n    return math.pi * r * r\n```"
    assembled = assemble_program(HUMAN, text, "completion")
    namespace: dict = {}
    exec(assembled.code, namespace)
    assert namespace["area"](1) == pytest.approx(3.14159265)
    assert assembled.changes == ("took one of 1 fenced blocks", "began anew after the stub")


SURFACE = "def f(x):\n    return x\n"


@pytest.mark.parametrize(
    ("text", "code", "change"),
    [
        ("````md\n```\nx\n```\n````\n", "```\nx\n```\n", "took one of 1 fenced blocks"),
        ("```python\nx = 1\n```python\ndef f(): ...\n```", "def f(): ...\n", "took one of 2 fenced blocks"),
        ("```\nnothing\n```\n```py\nx = 1\n```", "x = 1\n", "took one of 2 fenced blocks"),
        ("```\nx = 1\n```\n```\ny = 1\n```", "x = 1\n", "took one of 2 fenced blocks"),
        ("```\n\n```\n```\ny = 1\n```", "y = 1\n", "took one of 1 fenced blocks"),
        ('A """ to begin with:\n```python\nx = 1\n```\n', "x = 1\n", "took one of 1 fenced blocks"),
        (
            "```\ndef g():\n    '''\n```\n    '''\n```\n",
            "def g():\n    '''\n```\n    '''\n",
            "took one of 1 fenced blocks",
        ),
        (SURFACE + "```\nor\n```python\nf(1)\n```\n", SURFACE, "cut at a closing fence"),
        (SURFACE + "<|endoftext|>more", SURFACE, "cut at an end-of-text mark"),
        (SURFACE + "<|im_e", SURFACE, "cut at an end-of-text mark"),
        ("x = '<|a|>'\ny = 1</s>", "x = '<|a|>'\ny = 1", "cut at an end-of-text mark"),
        (SURFACE + "\nThis function returns x.\n", SURFACE + "\n", "cut prose after the code"),
        (SURFACE + "Notes:\n- one\n> two\nJust x.\n", SURFACE, "cut prose after the code"),
        (SURFACE + "Explanation:\n\n- It's simple\n1. one\nJust x.\n", SURFACE, "cut prose after the code"),
        ("Here's the code:\n\n" + SURFACE + "\nThat is all there is.", SURFACE + "\n", "cut prose around the code"),
        ("The code is:\n\n@cache\n" + SURFACE, "@cache\n" + SURFACE, "cut prose before the code"),
        ("\r\nThe code is:\r\nimport x\r\nNot true\r\n", "import x\r\n", "cut prose around the code"),
    ],
)
def test_what_is_no_code_is_cut_and_said(text, code, change):
    assert extract_code(text, {"f"}) == (code, (change,))


@pytest.mark.parametrize(
    "text",
    [
        "```\n```\n",
        "```python\n \n",
        "<|endoftext|>",
        "x = 'this \\\r\nis also text'\r\n",
        "~~~x\nx = 1\n~~~x\n",
        "I do not know.",
        "I do not know. Use\n    return 1\n",
        'x = """\nThis is text.\n```\n<|a|>\n"""\n',
        "x = 'this \\\nis also text'\n",
        "# a comment <|x|> here\nx = 1\n",
        '# not a string: """\nx = """\nSome words\n"""\n',
        "x = (a if b else\nnot c)\nx is not y\n",
        "match x:\n    case y: pass\n",
        "print(rb'x', f'y', x if y in'z' else 1)\nb'a'\n",
        "try:\n    x\nfinally:\n    y\n",
        'x = """ never closed\nThis is prose.\n',
        "\\'\\'\\'" * 9,
    ],
)
def test_what_may_be_code_is_left_alone(text):
    assert extract_code(text) == (text, ())


@pytest.mark.parametrize("module", ["argparse", "ast", "inspect", "statistics", "textwrap", "turtle", "typing"])
def test_no_valid_program_is_changed(module):
    text = (Path(sysconfig.get_paths()["stdlib"]) / f"{module}.py").read_text(encoding="utf-8")
    assert extract_code(text, {"main"}) == (text, ())


@pytest.mark.parametrize("piece", ["```\n", '"""\n', "'\\", "a ", "-", "<|", '"""\\"', "a\n", " a\n", "word"])
def test_hostile_texts_take_linear_time(piece):
    text = piece * (MAX_LENGTH // len(piece))
    start = time.process_time()
    assemble_program(HUMAN, text, "completion")
    assert time.process_time() - start < 20  # a quadratic rule takes hours


def test_a_huge_text_is_left_alone():
    text = "```python\nreturn 1\n```" + "\n" * MAX_LENGTH
    assert assemble_program(HUMAN, text, "completion") == Assembled(code=STUB + text)


def test_without_an_entry_point_the_called_names_choose_the_block():
    problem = Problem(task_id="a/1", text="", test_list=("assert set(g((1,))) == {1}",))
    text = "```python\ndef f(): ...\n```\n```python\ndef g(x): return x\n```"
    assert assemble_program(problem, text, "answer").code == "def g(x): return x\n"


BODY = "total = 0\nfor x in xs:\n    total += x\nreturn total\n"
INDENTED = "    total = 0\n    for x in xs:\n        total += x\n    return total\n"
SUM = 'def add(xs):\n    """Adds."""\n'
ADD = Problem(task_id="a/1", text=SUM, prompt_code=SUM, entry_point="add", test_list=("assert add([1, 2]) == 3",))


@pytest.mark.parametrize(
    ("text", "change"),
    [
        (INDENTED, None),
        (INDENTED.lstrip(), "repaired the first indentation"),
        (INDENTED[1:], "repaired the first indentation"),
        (" " + INDENTED, "repaired the first indentation"),
        (BODY, "repaired the first indentation"),
        ("\n" + BODY.replace("\n", "\r\n"), "repaired the first indentation"),
        (INDENTED.replace("    ", "  "), "repaired the first indentation"),
        (INDENTED.replace("    ", "        "), "repaired the first indentation"),
        ("return sum(xs)", "repaired the first indentation"),
        ("return sum(xs)\n\ndef unused():\n    return 1\n", "repaired the first indentation"),
        ("if not xs:\n    return 0\nreturn sum(xs)\n", "repaired the first indentation"),
        ("if not xs:\n        return 0\n    return sum(xs)\n", "repaired the first indentation"),
        ("if not xs:\n    return 0\nelse:\n    return sum(xs)\n", "repaired the first indentation"),
        ("  if not xs:\n    return 0\n  return sum(xs)\n", "repaired the first indentation"),
        ("import math\n\nreturn sum(xs)\n", "repaired the first indentation"),
        ("\treturn sum(xs)", None),
        (SUM + INDENTED, "began anew after the stub"),
        ("add = sum\n", "began anew after the stub"),
        ("import math\n" + SUM + INDENTED, "began anew after the stub"),
        (INDENTED + "\n\ndef unused():\n    return add([1])\n", None),
        (INDENTED.rstrip() + "<|endoftext|>", "cut at an end-of-text mark"),
        (INDENTED + "\nThis adds up.\n", "cut prose after the code"),
    ],
)
def test_completions_that_begin_in_the_wrong_place(text, change):
    stub = ADD.prompt_code.replace("    ", "\t") if text.startswith("\t") else ADD.prompt_code
    assembled = assemble_program(dataclasses.replace(ADD, prompt_code=stub), text, "completion")
    namespace: dict = {}
    exec(assembled.code, namespace)
    assert namespace["add"]([1, 2]) == 3
    assert assembled.changes == (() if change is None else (change,))


@pytest.mark.parametrize("text", ["", "\n\n", "\t\n"])
def test_an_empty_completion_stays_empty(text):
    assert assemble_program(ADD, text, "completion") == Assembled(code=SUM + text)


def test_a_stub_that_is_a_docstring_leaves_nothing_open():
    stub = '"""\nWrite a function.\nassert f(1) == 1\n"""\n'
    problem = Problem(task_id="Mbpp/2", text="", prompt_code=stub)
    assert closed_stub(stub) == stub
    for kind in ("completion", "answer"):
        namespace: dict = {}
        exec(assemble_program(problem, SURFACE, kind).code, namespace)
        assert namespace["f"](1) == 1


def test_an_array_crlf_and_byte_order_marks_are_read(tmp_path):
    rows = [{"task_id": 11, "completion": "x\r\n"}, {"task_id": 12, "solution": "y"}]
    expected = read_samples(rows, PROBLEMS)
    lines = [json.dumps(row) for row in rows]
    path = tmp_path / "s.json"
    for text in (
        json.dumps(rows),
        "\n\n" + json.dumps(rows, indent=1),
        "\r\n".join(lines),
        "\n \r\n" + "\n\n".join(lines),
    ):
        for data in (text.encode(), b"\xef\xbb\xbf" + text.encode(), gzip.compress(text.encode())):
            path.write_bytes(data)  # gzipped or not, whatever the name says
            assert read_samples(path, PROBLEMS) == expected


def test_equal_rows_are_two_samples():
    rows = [{"task_id": 11, "completion": "x"}] * 2
    assert [sample.index for sample in read_samples(rows, PROBLEMS)] == [0, 1]


def test_of_two_texts_the_solution_counts():
    row = {"task_id": 11, "completion": "x", "solution": "y"}
    assert read_samples([row, {**row, "solution": None}], PROBLEMS) == [
        Sample(task_id="mbpp/11", index=0, text="y", kind="solution"),
        Sample(task_id="mbpp/11", index=1, text="x", kind="completion"),
    ]


def test_tasks_that_differ_by_case_only_need_the_exact_name():
    problems = [Problem(task_id="a", text=""), Problem(task_id="A", text="")]
    assert [s.task_id for s in read_samples([{"task_id": t, "solution": ""} for t in "Aa"], problems)] == ["A", "a"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no samples in"),
        (b"\n \r\n\n", "no samples in"),
        (b"\xef\xbb\xbf", "no samples in"),
        (b"[]", "no samples in"),
        (b'[{"task_id": 11}, 3]', "row 1: neither"),
        (b"[1", "not a JSON array"),
        (b'{"task_id": 1.5, "completion": ""}', "task_id of type float, expected text or an integer"),
        (b'{"task_id": ["11"], "completion": ""}', "task_id of type list"),
        (b'{"completion": ""}', 'no "task_id"'),
        ('{"task_id": 11, "completion": ""}'.encode("utf-16"), "s.jsonl:1: not a line of JSON"),
        (gzip.compress(b'{"task_id": 11, "completion": ""}', mtime=0)[:-9], "cannot read"),
        (b"\x1f\x8b\x08\0\0\0\0\0\0\0no deflate", "cannot read"),
    ],
)
def test_files_without_samples_are_refused(tmp_path, data, message):
    path = tmp_path / "s.jsonl"
    path.write_bytes(data)
    with pytest.raises(DatasetError, match=message):
        read_samples(path, PROBLEMS)


def test_a_folder_and_no_rows_are_refused(tmp_path):
    with pytest.raises(DatasetError, match="cannot read the samples"):
        read_samples(tmp_path, PROBLEMS)
    with pytest.raises(DatasetError, match="no samples in the given rows"):
        read_samples([], PROBLEMS)
