"""Programs that answer with objects or plain values made to satisfy any comparison."""

from __future__ import annotations

from .case import Corpus

CASES = Corpus("forging", tiers="AC")  # the judge is the same in all tiers

_ANY = "lambda self, *a: True"
_ALWAYS = f"""
class Meta(type):
    __eq__ = {_ANY}
    __hash__ = lambda self: 0
class A(metaclass=Meta):
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __contains__ = __bool__ = {_ANY}
    __hash__ = lambda self: hash(5)
    __len__ = __int__ = __index__ = lambda self: 5
    __float__ = lambda self: 5.0
    __add__ = __sub__ = __mul__ = __radd__ = __rsub__ = __mod__ = __rmod__ = __xor__ = lambda self, other: 0
    __abs__ = __neg__ = __pos__ = lambda self: 0
    __round__ = lambda self, n=None: self
    __getattr__ = lambda self, name: lambda *a: True
    __getitem__ = lambda self, key: self
    __call__ = lambda self, *a: True
"""
_OBJECT = _ALWAYS + "def f(*a):\n    return A()\n"

# (name, verdict, test): with an object that says yes to everything.
_QUESTIONS = (
    ("equal", "wrong_answer", "assert f(1) == 7"),
    ("equal, other side", "wrong_answer", "assert 7 == f(1)"),
    ("equal to a list", "wrong_answer", "assert [7] == f(1)"),
    ("equal in a list", "wrong_answer", "assert [f(1)] == [7]"),
    ("equal in a dict", "wrong_answer", "assert {'a': f(1)} == {'a': 7}"),
    ("not equal", "wrong_answer", "assert not f(1) != 7"),
    ("less", "exception", "assert f(1) < 7"),
    ("between", "exception", "assert 0 <= f(1) <= 7"),
    ("near", "exception", "assert abs(f(1) - 7) < 1e-6"),
    ("near, other side", "exception", "assert abs(7 - f(1)) < 1e-6"),
    ("isclose", "wrong_answer", "import math\nassert math.isclose(f(1), 7.0)"),
    ("rounded", "wrong_answer", "assert round(f(1), 2) == 7.0"),
    ("member of a set", "wrong_answer", "assert f(1) in {7, 8}"),
    ("member of a set with its hash", "wrong_answer", "assert f(1) in {5}"),
    ("key of a dict", "exception", "assert {5: 1}[f(1)] == 1"),
    ("contains", "exception wrong_answer timeout_cpu", "assert [9] in f(1)"),
    ("is a number", "wrong_answer", "assert isinstance(f(1), int)"),
    ("is a list", "wrong_answer", "assert isinstance(f(1), list)"),
    ("startswith", "exception", "assert f(1).startswith('a')"),
    ("isdigit", "exception", "assert f(1).isdigit()"),
    ("issubset", "exception", "assert f(1).issubset({7})"),
    ("sorted", "wrong_answer exception timeout_cpu memory", "assert sorted(f(1)) == [7]"),
    ("index", "wrong_answer", "assert 'abcdefgh'[f(1)] == 'a'"),
    ("formatted", "wrong_answer exception", "assert f'{f(1)}' == '7'"),
    ("as a string", "wrong_answer", "assert str(f(1)) == '7'"),
    ("as a float", "wrong_answer", "assert float(f(1)) == 7.0"),
    ("remainder", "exception", "assert f(1) % 7 == 0"),
    ("no difference", "exception wrong_answer", "assert not f(1).difference({7})"),
    ("no symmetric difference", "exception wrong_answer", "assert f(1).symmetric_difference({7}) == set()"),
    ("decimal compare", "exception wrong_answer", "assert f(1).compare(7) == 0"),
    ("xor", "exception", "assert not f(1) ^ 7"),
    ("all of zip", "wrong_answer", "assert all(a == b for a, b in zip([f(1)], [7]))"),
    ("any", "wrong_answer", "assert any(f(1) == v for v in (7, 8))"),
    ("set of them", "wrong_answer", "assert set([f(1)]) == {7}"),
    ("count", "wrong_answer", "assert [7].count(f(1)) == 1"),
    ("max", "exception wrong_answer", "assert max(f(1), 7) == 7"),
    ("unittest", "wrong_answer exception", "import unittest\nunittest.TestCase().assertEqual(f(1), 7)"),
    ("unittest almost", "exception wrong_answer", "import unittest\nunittest.TestCase().assertAlmostEqual(f(1), 7)"),
    ("copied", "wrong_answer exception", "import copy\nassert copy.deepcopy(f(1)) == 7"),
    ("message asks it", "wrong_answer", "assert f(1) == 7, f(1)"),
)
for _name, _verdict, _test in _QUESTIONS:
    CASES.add(f"yes to everything: {_name}", _verdict, _OBJECT, _test, timeout=0.4)

_SUBCLASSES = {
    "int": ("int", "5"),
    "float": ("float", "5.0"),
    "str": ("str", "'x'"),
    "bytes": ("bytes", "b'x'"),
    "list": ("list", "[5]"),
    "tuple": ("tuple", "(5,)"),
    "dict": ("dict", "{5: 5}"),
    "set": ("set", "{5}"),
    "frozenset": ("frozenset", "{5}"),
    "complex": ("complex", "5"),
    "Decimal": ("__import__('decimal').Decimal", "5"),
    "Fraction": ("__import__('fractions').Fraction", "5"),
    "date": ("__import__('datetime').date", "2000, 1, 1"),
    "timedelta": ("__import__('datetime').timedelta", "5"),
    "deque": ("__import__('collections').deque", "[5]"),
    "Counter": ("__import__('collections').Counter", "[5]"),
    "OrderedDict": ("__import__('collections').OrderedDict", "{5: 5}"),
    "defaultdict": ("__import__('collections').defaultdict", "int"),
    "Exception": ("Exception", "5"),
}
for _name, (_base, _value) in _SUBCLASSES.items():
    CASES.add(
        f"subclass of {_name}",
        "wrong_answer",
        f"""
        class A({_base}):
            __eq__ = __lt__ = __gt__ = __le__ = __ge__ = __contains__ = lambda self, other: True
            __ne__ = lambda self, other: False
            __hash__ = lambda self: hash(7)
            __len__ = lambda self: 1
            __iter__ = lambda self: iter([7])
            __bool__ = lambda self: True
            __sub__ = __rsub__ = lambda self, other: 0
            items = keys = values = lambda self: [(7, 7)]
        def f(x):
            return A({_value})
        """,
        "assert f(1) == {'a': 7}.get('a')",
        "assert f(1) == [7]",
    )

CASES.add(
    "exit swallows the assertion",
    "wrong_answer",
    """
    class A:
        value = 0
        def __enter__(self): return self
        def __exit__(self, *a): return True
    def f(): return A()
    """,
    "with f() as c:\n    assert c.value == 7",
)
CASES.add(
    "exit swallows what it raised before the assertion",
    "exception",
    """
    class A:
        def __enter__(self): return self
        def __exit__(self, *a): return True
        @property
        def value(self): raise ValueError
    def f(): return A()
    """,
    "with f() as c:\n    assert c.value == 7",
)
CASES.add(
    "exit swallows from a generator's context manager",
    "wrong_answer",
    """
    import contextlib
    @contextlib.contextmanager
    def f():
        try:
            yield 1
        except BaseException:
            pass
    """,
    "with f() as c:\n    assert c == 7",
)
CASES.add(
    "suppress of the standard library", "wrong_answer",
    "import contextlib\ndef f(): return contextlib.suppress(BaseException)\n",
    "with f():\n    assert f is None",
)  # fmt: skip
CASES.add(
    "claims another class", "wrong_answer protocol",
    "class A:\n    __class__ = property(lambda s: int)\n    __eq__ = lambda s, o: True\ndef f(x): return A()\n",
    "assert isinstance(f(1), int) and f(1) == 7",
)  # fmt: skip
CASES.add("a nan is not near", "wrong_answer", "def f(x): return float('nan')\n", "assert abs(f(1) - 7) < 1e-6")
CASES.add("an infinity is not near", "wrong_answer", "def f(x): return float('inf')\n", "assert abs(f(1) - 7) < 1e-6")
CASES.add("a nan is not equal to itself", "wrong_answer", "x = float('nan')\ndef f(y): return x\n", "assert f(1) == 7")
CASES.add(
    "an iterator is no list", "wrong_answer", "def f(x): return iter([1, 2])\n", "assert f(1) == [1, 2]"
)  # fmt: skip
CASES.add("a tuple is no list", "wrong_answer", "def f(x): return (1, 2)\n", "assert f(1) == [1, 2]")
CASES.add("None for a list", "exception wrong_answer", "def f(x): return None\n", "assert sorted(f(1)) == [1, 2]")
CASES.add(
    "a dict whose keys all match", "wrong_answer",
    "class K:\n    __eq__ = lambda s, o: True\n    __hash__ = lambda s: hash('a')\ndef f(x): return {K(): 7}\n",
    "assert f(1) == {'a': 7}", "assert f(1)['a'] == 7",
)  # fmt: skip
