"""What a training set gives away is found, with the strongest reason, and what merely looks alike is not."""

from __future__ import annotations

import time

import pytest

from hrm_codegen.data import Problem, find_contamination, load_problems
from hrm_codegen.data.contamination import Finding, Level

CODE = """
def spread(nums):
    low, high = nums[0], nums[0]
    for value in nums[1:]:
        if value < low:
            low = value - 0
        elif value > high:
            high = value + 0
    return high - low
"""
TEXT = "Compute how far apart the two most distant numbers of a sequence are."
TESTS = ("assert spread([3, 1, 4, 1, 5]) == 4", "assert spread([9]) == 0", "assert spread([-2, 6, 5, 3]) == 8")
BASE = Problem(task_id="test/1", text=TEXT, code=CODE, test_list=TESTS)
OTHER_TEXT = "Write a function which returns the range of values."
OTHER_TESTS = ("assert f([10, 20, 77, 12, 13]) == 67",)
RENAMED = CODE.replace("nums", "xs").replace("low", "a").replace("spread", "f").replace("value", "x")


def other(**fields: object) -> Problem:
    """A training task that has nothing of BASE but what is given."""
    return Problem(**{"task_id": "train/1", "text": OTHER_TEXT, "test_list": OTHER_TESTS, "code": "", **fields})


def check(train: list[Problem], test: list[Problem] | None = None, **options: float) -> list[tuple[str, str, float]]:
    found = find_contamination(train, test or [BASE], **options)
    return [(finding.train_id, str(finding.level), round(finding.share, 2)) for finding in found]


@pytest.mark.parametrize(
    ("fields", "level"),
    [
        ({"code": CODE.replace("\n", "  # what\n")}, Level.SAME_CODE),
        ({"code": RENAMED}, Level.RENAMED_CODE),
        ({"code": CODE.replace("(nums):", '(nums: list) -> int:\n    """Doc."""')}, Level.RENAMED_CODE),
        ({"code": RENAMED.replace("0", "7")}, Level.SAME_STRUCTURE),
        ({"text": TEXT.upper()}, Level.SAME_TEXT),
        ({"test_list": TESTS[::-1]}, Level.SAME_TESTS),
        ({"code": CODE.replace("elif", "if")}, Level.SIMILAR_CODE),
    ],
)
def test_each_level_is_found(fields, level):
    ((train_id, found, share),) = check([other(task_id="train/0"), other(**fields)])
    assert (train_id, found) == ("train/1", level)
    assert share == 1.0 or level is Level.SIMILAR_CODE


def test_the_strongest_reason_and_the_worst_task_are_told():
    close = other(task_id="close", text=TEXT)
    closer = other(task_id="closer", code=CODE)
    assert check([close, closer, other(task_id="too", code=CODE)]) == [("closer", "same code", 1.0)]
    half = " ".join(TEXT.split()[:10])
    assert check([other(task_id="half", text=half), close]) == [("close", "8-grams of the text", 1.0)]


def test_the_share_that_is_too_much_can_be_set():
    some = other(text="Now compute how far apart the two most distant numbers of all are.")  # 3 of 7 8-grams
    assert check([some], min_overlap=0.4) == [("train/1", "8-grams of the text", 0.43)]
    assert check([some]) == []
    one = other(text="We compute how far apart the two most distant")
    assert check([one]) == []
    assert [level for _, level, _ in check([one], min_overlap=0)] == ["8-grams of the text"]


def test_other_tasks_and_tasks_without_code_are_clean():
    assert check([other(), other(code="def f(x):\n    return x")]) == []
    assert check([other()], [other(task_id="t", text="Else.", test_list=())]) == []
    assert check([]) == []
    assert find_contamination([BASE], []) == []


def test_programs_that_do_not_parse_are_compared_as_texts():
    broken = "print 'a', 1"
    assert check([other(code=broken)], [other(text="x", test_list=(), code=broken)])[0][1] == "same code, renamed"


def test_the_structure_and_the_words_of_a_tiny_program_say_nothing():
    test = other(task_id="test", text="x", test_list=(), code="def g(a):\n    return a + 1")
    assert check([other(code="def f(b):\n    return b + 2")], [test], min_overlap=0) == []


def test_short_texts_are_compared_whole():
    test = other(task_id="test", text="Add them.", test_list=())
    assert check([other(text="add THEM .")], [test]) == [("train/1", "8-grams of the text", 1.0)]
    assert check([other(text="add")], [test]) == []


def test_findings_come_in_the_order_of_the_test_set():
    test = [other(task_id=f"t{n}", text=f"{TEXT} {n}", code=CODE if n % 2 else "") for n in range(4)]
    found = find_contamination([BASE], test)
    assert [finding.task_id for finding in found] == ["t0", "t1", "t2", "t3"]
    assert found[1] == Finding(task_id="t1", train_id="test/1", level=Level.SAME_CODE, share=1.0)


def test_known_neighbours_of_mbpp(shared_data):
    problems = {problem.task_id: problem for problem in load_problems(shared_data / "mbpp_without_test.jsonl")}
    train = [problem for task_id, problem in problems.items() if int(task_id) > 600]
    test = [problem for task_id, problem in problems.items() if int(task_id) < 601]
    found = {finding.task_id: (finding.train_id, finding.level) for finding in find_contamination(train, test)}
    assert found["591"] == ("625", Level.SAME_CODE)  # interchange the first and last elements
    assert found["529"] == ("752", Level.SAME_STRUCTURE)  # two sequences of one recurrence
    assert len(found) < 20


def test_hundreds_of_problems_take_seconds():
    def problem(kind: str, n: int) -> Problem:
        code = f"def f{n}(a, b):\n" + "".join(f"    a += b * {kind}[{n * k}] + {kind}[a % {k}]\n" for k in range(2, 12))
        return Problem(
            task_id=f"{kind}/{n}", text=f"Do {kind} {n} " * 8, code=code, test_list=(f"assert {kind}({n}, 2)",)
        )

    train, test = [problem("x", n) for n in range(500)], [problem("y", n) for n in range(100)]
    start = time.process_time()
    assert find_contamination(train, test) == []
    assert time.process_time() - start < 20
