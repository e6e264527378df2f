"""Operations on one string whose result is a number, a truth value or a list."""

from __future__ import annotations

from functools import partial

from hrm_codegen.data.basics.operation import Kind, Operation, checks, letters, numbers

_to_int = partial(Operation, takes=Kind.STR, gives=Kind.INT)
_to_bool = partial(Operation, takes=Kind.STR, gives=Kind.BOOL)
_to_words = partial(Operation, takes=Kind.STR, gives=Kind.WORDS)
_to_ints = partial(Operation, takes=Kind.STR, gives=Kind.INTS)

_COUNTS = (
    _to_int(
        key="string_length",
        expr="len({x})",
        nouns=("the length of {x}", "the number of characters in {x}"),
        verbs=("count the characters {in}",),
        names=("find_length",),
        label="length",
        act="count_characters",
    ),
    _to_int(
        key="count_letter",
        expr="{x}.count({0!r})",
        nouns=("the number of times {0!r} occurs {in}",),
        verbs=("count how often {0!r} occurs {in}", "count the occurrences of {0!r} {in}"),
        names=("letter_count",),
        label="letter_count",
        var="count",
        pool=letters(),
        shapes=("phrase", "hinted"),
    ),
    _to_int(
        key="count_vowels",
        expr="sum(c in 'aeiou' for c in {x})",
        nouns=("the number of vowels in {x}",),
        verbs=("count the vowels {in}", "count how many vowels {x} has"),
        names=("number_of_vowels",),
        label="vowel_count",
    ),
    _to_int(
        key="count_words",
        expr="len({x}.split())",
        nouns=("the number of words in {x}",),
        verbs=("count the words {in}", "count how many words {x} has"),
        names=("number_of_words",),
        label="word_count",
        shapes=("phrase", "word"),
    ),
    _to_int(
        key="count_upper",
        expr="sum(c.isupper() for c in {x})",
        nouns=("the number of upper case letters in {x}",),
        verbs=("count the upper case letters {in}", "count the capital letters {in}"),
        names=("count_capitals",),
        label="capital_count",
        shapes=("mixed",),
    ),
    _to_int(
        key="find_letter",
        expr="{x}.find({0!r})",
        nouns=("the first position of {0!r} {in}", "the index of the first {0!r} {in}"),
        verbs=("find where {0!r} first occurs {in}",),
        names=("letter_position",),
        label="position",
        pool=letters(),
        shapes=("phrase", "hinted"),
    ),
    _to_int(
        key="count_distinct_characters",
        expr="len(set({x}))",
        nouns=("the number of distinct characters in {x}", "the number of different characters in {x}"),
        verbs=("count the distinct characters {in}",),
        names=("distinct_characters",),
        label="distinct_count",
        act="count_distinct",
    ),
)

_PREDICATES = (
    _to_bool(
        key="is_palindrome",
        expr="{x} == {x}[::-1]",
        verbs=checks("{x} is a palindrome", "{x} reads the same backwards"),
        names=("check_palindrome",),
        shapes=("palindrome", "word"),
    ),
    _to_bool(
        key="starts_with",
        expr="{x}.startswith({0!r})",
        verbs=checks("{x} starts with {0!r}", "{x} begins with {0!r}"),
        names=("check_start",),
        pool=letters("abcdefghlmnoprstw"),
        shapes=("initial", "word", "phrase"),
    ),
    _to_bool(
        key="ends_with",
        expr="{x}.endswith({0!r})",
        verbs=checks("{x} ends with {0!r}", "the end of {x} is {0!r}"),
        names=("check_end",),
        pool=letters("deghklmnorsty"),
        shapes=("final", "word", "phrase"),
    ),
    _to_bool(
        key="contains_letter",
        expr="{0!r} in {x}",
        verbs=checks("{x} contains {0!r}", "{0!r} occurs {in}"),
        names=("has_letter",),
        pool=letters(),
        shapes=("word", "hinted"),
    ),
    _to_bool(
        key="is_longer",
        expr="len({x}) > {0}",
        verbs=checks("{x} is longer than {0} characters", "{x} has more than {0} characters"),
        names=("check_longer",),
        pool=numbers(3, 14),
        shapes=("word", "phrase"),
    ),
)

_LISTS = (
    _to_words(
        key="split_words",
        expr="{x}.split()",
        nouns=("the words of {x}",),
        verbs=("split {x} into words", "list the words of {x}"),
        names=("list_words",),
        label="words",
        var="words",
        shapes=("phrase",),
    ),
    _to_words(
        key="split_at",
        expr="{x}.split({0!r})",
        nouns=("the parts between each {0!r} {in}",),
        verbs=("split {x} at each {0!r}", "split {x} at {0!r}", "break {x} into parts at {0!r}"),
        names=("split_at_separator",),
        label="parts",
        pool=letters("-,;:/|_+.#"),
        shapes=("separated",),
    ),
)

STRING_QUERIES = _COUNTS + _PREDICATES + _LISTS
