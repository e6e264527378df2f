"""The proof that two sets of problems share no program."""

from __future__ import annotations

from hrm_codegen.data.basics import overlap
from hrm_codegen.data.problem import Problem

BASE = "def f(nums):\n    total = 0\n    for v in nums:\n        total += v\n    return total"


def test_overlap_names_the_problems_of_the_second_set():
    train = [Problem(task_id="train", text="", code=BASE)]
    same = Problem(task_id="same", text="", code=BASE.replace("total", "t").replace("def f", "def g"))
    new = Problem(task_id="new", text="", code=BASE.replace("0", "7"))
    assert overlap(train, [new, same]) == [same]
    assert overlap([], [new, same]) == []
