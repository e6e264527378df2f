"""Any bytes are a plain value or a WireError, and every plain value survives the way through bytes."""

from __future__ import annotations

import contextlib
import datetime
import math
from collections import Counter, OrderedDict, deque
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrm_codegen.evaluator.jail.decoder import Decoder
from hrm_codegen.evaluator.jail.encoder import Encoder, WireError
from hrm_codegen.evaluator.jail.reply import unpack

TAGS = b"NTFEiIfcsbBltSZdCOkqrxDQ1234nKVWyRhugp"
_hashable = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**200), 2**200)
    | st.floats()
    | st.complex_numbers()
    | st.text(st.characters(codec=None, categories=None), max_size=8)
    | st.binary(max_size=8)
    | st.decimals(allow_nan=False)
    | st.fractions()
    | st.dates()
    | st.times()
    | st.datetimes(timezones=st.just(datetime.UTC) | st.none())
    | st.timedeltas()
    | st.builds(range, st.integers(-9, 9), st.integers(-9, 9), st.integers(1, 9))
    | st.sampled_from([int, str, list, ValueError, ...]),
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3),
    max_leaves=6,
)
VALUES = st.recursive(
    _hashable,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(_hashable, inner, max_size=4)
        | st.sets(_hashable, max_size=4)
        | st.builds(deque, st.lists(inner, max_size=4), st.none() | st.integers(4, 9))
        | st.dictionaries(_hashable, st.integers(0, 5), max_size=4).map(Counter)
        | st.dictionaries(_hashable, inner, max_size=4).map(OrderedDict)
        | st.binary(max_size=8).map(bytearray)
        | st.builds(slice, st.integers(), st.none(), st.none())
    ),
    max_leaves=12,
)


def opaque(*_: Any) -> Any:
    raise WireError("nothing but plain data here")


def encoded(value: Any) -> bytes:
    return Encoder(opaque).encode(value)


def decoded(data: bytes) -> Any:
    return Decoder(data, opaque).decode()


def same(left: Any, right: Any) -> bool:
    """Whether two plain values are equal and of the same types, nan and -0.0 included."""
    if type(left) is not type(right):
        return False
    if isinstance(left, float):
        if math.isnan(left):
            return math.isnan(right)
        return left == right and math.copysign(1, left) == math.copysign(1, right)
    if isinstance(left, complex):
        return same(left.real, right.real) and same(left.imag, right.imag)
    if isinstance(left, dict):
        return len(left) == len(right) and all(
            same(*pair) for items in zip(left.items(), right.items(), strict=True) for pair in zip(*items, strict=True)
        )
    if isinstance(left, list | tuple | deque):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, set | frozenset):
        return same(sorted(left, key=encoded), sorted(right, key=encoded))
    return bool(left == right)


@given(VALUES)
@settings(max_examples=300, deadline=None)
def test_plain_values_survive(value: Any) -> None:
    assert same(decoded(encoded(value)), value)


@given(st.binary(max_size=200))
@settings(max_examples=500, deadline=None)
def test_any_bytes_are_a_value_or_a_wire_error(data: bytes) -> None:
    _read_all(data)


@given(st.lists(st.sampled_from(TAGS) | st.integers(0, 255) | st.sampled_from([0, 0, 0, 1, 2, 3]), max_size=80))
@settings(max_examples=1000, deadline=None)
def test_any_tags_are_a_value_or_a_wire_error(data: list[int]) -> None:
    _read_all(bytes(data))


@given(VALUES, st.data())
@settings(max_examples=500, deadline=None)
def test_a_changed_message_is_a_value_or_a_wire_error(value: Any, data: st.DataObject) -> None:
    message = bytearray(encoded(value))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(message) - 1))
        match data.draw(st.sampled_from(["change", "cut", "double", "tag"])):
            case "change":
                message[place] = data.draw(st.integers(0, 255))
            case "cut":
                del message[place : place + data.draw(st.integers(1, 5))]
            case "double":
                message[place:place] = message[place : place + 9]
            case "tag":
                message[place] = data.draw(st.sampled_from(TAGS))
        if not message:
            break
    _read_all(bytes(message))


def _read_all(data: bytes) -> None:
    for read in (decoded, lambda d: unpack(d, opaque, [[], {}, set()]), lambda d: Decoder(d, opaque).count(10)):
        with contextlib.suppress(WireError):
            read(data)


@pytest.mark.parametrize("size", [1, 2, 50])
def test_aliases_survive(size: int) -> None:
    inner: list[int] = []
    value = decoded(encoded([inner] * size + [{"a": inner}]))
    value[0].append(7)
    assert value == [[7]] * size + [{"a": [7]}]


def test_cycles_survive() -> None:
    loop: list[Any] = [1]
    loop.append({"self": loop})
    value = decoded(encoded(loop))
    assert value[1]["self"] is value


@pytest.mark.parametrize("tag", [bytes([tag]) for tag in range(256)])
def test_every_tag_alone_and_with_huge_counts(tag: bytes) -> None:
    for rest in (b"", b"\xff" * 4, b"\xff" * 40, b"\0" * 40, b"\x7f" + b"\xff" * 20):
        _read_all(tag + rest)
        _read_all(b"l\0\0\0\1" + tag + rest)


def test_a_signalling_nan_in_a_set() -> None:
    text = b"sNaN"
    _read_all(b"S\0\0\0\1D\0\0\0\4" + text)
    assert decoded(b"D\0\0\0\4" + text).is_snan()
    assert isinstance(decoded(encoded(Decimal("1e-5"))), Decimal)
    assert isinstance(decoded(encoded(Fraction(1, 3))), Fraction)
