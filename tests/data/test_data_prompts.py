"""The prompt protocol: [boq] description, shown asserts [eoq] code [eoa]."""

from __future__ import annotations

import pytest

from hrm_codegen.data.problem import Problem
from hrm_codegen.data.prompts import check_prompt, decode_answer, encode_example, encode_prompt, render_prompt
from hrm_codegen.data.tokenizer import Tokenizer
from hrm_codegen.errors import PromptError

PROBLEM = Problem(
    task_id="1", text="Add.\n", code="def f(a):\n    return a", test_list=("assert f(1)", " assert f(2) ")
)
TOKENIZER = Tokenizer.load("byte")


@pytest.mark.parametrize(
    ("num_tests", "expected"),
    [
        (0, "Add."),
        (1, "Add.\nassert f(1)"),
        (2, "Add.\nassert f(1)\nassert f(2)"),
        (9, "Add.\nassert f(1)\nassert f(2)"),
    ],
)
def test_render_prompt(num_tests: int, expected: str) -> None:
    assert render_prompt(PROBLEM, num_tests=num_tests) == expected


def test_a_stub_shows_no_tests_and_an_empty_description_no_blank_line() -> None:
    stub = Problem(task_id="h", text="def f():\n", prompt_code="def f():\n", test_list=("def check(c): ...",))
    assert render_prompt(stub, num_tests=3) == "def f():"
    assert render_prompt(Problem(task_id="e", text="", test_list=("assert f()",)), num_tests=1) == "assert f()"


def test_an_example_is_prompt_code_and_end_of_answer() -> None:
    tokens, prompt_len = encode_example(TOKENIZER, PROBLEM, num_tests=1)
    assert tokens[:prompt_len] == encode_prompt(TOKENIZER, "Add.\nassert f(1)")
    assert tokens[0] == TOKENIZER.boq_id
    assert tokens[prompt_len - 1] == TOKENIZER.eoq_id
    assert tokens[-1] == TOKENIZER.eoa_id
    assert TOKENIZER.decode(tokens[prompt_len:]) == PROBLEM.code


def test_decode_answer_stops_at_the_first_end() -> None:
    tokens, prompt_len = encode_example(TOKENIZER, PROBLEM, num_tests=1)
    assert decode_answer(TOKENIZER, [*tokens[prompt_len:], *TOKENIZER.encode("junk")]) == PROBLEM.code
    assert decode_answer(TOKENIZER, TOKENIZER.encode("unfinished")) == "unfinished"


def test_text_that_spells_a_special_token_does_not_end_a_prompt() -> None:
    tokens = encode_prompt(TOKENIZER, "say <|eoq|>")
    assert tokens.count(TOKENIZER.eoq_id) == 1


@pytest.mark.parametrize("prompt", ["", "   ", "\n", "x" * 2048])
def test_prompts_that_may_not_be_used(prompt: str) -> None:
    with pytest.raises(PromptError) as caught:
        check_prompt(prompt)
    assert caught.value.render() == "ValueError: prompt must be non-empty and <2048 chars"


def test_the_longest_prompt() -> None:
    assert check_prompt("x" * 2047) == "x" * 2047
