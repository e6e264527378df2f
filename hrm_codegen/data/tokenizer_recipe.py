"""How the bundled `default_tokenizer.json` was made: `train_default()` makes it again.

The corpus is text this project may ship: the train split of `basics` (descriptions, asserts, solutions), the sentences
below, and the sources of the standard-library modules named here, as they are in the running Python. Python 3.11
therefore gives the bundled file; another version gives one that is as good but not equal. No MBPP, no HumanEval.

    import hrm_codegen as hc; hc.data.train_default().save("hrm_codegen/data/default_tokenizer.json")
"""

from __future__ import annotations

import logging
import re
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

from hrm_codegen.data.basics import generate
from hrm_codegen.data.problem import Problem
from hrm_codegen.data.tokenizer import Tokenizer

_log = logging.getLogger("hrm_codegen.data")

DEFAULT_VOCAB_SIZE = 1024

# Modules of plain algorithms and text handling, about 0.5 MB.
STDLIB_MODULES = (
    "bisect.py",
    "calendar.py",
    "collections/__init__.py",
    "colorsys.py",
    "copy.py",
    "csv.py",
    "difflib.py",
    "fnmatch.py",
    "fractions.py",
    "functools.py",
    "graphlib.py",
    "heapq.py",
    "json/decoder.py",
    "json/encoder.py",
    "operator.py",
    "random.py",
    "re/_parser.py",
    "shlex.py",
    "statistics.py",
    "string.py",
    "textwrap.py",
    "tokenize.py",
    "types.py",
    "urllib/parse.py",
)

# Ruled lines in comments, which would cost a dozen entries.
_BANNER = re.compile(r"[-=#*~]{4,}")

# How often each sentence is repeated. With these numbers a vocabulary of 1,024 packs MBPP's train split (2.3 characters
# a token in code, 3.6 in text) and tasks of `basics` (2.9 and 4.0) about equally well for their kind.
_SENTENCE_WEIGHT = 40
_NUM_BASICS = 2000

_OPENINGS = (
    "Write a function to {}.",
    "Write a python function to {}.",
    "Write a function that takes {} and returns the result.",
)
_TASKS = (
    "find the largest number in a given list",
    "find the smallest element of a tuple",
    "check whether the given string is a palindrome or not",
    "count the number of vowels in a string",
    "remove all duplicate elements from a list while keeping the order",
    "compute the sum of the digits of a non-negative integer",
    "find the second highest value in a dictionary",
    "sort a list of tuples by the second element of each tuple",
    "reverse the words in a given sentence",
    "calculate the area of a triangle from its base and height",
    "convert a temperature from celsius to fahrenheit",
    "check if two lists have at least one common element",
    "find the length of the longest word",
    "merge two sorted lists into one sorted list",
    "split a list into chunks of size n",
    "rotate a list to the right by k positions",
    "flatten a nested list of integers",
    "find the nth fibonacci number",
    "compute the greatest common divisor of two numbers",
    "check whether a number is prime",
    "find all divisors of a given positive integer",
    "count how often each character occurs in the string",
    "replace all spaces with a given character",
    "extract the values of a certain key from a list of dictionaries",
    "find the index of the first occurrence of an element in a sorted array",
    "multiply all the numbers of a list with each other",
    "find the maximum difference between any two elements of the array",
    "remove the first and last occurrence of a character",
    "check if the given expression has balanced brackets",
    "convert a decimal number to its binary equivalent",
    "find the perimeter of a rectangle",
    "find the volume of a cube given its side length",
    "count the pairs whose sum is equal to x",
    "find the median of three different numbers",
    "get the sum of all odd numbers in a given range",
    "find the minimum cost to reach the last cell of a matrix",
    "transpose a matrix given as a list of rows",
    "find the longest increasing subsequence",
    "insert an element before each element of a list",
    "concatenate the elements of a tuple with a delimiter",
    "check that a string starts and ends with the same character",
    "find the n largest integers of the given list of numbers using a heap",
    "filter out the even numbers with a lambda expression",
    "find the union of two sets and return it as a sorted tuple",
    "turn a list of characters into a single string",
    "split a string at lowercase letters using a regular expression",
    "check if all values in the dictionary are the same",
    "swap the first and last element of an array",
    "find the number of ways to partition a set of items",
    "compute the power of a number with recursion",
    "round every number of a list and print the total",
    "count the occurrences of a substring",
    "add a nested tuple to the given values",
    "determine whether a year is a leap year",
    "find the missing number in a sequence from one to n",
    "find the equilibrium index of an array of integers",
    "toggle the case of every letter",
    "compute the least common multiple of the first elements",
    "find the item with maximum frequency",
    "shift the bits of an integer to the left",
)


def train_default(vocab_size: int = DEFAULT_VOCAB_SIZE) -> Tokenizer:
    """Trains the default tokenizer on `corpus()`; takes some seconds.

    Raises:
      ConfigError: The vocabulary is too small for the bytes and the special tokens.
    """
    return Tokenizer.train(corpus(generate(train_size=_NUM_BASICS)["train"]), vocab_size)


def corpus(problems: Iterable[Problem]) -> Iterator[str]:
    """Yields the texts: sentences, problems, sources of the standard library.

    Args:
      problems: Description, asserts and solution of each are used.
    """
    for number, task in enumerate(_TASKS):
        yield from [_OPENINGS[number % len(_OPENINGS)].format(task)] * _SENTENCE_WEIGHT
    for problem in problems:
        yield "\n".join([problem.text, *problem.test_list, problem.code])
    folder = Path(sysconfig.get_path("stdlib"))
    for name in STDLIB_MODULES:
        path = folder / name
        if path.is_file():
            yield _BANNER.sub("", path.read_text(encoding="utf-8"))
        else:
            _log.warning("this Python has no %s: the tokenizer will differ from the bundled one", name)
