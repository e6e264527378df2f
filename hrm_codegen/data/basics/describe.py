"""Describes a composition in English and names its function.

Two styles. *Nested*: noun phrases inside each other ("find the sum of the even numbers in a list"), for compositions
whose inner operations have noun phrases. *Sequence*: verb phrases in the order of application ("keep only the even
numbers in a list and then add up the numbers in the result"), for any composition.
"""

from __future__ import annotations

import random
from typing import NamedTuple

from hrm_codegen.data.basics.compose import Chain, Step
from hrm_codegen.data.basics.operation import Kind

MAX_TEXT = 159
MAX_NAME = 44

_NOUN_FRAMES = (
    "Write a function to find {}.",
    "Write a function to get {}.",
    "Write a function that returns {}.",
    "Write a python function to find {}.",
    "Write a python function to get {}.",
)
_VERB_FRAMES = ("Write a function to {}.", "Write a python function to {}.")


class _Subject(NamedTuple):
    """What a phrase is about: the thing, its elements, the place of them (`{x}`, `{xs}`, `{in}`)."""

    whole: str
    elements: str
    place: str

    def fill(self, phrase: str, step: Step) -> str:
        return phrase.format(*step.constants, x=self.whole, xs=self.elements, **{"in": self.place})


def _single(whole: str) -> _Subject:
    return _Subject(whole, whole, f"in {whole}")


_SUBJECTS: dict[Kind, tuple[_Subject, ...]] = {
    Kind.INT: tuple(map(_single, ("a number", "a given number", "an integer", "the given number"))),
    Kind.STR: tuple(map(_single, ("a string", "a given string", "the given string"))),
    Kind.INTS: (
        _Subject("a list of numbers", "the numbers in a list", "in a list of numbers"),
        _Subject("a list", "the numbers in a list", "in a list"),
        _Subject("a given list", "the numbers in a given list", "in a given list"),
        _Subject("the given list", "the numbers in the given list", "in the given list"),
    ),
    Kind.WORDS: (
        _Subject("a list of strings", "the strings in a list", "in a list of strings"),
        _Subject("a given list of strings", "the strings in a given list", "in a given list of strings"),
        _Subject("the given list of strings", "the strings in the given list", "in the given list of strings"),
    ),
}
_RESULTS: dict[Kind, _Subject] = {
    Kind.INT: _single("the result"),
    Kind.STR: _single("the result"),
    Kind.INTS: _Subject("the result", "the numbers in the result", "in the result"),
    Kind.WORDS: _Subject("the result", "the strings in the result", "in the result"),
}


class Description(NamedTuple):
    """A task's text and the name of its function."""

    text: str
    name: str


def describe_step(step: Step, phrasing: str, rng: random.Random) -> Description:
    """Describes one operation by the given one of its phrasings."""
    operation = step.operation
    frames = _NOUN_FRAMES if phrasing in operation.nouns else _VERB_FRAMES
    subject = rng.choice(_SUBJECTS[operation.takes])
    return Description(
        rng.choice(frames).format(subject.fill(phrasing, step)), rng.choice((operation.key, *operation.names))
    )


def describe_chain(chain: Chain, rng: random.Random) -> Description | None:
    """Describes two or more operations in a drawn style; None if that came out too long."""
    nests = all(step.operation.nouns for step in chain[:-1])
    text, name = (_nested if nests and rng.random() < 0.5 else _sequence)(chain, rng)
    return Description(text, name) if len(text) <= MAX_TEXT and len(name) <= MAX_NAME else None


def _nested(chain: Chain, rng: random.Random) -> tuple[str, str]:
    subject = rng.choice(_SUBJECTS[chain[0].operation.takes])
    for step in chain[:-1]:
        subject = _single(subject.fill(rng.choice(step.operation.nouns), step))
    outer = chain[-1].operation
    phrasing = rng.choice(outer.phrasings)
    is_noun = phrasing in outer.nouns
    text = rng.choice(_NOUN_FRAMES if is_noun else _VERB_FRAMES).format(subject.fill(phrasing, chain[-1]))
    inner = "_of_".join(step.operation.noun_name for step in chain[-2::-1])
    return text, f"{outer.noun_name}_of_{inner}" if is_noun else f"{outer.verb_name}_{inner}"


def _sequence(chain: Chain, rng: random.Random) -> tuple[str, str]:
    subject = rng.choice(_SUBJECTS[chain[0].operation.takes])
    clauses = []
    for step in chain:
        clauses.append(subject.fill(rng.choice(step.operation.verbs), step))
        subject = _RESULTS.get(step.operation.gives, subject)
    actions = [step.operation.verb_name for step in chain]
    text = rng.choice(_VERB_FRAMES).format(f"{', '.join(clauses[:-1])} and then {clauses[-1]}")
    return text, f"{'_'.join(actions[:-1])}_and_{actions[-1]}"
