"""Draws example inputs, by kind and shape.

Why shapes: a random string is never a palindrome and a random list is never sorted, so an operation names the shapes
that show what it does. A *hint* is the first constant of the first operation: the letter that a string should contain,
the number that a list should hold.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from hrm_codegen.data.basics.operation import Kind

Hint = int | str | None
Shape = Callable[[random.Random, Hint], Any]

_WORDS = (
    "apple arm autumn bag ball banana bear bell berry bird blue boat book bottle bread breeze brown bus cake "
    "camera candle car castle cat chair cherry city cloud coat coffee corn cow cup dance deer desk dog door "
    "dream drum duck eagle ear earth egg engine evening eye farm feather field fire fish flag flower forest "
    "fox friend frog fruit game garden gate glass goat gold grape grass green guitar hand harbor hat hill "
    "honey horse house ice ink island jacket jam jar kettle key king kite ladder lake lamp leaf lemon letter "
    "level light lion map market melon milk mirror moon morning mountain mouse music needle nest night noon "
    "nose oak ocean onion orange owl paint paper peach pear pen pencil piano pine plane planet pond queen "
    "rabbit radar rain red ring river road robin roof rope rose salt sand school sea seed shell ship silver "
    "sky snow song spoon spring star stone storm street sugar summer sun table tea tiger tower train tree "
    "tulip turtle umbrella valley violin wagon wall water wheel whistle wind window winter wolf wood yard "
    "yellow zebra "
)
VOCABULARY = _WORDS.split()


def _word(rng: random.Random, hint: Hint) -> str:
    return rng.choice(VOCABULARY)


def _phrase(rng: random.Random, hint: Hint) -> str:
    return " ".join(rng.choices(VOCABULARY, k=rng.randint(2, 4)))


def _mixed(rng: random.Random, hint: Hint) -> str:
    words = rng.choices(VOCABULARY, k=rng.randint(1, 3))
    return " ".join(rng.choice((str.title, str.upper, str.lower, str.title))(word) for word in words)


def _palindrome(rng: random.Random, hint: Hint) -> str:
    half = rng.choice(VOCABULARY)[: rng.randint(2, 3)]
    return half + half[::-1][rng.randint(0, 1) :]


def _matching(accept: Callable[[str, str], bool]) -> Shape:
    """One or two words, the first of which `accept`s the hint."""

    def draw(rng: random.Random, hint: Hint) -> str:
        words = [word for word in VOCABULARY if accept(word, str(hint))]
        return " ".join([rng.choice(words or VOCABULARY), *rng.choices(VOCABULARY, k=rng.randint(0, 1))])

    return draw


def _final(rng: random.Random, hint: Hint) -> str:
    words = [word for word in VOCABULARY if word.endswith(str(hint))]
    return " ".join([*rng.choices(VOCABULARY, k=rng.randint(0, 1)), rng.choice(words or VOCABULARY)])


def _separated(rng: random.Random, hint: Hint) -> str:
    return str(hint).join(rng.choices(VOCABULARY, k=rng.randint(2, 4)))


def _integers(low: int, high: int) -> Shape:
    return lambda rng, hint: rng.randint(low, high)


def _number(hint: Hint) -> int:
    return hint if isinstance(hint, int) else 5


def _multiple(rng: random.Random, hint: Hint) -> int:
    return _number(hint) * rng.randint(1, 12)


def _near(rng: random.Random, hint: Hint) -> int:
    return _number(hint) + rng.randint(-4, 5)


def _list(length: tuple[int, int], values: tuple[int, int]) -> Shape:
    return lambda rng, hint: [rng.randint(*values) for _ in range(rng.randint(*length))]


def _repeating(rng: random.Random, hint: Hint) -> list[int]:
    values = [rng.randint(1, 20) for _ in range(3)]
    return rng.choices(values, k=rng.randint(4, 7))


def _ascending(rng: random.Random, hint: Hint) -> list[int]:
    return sorted(rng.randint(-10, 50) for _ in range(rng.randint(3, 6)))


def _multiples(rng: random.Random, hint: Hint) -> list[int]:
    values = [_number(hint) * rng.randint(1, 9) for _ in range(2)] + [
        rng.randint(1, 50) for _ in range(rng.randint(2, 4))
    ]
    return rng.sample(values, k=len(values))


def _holding(rng: random.Random, hint: Hint) -> list[int]:
    values = [_number(hint)] * rng.randint(1, 2) + [rng.randint(1, 20) for _ in range(rng.randint(3, 4))]
    return rng.sample(values, k=len(values))


def _above(rng: random.Random, hint: Hint) -> list[int]:
    return [_number(hint) + rng.randint(0, 20) for _ in range(rng.randint(3, 5))]


def _long(rng: random.Random, hint: Hint) -> list[int]:
    length = min(_number(hint), 8) + rng.randint(1, 3)
    return [rng.randint(-9, 50) for _ in range(length)]


def _words(low: int, high: int) -> Shape:
    return lambda rng, hint: rng.sample(VOCABULARY, k=rng.randint(low, high))


def _initials(rng: random.Random, hint: Hint) -> list[str]:
    matching = [word for word in VOCABULARY if word.startswith(str(hint))]
    words = {*rng.sample(matching, k=min(2, len(matching))), *rng.sample(VOCABULARY, k=rng.randint(2, 3))}
    return rng.sample(sorted(words), k=len(words))


SHAPES: dict[str, Shape] = {
    "exponent": _integers(0, 5),
    "tiny": _integers(1, 10),
    "small": _integers(2, 40),
    "natural": _integers(2, 200),
    "large": _integers(100, 9999),
    "signed": _integers(-60, 60),
    "multiple": _multiple,
    "near": _near,
    "word": _word,
    "phrase": _phrase,
    "mixed": _mixed,
    "palindrome": _palindrome,
    "hinted": _matching(lambda word, hint: hint in word),
    "initial": _matching(lambda word, hint: word.startswith(hint)),
    "final": _final,
    "separated": _separated,
    "plain": _list((4, 7), (-15, 50)),
    "positive": _list((4, 6), (1, 60)),
    "short": _list((2, 5), (-4, 9)),
    "repeating": _repeating,
    "ascending": _ascending,
    "multiples": _multiples,
    "holding": _holding,
    "above": _above,
    "long": _long,
    "plain_words": _words(3, 5),
    "few_words": _words(2, 3),
    "initials": _initials,
}
DEFAULT_SHAPES: dict[Kind, tuple[str, ...]] = {
    Kind.INT: ("natural", "small"),
    Kind.STR: ("word", "phrase"),
    Kind.INTS: ("plain",),
    Kind.WORDS: ("plain_words",),
}


def draw_input(rng: random.Random, kind: Kind, shapes: Sequence[str], hint: Hint) -> Any:
    """Returns a value of `kind` in one of `shapes` (empty: the default shapes of the kind)."""
    return SHAPES[rng.choice(shapes or DEFAULT_SHAPES[kind])](rng, hint)
