"""Operations on a list of integers whose result is a number, a truth value or a string."""

from __future__ import annotations

from functools import partial

from hrm_codegen.data.basics.operation import Kind, Operation, checks, letters, numbers

_to_int = partial(Operation, takes=Kind.INTS, gives=Kind.INT)
_to_bool = partial(Operation, takes=Kind.INTS, gives=Kind.BOOL)

_VALUES = (
    _to_int(
        key="sum_list",
        expr="sum({x})",
        nouns=("the sum of {xs}", "the total of {xs}"),
        verbs=("add up {xs}", "sum {xs}"),
        names=("sum_of_list",),
        label="sum",
        act="sum",
        var="total",
    ),
    _to_int(
        key="product_of_list",
        expr="product",
        body=("product = 1", "for v in {x}:", "    product *= v"),
        nouns=("the product of {xs}",),
        verbs=("multiply together {xs}", "multiply {xs} with each other"),
        names=("multiply_list",),
        label="product",
        act="multiply",
        shapes=("short",),
        accepts=lambda nums: len(nums) <= 6,
    ),
    _to_int(
        key="find_max",
        expr="max({x})",
        nouns=("the largest of {xs}", "the maximum of {xs}"),
        verbs=("find the largest number {in}",),
        names=("max_of_list",),
        label="max",
        var="largest",
    ),
    _to_int(
        key="find_min",
        expr="min({x})",
        nouns=("the smallest of {xs}", "the minimum of {xs}"),
        verbs=("find the smallest number {in}",),
        names=("min_of_list",),
        label="min",
        var="smallest",
    ),
    _to_int(
        key="find_spread",
        expr="max({x}) - min({x})",
        nouns=("the difference between the largest and smallest of {xs}", "the spread of {xs}"),
        verbs=("subtract the smallest from the largest of {xs}",),
        names=("max_minus_min",),
        label="spread",
    ),
    _to_int(
        key="count_elements",
        expr="len({x})",
        nouns=("the count of {xs}", "the number of elements {in}"),
        verbs=("count {xs}",),
        names=("list_length",),
        label="count",
        act="count",
    ),
    _to_int(
        key="element_at",
        expr="{x}[{0}]",
        nouns=("the element at index {0} of {x}", "the number at index {0} {in}"),
        verbs=("take the element at index {0} of {x}",),
        names=("get_element",),
        label="element",
        act="take_element",
        pool=numbers(1, 7),
        shapes=("long",),
    ),
    _to_int(
        key="last_element",
        expr="{x}[-1]",
        nouns=("the last element of {x}", "the last of {xs}"),
        verbs=("take the last element of {x}",),
        names=("get_last",),
        label="last",
        act="take_last",
        var="last",
    ),
    _to_int(
        key="count_number",
        expr="{x}.count({0})",
        nouns=("the number of times {0} occurs {in}",),
        verbs=("count how often {0} occurs {in}", "count the occurrences of {0} {in}"),
        names=("occurrences_of_number",),
        label="occurrences",
        pool=numbers(1, 20),
        shapes=("holding",),
    ),
    _to_int(
        key="count_greater",
        expr="sum(v > {0} for v in {x})",
        nouns=("the number of elements greater than {0} {in}",),
        verbs=("count the numbers greater than {0} {in}", "count the elements above {0} {in}"),
        names=("count_above",),
        label="count_greater",
        var="count",
        pool=numbers(2, 30),
    ),
    _to_int(
        key="count_divisible",
        expr="sum(v % {0} == 0 for v in {x})",
        nouns=("the number of multiples of {0} {in}",),
        verbs=("count the multiples of {0} {in}", "count the numbers divisible by {0} {in}"),
        names=("count_multiples",),
        label="count_divisible",
        var="count",
        pool=numbers(3, 12),
        shapes=("multiples", "plain"),
    ),
)

_PREDICATES = (
    _to_bool(
        key="contains_number",
        expr="{0} in {x}",
        verbs=checks("{x} contains {0}", "{0} occurs {in}"),
        names=("has_number",),
        pool=numbers(1, 20),
        shapes=("holding", "plain"),
    ),
    _to_bool(
        key="is_sorted",
        expr="{x} == sorted({x})",
        verbs=checks("{xs} are in ascending order", "{xs} are sorted"),
        names=("check_sorted",),
        shapes=("ascending", "plain"),
    ),
    _to_bool(
        key="has_duplicates",
        expr="len(set({x})) < len({x})",
        verbs=checks("{xs} have duplicates", "any two of {xs} are equal"),
        names=("check_duplicates",),
        shapes=("repeating", "plain"),
    ),
    _to_bool(
        key="all_greater",
        expr="all(v > {0} for v in {x})",
        verbs=checks("all of {xs} are greater than {0}", "all of {xs} are above {0}"),
        names=("all_above",),
        pool=numbers(1, 15),
        shapes=("above", "plain"),
    ),
)

_TEXTS = (
    Operation(
        key="join_numbers",
        takes=Kind.INTS,
        gives=Kind.STR,
        expr="{0!r}.join(str(v) for v in {x})",
        verbs=("join {xs} with {0!r}", "write {xs} separated by {0!r}", "put {0!r} between {xs}"),
        names=("numbers_to_string",),
        label="joined_numbers",
        var="joined",
        pool=letters("-,;:/|_+.#*~"),
    ),
)

LIST_QUERIES = _VALUES + _PREDICATES + _TEXTS
