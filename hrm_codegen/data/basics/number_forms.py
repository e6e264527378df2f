"""Operations that turn one integer into a list or a string."""

from __future__ import annotations

from functools import partial

from hrm_codegen.data.basics.operation import Kind, Operation

_to_list = partial(Operation, takes=Kind.INT, gives=Kind.INTS)
_to_text = partial(Operation, takes=Kind.INT, gives=Kind.STR)


def _countable(n: int) -> bool:
    return 1 <= n <= 12


NUMBER_FORMS = (
    _to_list(
        key="list_digits",
        expr="[int(d) for d in str({x})]",
        nouns=("the digits of {x}",),
        verbs=("list the digits of {x}", "split {x} into its digits"),
        names=("get_digits",),
        label="digits",
        accepts=lambda n: n >= 0,
    ),
    _to_list(
        key="find_divisors",
        expr="[d for d in range(1, {x} + 1) if {x} % d == 0]",
        nouns=("the divisors of {x}", "the factors of {x}"),
        verbs=("list the divisors of {x}",),
        names=("list_factors",),
        label="divisors",
        act="list_divisors",
        shapes=("small",),
        accepts=lambda n: 1 <= n <= 200,
    ),
    _to_list(
        key="count_up",
        expr="list(range(1, {x} + 1))",
        nouns=("the numbers from 1 to {x}", "the integers from 1 up to {x}"),
        verbs=("list the numbers from 1 to {x}",),
        names=("numbers_up_to",),
        label="range",
        var="counts",
        shapes=("tiny",),
        accepts=_countable,
    ),
    _to_list(
        key="count_down",
        expr="list(range({x}, 0, -1))",
        nouns=("the numbers from {x} down to 1",),
        verbs=("count down from {x} to 1", "list the numbers from {x} down to 1"),
        names=("countdown",),
        label="countdown",
        shapes=("tiny",),
        accepts=_countable,
    ),
    _to_text(
        key="to_binary",
        expr="bin({x})[2:]",
        nouns=("the binary form of {x}", "the binary digits of {x}"),
        verbs=("convert {x} to binary",),
        names=("number_to_binary",),
        label="binary",
        var="bits",
        accepts=lambda n: n >= 0,
    ),
)
