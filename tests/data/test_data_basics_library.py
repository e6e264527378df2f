"""The operations of `basics`: each means what its English says, and compositions mean what their parts mean."""

from __future__ import annotations

import builtins
import keyword
import random
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrm_codegen.data.basics.compose import Chain, Step, run_solution, step_function, write_solution
from hrm_codegen.data.basics.describe import describe_chain, describe_step
from hrm_codegen.data.basics.examples import choose_examples, draw_step, trace_chain
from hrm_codegen.data.basics.inputs import SHAPES, draw_input
from hrm_codegen.data.basics.library import BY_KEY, OPERATIONS
from hrm_codegen.data.basics.operation import Kind, Operation
from hrm_codegen.data.basics.splits import random_operations
from hrm_codegen.data.syntax import normalise

TYPES = {Kind.INT: int, Kind.STR: str, Kind.BOOL: bool, Kind.INTS: list, Kind.WORDS: list}
# By hand from the English: key: (constants, input, expected) or several of them.
MEANING: dict[str, list[tuple]] = {
    "double_number": [((), 7, 14)],
    "square_number": [((), -3, 9)],
    "add_number": [((5,), 7, 12)],
    "subtract_number": [((5,), 7, 2)],
    "multiply_number": [((5,), 7, 35)],
    "divide_number": [((5,), 14, 2)],
    "find_remainder": [((5,), 14, 4)],
    "power_of_base": [((5,), 3, 125)],
    "absolute_value": [((), -4, 4)],
    "cap_number": [((5,), 9, 5), ((5,), 2, 2)],
    "digit_sum": [((), 1203, 6)],
    "count_digits": [((), 1203, 4)],
    "reverse_number": [((), 120, 21)],
    "sum_to_number": [((), 4, 10)],
    "factorial": [((), 4, 24), ((), 0, 1)],
    "fibonacci": [((), 7, 13), ((), 0, 0)],
    "is_even": [((), 4, True), ((), 5, False)],
    "is_odd": [((), -5, True), ((), 4, False)],
    "is_divisible": [((5,), 15, True), ((5,), 16, False)],
    "is_greater": [((5,), 6, True), ((5,), 5, False)],
    "is_less": [((5,), 4, True), ((5,), 5, False)],
    "is_prime": [((), 13, True), ((), 9, False), ((), 1, False), ((), 2, True)],
    "has_digit": [((5,), 152, True), ((5,), 12, False)],
    "list_digits": [((), 120, [1, 2, 0])],
    "find_divisors": [((), 6, [1, 2, 3, 6])],
    "count_up": [((), 3, [1, 2, 3])],
    "count_down": [((), 3, [3, 2, 1])],
    "to_binary": [((), 6, "110")],
    "reverse_string": [((), "abc", "cba")],
    "to_upper": [((), "aB c", "AB C")],
    "to_lower": [((), "aB C", "ab c")],
    "title_case": [((), "aB cd", "Ab Cd")],
    "remove_spaces": [((), "a b  c", "abc")],
    "remove_letter": [(("a",), "banana", "bnn")],
    "replace_letter": [(("a", "x"), "banana", "bxnxnx")],
    "first_characters": [((2,), "abcde", "ab")],
    "last_characters": [((2,), "abcde", "de")],
    "skip_characters": [((2,), "abcde", "cde")],
    "trim_characters": [((2,), "abcde", "abc")],
    "get_vowels": [((), "banane", "aae")],
    "remove_vowels": [((), "banane", "bnn")],
    "repeat_string": [((3,), "ab", "ababab")],
    "sort_characters": [((), "bca", "abc")],
    "unique_characters": [((), "banana", "ban")],
    "join_characters": [(("-",), "abc", "a-b-c")],
    "add_prefix": [(("re",), "do", "redo")],
    "add_suffix": [(("ing",), "do", "doing")],
    "string_length": [((), "a bc", 4)],
    "count_letter": [(("a",), "banana", 3)],
    "count_vowels": [((), "banane", 3)],
    "count_words": [((), "an old  cat", 3)],
    "count_upper": [((), "aBCd", 2)],
    "find_letter": [(("n",), "banana", 2), (("z",), "banana", -1)],
    "count_distinct_characters": [((), "banana", 3)],
    "is_palindrome": [((), "abba", True), ((), "abb", False)],
    "starts_with": [(("b",), "ball", True), (("b",), "cab", False)],
    "ends_with": [(("b",), "ball", False), (("b",), "cab", True)],
    "contains_letter": [(("b",), "abc", True), (("b",), "acd", False)],
    "is_longer": [((3,), "abcd", True), ((3,), "abc", False)],
    "split_words": [((), "an old cat", ["an", "old", "cat"])],
    "split_at": [(("-",), "a-b c-d", ["a", "b c", "d"])],
    "get_evens": [((), [1, 2, -4, 5], [2, -4])],
    "get_odds": [((), [1, 2, -3], [1, -3])],
    "get_positives": [((), [1, 0, -3], [1])],
    "greater_numbers": [((5,), [5, 6, 7], [6, 7])],
    "smaller_numbers": [((5,), [5, 4, 7], [4])],
    "divisible_numbers": [((5,), [5, 6, 10], [5, 10])],
    "remove_number": [((5,), [5, 6, 5], [6])],
    "square_numbers": [((), [1, -3], [1, 9])],
    "double_numbers": [((), [1, -3], [2, -6])],
    "add_to_each": [((5,), [1, -3], [6, 2])],
    "multiply_each": [((5,), [1, -3], [5, -15])],
    "remainders": [((5,), [7, 10], [2, 0])],
    "reverse_list": [((), [3, 1, 2], [2, 1, 3])],
    "sort_list": [((), [3, 1, 2], [1, 2, 3])],
    "sort_descending": [((), [3, 1, 2], [3, 2, 1])],
    "unique_numbers": [((), [3, 1, 3, 1], [3, 1])],
    "first_elements": [((2,), [3, 1, 2], [3, 1])],
    "last_elements": [((2,), [3, 1, 2], [1, 2])],
    "skip_elements": [((2,), [3, 1, 2], [2])],
    "rotate_list": [((2,), [3, 1, 2, 4], [2, 4, 3, 1])],
    "largest_numbers": [((2,), [3, 1, 2, 4], [4, 3])],
    "smallest_numbers": [((2,), [3, 1, 2, 4], [1, 2])],
    "append_number": [((5,), [3, 1], [3, 1, 5])],
    "prepend_number": [((5,), [3, 1], [5, 3, 1])],
    "running_sum": [((), [3, 1, -2], [3, 4, 2])],
    "differences": [((), [3, 1, 5], [-2, 4])],
    "sum_list": [((), [3, 1, -2], 2)],
    "product_of_list": [((), [3, 4, -2], -24)],
    "find_max": [((), [3, 4, -2], 4)],
    "find_min": [((), [3, 4, -2], -2)],
    "find_spread": [((), [3, 4, -2], 6)],
    "count_elements": [((), [3, 4, -2], 3)],
    "element_at": [((1,), [3, 4, -2], 4)],
    "last_element": [((), [3, 4, -2], -2)],
    "count_number": [((5,), [5, 4, 5], 2)],
    "count_greater": [((5,), [5, 6, 7], 2)],
    "count_divisible": [((5,), [5, 6, 10], 2)],
    "contains_number": [((5,), [4, 5], True), ((5,), [4], False)],
    "is_sorted": [((), [1, 2, 2], True), ((), [2, 1], False)],
    "has_duplicates": [((), [1, 2, 1], True), ((), [2, 1], False)],
    "all_greater": [((5,), [6, 7], True), ((5,), [5, 7], False)],
    "join_numbers": [(("-",), [1, 22], "1-22")],
    "upper_words": [((), ["ab", "c"], ["AB", "C"])],
    "reverse_each_word": [((), ["ab", "cd"], ["ba", "dc"])],
    "sort_words": [((), ["b", "a"], ["a", "b"])],
    "long_words": [((2,), ["ab", "abc"], ["abc"])],
    "words_starting_with": [(("b",), ["ab", "ba"], ["ba"])],
    "words_containing": [(("b",), ["ab", "ca"], ["ab"])],
    "word_prefixes": [((2,), ["abc", "d"], ["ab", "d"])],
    "add_word_suffix": [(("!",), ["a", "b"], ["a!", "b!"])],
    "join_words": [((), ["a", "b"], "a b")],
    "join_with": [(("-",), ["a", "b"], "a-b")],
    "longest_word": [((), ["a", "bcd", "ef"], "bcd")],
    "shortest_word": [((), ["ab", "c", "def"], "c")],
    "join_initials": [((), ["ab", "cd"], "ac")],
    "total_length": [((), ["ab", "c"], 3)],
    "count_strings": [((), ["ab", "c"], 2)],
    "list_lengths": [((), ["ab", "c"], [2, 1])],
    "all_words_longer": [((2,), ["abc"], True), ((2,), ["ab", "abc"], False)],
}


def random_chain(depth: int, seed: int) -> Chain:
    rng = random.Random(seed)
    return tuple(draw_step(operation, rng) for operation in random_operations(depth, rng))


def all_steps() -> list[Step]:
    return [Step(operation, constants) for operation in OPERATIONS for constants in operation.pool or ((),)]


def test_library_is_large_and_every_operation_has_a_known_meaning():
    assert len(OPERATIONS) >= 60
    assert set(MEANING) == set(BY_KEY)


@pytest.mark.parametrize("key", MEANING)
def test_operation_does_what_it_says(key: str):
    for constants, value, expected in MEANING[key]:
        outcome = step_function(Step(BY_KEY[key], constants))(value)
        assert outcome == expected
        assert type(outcome) is type(expected)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.key)
def test_operation_is_complete(operation: Operation):
    assert len(set(operation.phrasings)) >= 3
    assert operation.verbs
    assert not operation.pool or len(set(operation.pool)) >= 6
    assert set(operation.shapes) <= set(SHAPES)
    for name in (operation.key, *operation.names, operation.noun_name, operation.verb_name, operation.variable):
        assert name.isidentifier()
        assert not keyword.iskeyword(name)
    assert not hasattr(builtins, operation.variable)
    used = {field for _, field, _, _ in string.Formatter().parse(operation.expr) if field is not None}
    in_body = {field for line in operation.body for _, field, _, _ in string.Formatter().parse(line) if field}
    assert "x" in used | in_body
    constants = {field for field in used | in_body if field.isdigit()}
    assert len(constants) == (len(operation.pool[0]) if operation.pool else 0)
    for phrase in operation.phrasings:  # every phrase names its subject once and every constant
        fields = [field for _, field, _, _ in string.Formatter().parse(phrase) if field is not None]
        assert len([field for field in fields if field in ("x", "xs", "in")]) == 1
        assert {field for field in fields if field.isdigit()} == constants


def test_no_two_operations_share_a_name_or_a_program():
    names = [(operation.takes, name) for operation in OPERATIONS for name in (operation.key, *operation.names)]
    assert len(set(names)) == len(names)
    programs = [(step.operation.takes, normalise(str(write_solution((step,), "f")))) for step in all_steps()]
    assert len(set(programs)) == len(programs)


def test_inputs_fit_their_operation():
    rng = random.Random(0)
    for step in all_steps():
        hint = step.constants[0] if step.constants else None
        values = [draw_input(rng, step.operation.takes, step.operation.shapes, hint) for _ in range(20)]
        assert {type(value) for value in values} == {TYPES[step.operation.takes]}
        outcomes = [trace_chain((step,), value)[-1] for value in values]
        fitting = [outcome for outcome in outcomes if type(outcome) is TYPES[step.operation.gives]]
        assert len(fitting) >= 5, step


@settings(max_examples=50, deadline=None)
@given(depth=st.integers(1, 4), seed=st.integers(0, 10**6))
def test_composed_function_is_the_composition_of_its_parts(depth: int, seed: int):
    chain = random_chain(depth, seed)
    source = write_solution(chain, "composed")
    if source is None:  # two variables of one name
        return
    composed = run_solution(source, "composed")
    rng = random.Random(seed)
    hint = chain[0].constants[0] if chain[0].constants else None
    for _ in range(5):
        value = draw_input(rng, chain[0].operation.takes, chain[0].operation.shapes, hint)
        trace = trace_chain(chain, value)
        if type(trace[-1]) is TYPES[chain[-1].operation.gives]:
            assert composed(value) == trace[-1]


def test_clashing_variables_are_refused():
    chain = tuple(Step(BY_KEY[key], ()) for key in ("factorial", "list_digits", "product_of_list"))
    assert write_solution(chain, "f") is None  # both loops have a `product`


def test_style_follows_from_the_operations():
    short = (Step(BY_KEY["split_words"], ()), Step(BY_KEY["count_strings"], ()))
    assert write_solution(short, "f") == "def f(text):\n    return len(text.split())"
    long = (Step(BY_KEY["get_evens"], ()), Step(BY_KEY["sum_list"], ()))
    assert (
        write_solution(long, "f") == "def f(nums):\n    evens = [v for v in nums if v % 2 == 0]\n    return sum(evens)"
    )
    twice = (Step(BY_KEY["sort_list"], ()), Step(BY_KEY["find_spread"], ()))
    assert (
        write_solution(twice, "f") == "def f(nums):\n    ordered = sorted(nums)\n    return max(ordered) - min(ordered)"
    )


@settings(max_examples=50, deadline=None)
@given(depth=st.integers(2, 4), seed=st.integers(0, 10**6))
def test_descriptions_hold_every_constant_in_short_clean_ascii(depth: int, seed: int):
    chain = random_chain(depth, seed)
    described = describe_chain(chain, random.Random(seed))
    if described is None:
        return
    assert described.text.isascii()
    assert "  " not in described.text
    assert not set("{}") & set(described.text)
    assert len(described.text) < 160
    assert described.name.isidentifier()
    for _, constants in chain:
        assert all((repr(value) if isinstance(value, str) else str(value)) in described.text for value in constants)


def test_one_operation_is_described_by_the_phrasing_asked_for():
    step = Step(BY_KEY["sum_list"], ())
    texts = {describe_step(step, "add up {xs}", random.Random(seed)).text for seed in range(40)}
    assert "Write a function to add up the numbers in a list." in texts
    assert all("add up the numbers in" in text for text in texts)
    assert any("find the total of" in describe_step(step, "the total of {xs}", random.Random(s)).text for s in range(9))


@pytest.mark.parametrize(
    "keys", [("sort_list", "reverse_list", "sort_list"), ("count_up", "find_max"), ("double_number", "is_even")]
)
def test_degenerate_compositions_are_no_tasks(keys: tuple[str, ...]):
    chain = tuple(Step(BY_KEY[key], ()) for key in keys)
    assert all(choose_examples(chain, random.Random(seed)) is None for seed in range(20))


def test_examples_tell_apart_neighbouring_programs():
    chain = (Step(BY_KEY["get_evens"], ()), Step(BY_KEY["square_numbers"], ()))
    for seed in range(20):
        examples = choose_examples(chain, random.Random(seed))
        if examples is not None:
            assert any(outcome != [v**2 for v in value] for value, outcome in examples)
            assert any(outcome != [v for v in value if v % 2 == 0] for value, outcome in examples)
            assert sum(not outcome for _, outcome in examples) <= 1
