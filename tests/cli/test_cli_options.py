from __future__ import annotations

import json

import pytest

from hrm_codegen.cli import main, options, output
from hrm_codegen.errors import UsageError


@pytest.mark.parametrize(
    ("words", "numbers"), [(["1", "10"], (1, 10)), (["10,1"], (1, 10)), (["5", "1,5"], (1, 5)), (None, None)]
)
def test_int_list_takes_spaces_and_commas(words: list[str] | None, numbers: tuple[int, ...] | None):
    assert options.int_list(words, "--k") == numbers


@pytest.mark.parametrize("words", [["0"], ["1", "x"], [","], ["-1"], ["1.5"]])
def test_int_list_refuses_what_is_not_positive(words: list[str]):
    with pytest.raises(UsageError, match="--k takes positive whole numbers"):
        options.int_list(words, "--k")


def test_gen_refuses_a_bad_prompt_before_looking_for_a_model(capsys: pytest.CaptureFixture[str]):
    assert main(["gen", "--prompt", "  "]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "ValueError: prompt must be non-empty and <2048 chars"


def test_table_aligns_numbers_right_and_words_left():
    rows = [{"name": "a", "n": 5, "x": 0.123456}, {"name": "long", "n": 1000, "x": 2.0}, {"name": "c", "n": None}]
    assert output.table(rows).splitlines() == [
        "name     n       x",
        "a        5  0.1235",
        "long  1000       2",
        "c",
    ]


def test_json_line_is_strict_json():
    line = output.json_line({"a": float("nan"), "b": [float("inf"), 1.5], "é": (1, None)})
    assert json.loads(line, parse_constant=pytest.fail) == {"a": None, "b": [None, 1.5], "é": [1, None]}
    assert "\n" not in output.json_line({"text": "two\nlines"})
