"""Programs that redefine what `check(candidate)` of HumanEval uses, where nothing calls the function by its name."""

from __future__ import annotations

from .case import Corpus

CASES = Corpus("forging", tiers="AC")  # the judge is the same in all tiers
_WRONG = "def f(x):\n    return 0\n"
_NEAR = "def check(candidate):\n    assert abs(candidate(1) - 7) < 1e-6\n"
_MANY = (
    "def check(candidate):\n    assert all(candidate(v) == v for v in [5, 7])\n    assert len([candidate(1)]) == 7\n"
)

for _name, _code, _test in (
    ("abs", "abs = lambda x: 0", _NEAR),
    ("all and len", "all = lambda x: True\nlen = lambda x: 7", _MANY),
    ("check", "def check(candidate): pass", _NEAR),
    ("range", "range = lambda *a: ()", "def check(candidate):\n    for v in range(3):\n"
        "        assert candidate(v) == 7\n"),
    ("isinstance", "isinstance = lambda *a: True", "def check(candidate):\n    assert isinstance(candidate(1), str)\n"),
    ("math", "import types\nmath = types.SimpleNamespace(isclose=lambda *a, **k: True)",
     "def check(candidate):\n    assert math.isclose(candidate(1), 7)\n"),
    ("sum", "sum = lambda *a: 7", "def check(candidate):\n    assert sum([candidate(1)]) == 7\n"),
    ("METADATA", "METADATA = None", "METADATA = {'x': 7}\ndef check(candidate):\n"
        "    assert candidate(1) == METADATA['x']\n"),
):  # fmt: skip
    CASES.add(f"check, redefines {_name}", "wrong_answer", f"{_WRONG}{_code}\n", _test, entry_point="f")
    CASES.add(f"check that is called, redefines {_name}", "wrong_answer", f"{_WRONG}{_code}\n", f"{_test}check(f)\n")

for _name, _code, _test in (
    ("map with it", "map = lambda *a: [7]", "assert list(map(f, [1])) == [7]"),
    ("sorted by it", "sorted = lambda *a, **k: [3, 2, 1]", "assert sorted([1, 2, 3], key=f) == [3, 2, 1]"),
    ("another name for it", "len = lambda x: 0", "g = f\nassert g(1) == len('abc')"),
    ("partial of it", "len = lambda x: 0", "from functools import partial\nassert partial(f, 1)() == len('abc')"),
    ("method of an object", "class S:\n    f = f\nlen = lambda x: 0", "s = S\nassert s.f(1) == len('abc')"),
    ("attribute of a class", "class S:\n    f = 0\nlen = lambda x: 0", "assert S.f == len('abc')"),
    ("value", "f = 0\nlen = lambda x: 0", "assert f == len('abc')"),
    ("in a lambda", "abs = lambda x: 0", "near = lambda g: abs(g(1) - 7) < 1e-6\nassert near(f)"),
    ("in a table", "abs = lambda x: 0", "for g, v in [(f, 7)]:\n    assert abs(g(1) - v) < 1e-6"),
    (
        "a module nobody imported",
        "class np:\n    allclose = staticmethod(lambda *a: True)",
        "assert np.allclose(f(1), 7)",
    ),
    (
        "approx nobody imported",
        "class pytest:\n    approx = staticmethod(lambda v: 0)",
        "assert f(1) == pytest.approx(7)",
    ),
):
    _allowed = "wrong_answer exception harness_error" if "nobody" in _name else "wrong_answer"
    CASES.add(f"indirect, {_name}", _allowed, f"{_WRONG}{_code}\n", _test)
CASES.add("helper of the setup", "wrong_answer", f"{_WRONG}is_right = lambda v: True\n", "assert is_right(f(1))",
          setup="def is_right(v):\n    return v == 7\n")  # fmt: skip
CASES.add("helper of the test", "wrong_answer", f"{_WRONG}is_right = lambda v: True\n",
          "def is_right(v):\n    return v == 7\nassert is_right(f(1))")  # fmt: skip
CASES.add(
    "the function under test is called like a built-in", "passed", "def sum(v):\n    return 7\n", "assert sum(1) == 7"
)
CASES.add("the entry point is called like a built-in", "passed", "def sum(v):\n    return 7\n",
          "def check(candidate):\n    assert candidate(1) == 7\n", entry_point="sum")  # fmt: skip
