"""Every accepted form of a data file, and an error with the place for every other one."""

from __future__ import annotations

import ast
import gzip
import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrm_codegen.data.problem import Problem, to_dict
from hrm_codegen.data.problems import load_problems, save_problems
from hrm_codegen.data.rows import normalize_code
from hrm_codegen.errors import DatasetError

ADD = {"text": "add", "code": "def add(a,b):\n  return a+b", "test_list": ["assert add(1,2)==3"]}
SANITIZED = {
    "source_file": "x.ipynb",
    "task_id": 2,
    "prompt": "square root",
    "code": "def f(x):\n    return math.sqrt(x)",
    "test_imports": ["import math"],
    "test_list": ["assert f(4) == 2"],
}
HUMANEVAL = {
    "task_id": "HumanEval/0",
    "prompt": 'def one():\n    """ Gives 1.   \n    """\n',
    "canonical_solution": "    return 1\n",
    "test": "def check(candidate):\n    assert candidate() == 1\n",
    "entry_point": "one",
}


def write(path: Path, data: str | bytes) -> Path:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def lines(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.mark.parametrize(
    "data",
    [
        lines(ADD, SANITIZED),
        "\n" + lines(ADD, SANITIZED) + "\n\n",
        json.dumps([ADD, SANITIZED]),
        json.dumps([ADD, SANITIZED], indent=2),
        b"\xef\xbb\xbf" + lines(ADD, SANITIZED).encode(),
        gzip.compress(lines(ADD, SANITIZED).encode(), mtime=0),
    ],
    ids=["jsonl", "blank-lines", "array", "pretty", "bom", "gz"],
)
def test_every_container_gives_the_same_problems(tmp_path: Path, data: str | bytes) -> None:
    add, root = load_problems(write(tmp_path / "mine.json", data))
    assert (add.task_id, add.text, add.source) == ("mine/1", "add", "mine")
    assert add.test_list == ("assert add(1,2)==3",)
    assert (root.task_id, root.text, root.test_setup_code) == ("2", "square root", "import math")


def test_a_humaneval_program_runs(tmp_path: Path) -> None:
    (problem,) = load_problems(write(tmp_path / "h.jsonl", lines(HUMANEVAL)))
    assert problem.text == problem.prompt_code == HUMANEVAL["prompt"]
    assert problem.code == HUMANEVAL["prompt"] + HUMANEVAL["canonical_solution"]
    assert problem.entry_point == "one"
    assert problem.test_list[0].endswith("\ncheck(one)")
    exec("\n".join([problem.code, *problem.test_list]), {})
    with pytest.raises(AssertionError):
        exec("\n".join([problem.code.replace("return 1", "return 2"), *problem.test_list]), {})


def test_rows_in_memory_and_problems_are_taken_as_they_are() -> None:
    problem = Problem(task_id="p", text="t", code="\tx\r\n")

    class Dataset:  # what of `datasets.Dataset` is used
        def __iter__(self):
            yield {**ADD, "test_setup_code": None, "challenge_test_list": None}

    assert load_problems([problem]) == [problem]
    assert load_problems(Dataset())[0].task_id == "row/1"
    assert load_problems(iter([ADD, problem]))[1] is problem


def test_every_problem_of_the_developers_files_is_read(shared_data: Path) -> None:
    mbpp = load_problems(shared_data / "mbpp_without_test.jsonl", require_code=True)
    assert len(mbpp) == 474
    assert all("\r" not in p.code and p.code == p.code.strip("\n") for p in mbpp)
    assert [p.task_id for p in mbpp if "\t" in p.code] == ["669"]  # inside of a string
    sanitized = load_problems(shared_data / "sanitized-mbpp_without_test.json", require_code=True)
    assert len(sanitized) == 170
    assert all(p.text and p.test_list and p.task_id.isdigit() for p in sanitized)
    assert len(load_problems(shared_data / "HumanEval_first20.jsonl.gz", require_code=True)) == 20
    assert len(load_problems(shared_data / "functions_with_asserts.jsonl", require_code=True)) == 346


def test_mbpp_codes_keep_their_syntax_tree(shared_data: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # their invalid escapes
        for line in (shared_data / "mbpp_without_test.jsonl").read_text().splitlines():
            code = json.loads(line)["code"]
            assert ast.dump(ast.parse(code)) == ast.dump(ast.parse(normalize_code(code)))


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("def f():\r\n\treturn 1  \r\n", "def f():\n    return 1"),
        ("x = '''a  \n'''", "x = '''a  \n'''"),
        ("if a:\n\tx = 'a\tb'  ", "if a:\n\tx = 'a\tb'"),
        ("no python\r\n\t at all  ", "no python\n\t at all  "),
        ("", ""),
    ],
)
def test_normalize_code(code: str, expected: str) -> None:
    assert normalize_code(code) == expected


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(["x", "=", "'", '"""', "\t", "  ", "\n", "\r\n", "if x:", "1"])).map("".join))
def test_normalizing_is_idempotent_and_never_changes_the_program(code: str) -> None:
    once = normalize_code(code)
    assert normalize_code(once) == once
    try:
        before = ast.dump(ast.parse(code))
    except SyntaxError:
        return
    assert ast.dump(ast.parse(once)) == before


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), min_size=1)


FIELDS = st.fixed_dictionaries(
    {
        "task_id": TEXT,
        "text": TEXT.filter(str.strip),
        "code": TEXT,
        "test_list": st.lists(TEXT).map(tuple),
        "test_setup_code": TEXT,
        "challenge_test_list": st.lists(TEXT).map(tuple),
        "entry_point": st.none() | TEXT,
        "prompt_code": st.just("") | TEXT,
        "timeout_factor": st.floats(0, exclude_min=True, allow_infinity=False),
        "source": TEXT,
        "split": TEXT,
        "level": st.none() | st.integers(1, 4),
    }
)


@settings(max_examples=50, deadline=None)
@given(fields=FIELDS)
def test_saved_problems_come_back_equal(fields: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("saved") / "p.json"
    problem = Problem(**{**fields, "code": normalize_code(fields["code"])})
    save_problems(path, [problem])
    assert load_problems(path) == [problem]


def test_a_saved_file_is_a_json_array_in_the_fields_of_mbpp(tmp_path: Path) -> None:
    problems = load_problems([ADD, HUMANEVAL])
    save_problems(tmp_path / "a" / "p.json", problems)
    rows = json.loads((tmp_path / "a" / "p.json").read_text())
    assert rows == [to_dict(problem) for problem in problems]
    assert set(rows[0]) == {"task_id", "text", "code", "test_list", "test_setup_code", "challenge_test_list"}


def test_a_failing_save_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    save_problems(path, load_problems([ADD]))
    before = path.read_bytes()

    def broken():
        yield from load_problems([ADD])
        raise RuntimeError

    with pytest.raises(RuntimeError):
        save_problems(path, broken())
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_repeated_ids_are_told_apart(caplog: pytest.LogCaptureFixture) -> None:
    rows = [{**ADD, "task_id": name} for name in ("x", "x", "x#2", "x", 7)]
    assert [p.task_id for p in load_problems(rows)] == ["x", "x#3", "x#2", "x#4", "7"]
    assert "2 rows repeat a task_id" in caplog.text


def test_missing_code_is_an_error_only_for_training(tmp_path: Path) -> None:
    path = write(tmp_path / "raw.json", json.dumps([{"text": "t", "test_list": ["assert f()"]}]))
    assert load_problems(path)[0].code == ""
    with pytest.raises(
        DatasetError, match=r'^row 1 has no "code".*needed for training \(fine for eval\) \(.*raw.json\)$'
    ):
        load_problems(path, require_code=True)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("", "is empty"),
        (" \n ", "is empty"),
        ("[]", "no problems in"),
        (lines(ADD) + '{"text": "x"', r"line 2 is not valid JSON: .* at column"),
        ("[1, 2", "line 1 is not valid JSON"),
        ("[" * 100_000, "is not valid JSON"),
        ("[" + "1" * 5_000 + "]", "is not valid JSON"),
        ("1" * 5_000, "line 1 is not valid JSON"),
        ("hello", "line 1 is not valid JSON"),
        (json.dumps(ADD, indent=1), "holds one object; expected a JSON array or JSON lines"),
        ("[3]", "row 1 is a int, not an object"),
        ("".encode("utf-16"), "is not UTF-8"),
        ('[{"text": "ä"}]'.encode("latin-1"), "is not UTF-8 .* save it as UTF-8"),
        (gzip.compress(b'[{"text": "a"}]', mtime=0)[:-6], "is a torn gzip archive"),
        (b"\x1f\x8bnonsense", "is a torn gzip archive"),
        (lines(ADD, {"code": "x"}), r'row 2 has no "text" \(nor "prompt"\)'),
        (lines({"text": " "}), 'row 1 has an empty "text"'),
        (lines({**ADD, "text": 3}), 'row 1 has a "text" of type int, expected text'),
        (lines({**ADD, "code": ["a"]}), 'row 1 has a "code" of type list'),
        (lines({**ADD, "test_list": "assert f()"}), 'row 1 has a "test_list" of type str, expected a list'),
        (lines({**ADD, "test_list": [1]}), 'row 1 has a "test_list" with a int in it'),
        (lines({**ADD, "task_id": 1.5}), 'row 1 has a "task_id" that is neither'),
        (lines({**ADD, "level": "two"}), 'row 1 has a "level" that is no integer'),
        (lines({**ADD, "timeout_factor": 0}), 'row 1 has a "timeout_factor" that is no positive number: 0'),
        (lines({**ADD, "timeout_factor": True}), 'row 1 has a "timeout_factor" that is no positive number'),
        (lines({**ADD, "text": "\ud800"}), 'row 1 has half of a surrogate pair in "text", at character 0'),
        (lines({**HUMANEVAL, "entry_point": ""}), 'row 1 has an empty "entry_point"'),
    ],
)
def test_what_cannot_be_read_is_named_with_its_place(tmp_path: Path, data: str | bytes, message: str) -> None:
    with pytest.raises(DatasetError, match=message) as caught:
        load_problems(write(tmp_path / "bad.json", data))
    assert "bad.json" in str(caught.value)


def test_sources_that_are_no_rows(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such file"):
        load_problems(tmp_path / "none.json")
    with pytest.raises(DatasetError, match="cannot read"):
        load_problems(tmp_path)
    with pytest.raises(DatasetError, match=r"one mapping with the keys 'train'.*pass one split"):
        load_problems({"train": [ADD]})
    with pytest.raises(DatasetError, match="no problems"):
        load_problems([])
