"""Operations on a list of strings."""

from __future__ import annotations

from functools import partial

from hrm_codegen.data.basics.operation import Kind, Operation, checks, letters, numbers

_words = partial(Operation, takes=Kind.WORDS, gives=Kind.WORDS)
_to_text = partial(Operation, takes=Kind.WORDS, gives=Kind.STR)
_to_int = partial(Operation, takes=Kind.WORDS, gives=Kind.INT)

_INITIALS = "abcdefghlmnoprstw"

_EDITS = (
    _words(
        key="upper_words",
        expr="[w.upper() for w in {x}]",
        nouns=("the upper case forms of {xs}",),
        verbs=("convert each of {xs} to upper case", "change {xs} to upper case"),
        names=("uppercase_words",),
        label="upper_words",
        act="uppercase_words",
        var="uppers",
    ),
    _words(
        key="reverse_each_word",
        expr="[w[::-1] for w in {x}]",
        nouns=("the reversals of {xs}",),
        verbs=("reverse each of {xs}", "write each of {xs} backwards"),
        names=("reverse_words",),
        label="reversed_words",
        var="reversals",
    ),
    _words(
        key="sort_words",
        expr="sorted({x})",
        nouns=("the alphabetically sorted elements of {x}",),
        verbs=("sort {xs} alphabetically", "put {xs} in alphabetical order"),
        names=("alphabetical_order",),
        label="sorted_words",
        var="ordered",
    ),
    _words(
        key="long_words",
        expr="[w for w in {x} if len(w) > {0}]",
        nouns=("the strings longer than {0} {in}",),
        verbs=("keep only the strings longer than {0} {in}", "keep the strings of more than {0} characters {in}"),
        names=("words_longer_than",),
        act="keep_long",
        pool=numbers(2, 8),
    ),
    _words(
        key="words_starting_with",
        expr="[w for w in {x} if w.startswith({0!r})]",
        nouns=("the strings that start with {0!r} {in}", "the strings beginning with {0!r} {in}"),
        verbs=("keep only the strings that start with {0!r} {in}",),
        names=("filter_by_start",),
        label="starting_words",
        act="keep_starting",
        var="matches",
        pool=letters(_INITIALS),
        shapes=("initials",),
    ),
    _words(
        key="words_containing",
        expr="[w for w in {x} if {0!r} in w]",
        nouns=("the strings that contain {0!r} {in}", "the strings containing {0!r} {in}"),
        verbs=("keep only the strings that contain {0!r} {in}",),
        names=("filter_by_letter",),
        label="containing_words",
        act="keep_containing",
        var="matches",
        pool=letters(),
    ),
    _words(
        key="word_prefixes",
        expr="[w[:{0}] for w in {x}]",
        nouns=("the first {0} characters of each of {xs}",),
        verbs=("cut each of {xs} to {0} characters", "shorten each of {xs} to the first {0} characters"),
        names=("shorten_words",),
        label="prefixes",
        act="shorten_words",
        pool=numbers(2, 7),
    ),
    _words(
        key="add_word_suffix",
        expr="[w + {0!r} for w in {x}]",
        verbs=("add {0!r} to the end of each of {xs}", "append {0!r} to each of {xs}", "put {0!r} after each of {xs}"),
        names=("append_to_words",),
        label="suffixed_words",
        var="suffixed",
        pool=letters("!?.sdxyz-*"),
    ),
)

_TEXTS = (
    _to_text(
        key="join_words",
        expr="' '.join({x})",
        verbs=("join {xs} with spaces", "write {xs} separated by spaces", "put a space between {xs}"),
        names=("make_sentence",),
        label="sentence",
        act="join_with_spaces",
    ),
    _to_text(
        key="join_with",
        expr="{0!r}.join({x})",
        verbs=("join {xs} with {0!r}", "write {xs} separated by {0!r}", "put {0!r} between {xs}"),
        names=("join_strings",),
        label="joined",
        act="join",
        pool=letters("-,;:/|_+.#*~"),
    ),
    _to_text(
        key="longest_word",
        expr="max({x}, key=len)",
        nouns=("the longest of {xs}", "the longest string {in}"),
        verbs=("find the longest string {in}",),
        names=("find_longest",),
        label="longest",
        act="find_longest",
        var="longest",
    ),
    _to_text(
        key="shortest_word",
        expr="min({x}, key=len)",
        nouns=("the shortest of {xs}", "the shortest string {in}"),
        verbs=("find the shortest string {in}",),
        names=("find_shortest",),
        label="shortest",
        act="find_shortest",
        var="shortest",
    ),
    _to_text(
        key="join_initials",
        expr="''.join(w[0] for w in {x})",
        nouns=("the initials of {xs}", "the first letters of {xs}"),
        verbs=("join the first letters of {xs}",),
        names=("initials",),
        label="initials",
    ),
)

_COUNTS = (
    _to_int(
        key="total_length",
        expr="sum(len(w) for w in {x})",
        nouns=("the total length of {xs}",),
        verbs=("add up the lengths of {xs}", "sum the lengths of {xs}"),
        names=("sum_of_lengths",),
        act="sum_lengths",
    ),
    _to_int(
        key="count_strings",
        expr="len({x})",
        nouns=("the count of {xs}", "the number of strings {in}"),
        verbs=("count {xs}",),
        names=("number_of_strings",),
        label="count",
        act="count",
    ),
    Operation(
        key="list_lengths",
        takes=Kind.WORDS,
        gives=Kind.INTS,
        expr="[len(w) for w in {x}]",
        nouns=("the lengths of {xs}",),
        verbs=("list the lengths of {xs}", "find the length of each of {xs}"),
        names=("lengths_of_strings",),
        label="lengths",
    ),
    Operation(
        key="all_words_longer",
        takes=Kind.WORDS,
        gives=Kind.BOOL,
        expr="all(len(w) > {0} for w in {x})",
        verbs=checks("all of {xs} are longer than {0}", "all of {xs} have more than {0} characters"),
        names=("all_longer_than",),
        pool=numbers(2, 7),
        shapes=("plain_words", "few_words"),
    ),
)

WORDS = _EDITS + _TEXTS + _COUNTS
