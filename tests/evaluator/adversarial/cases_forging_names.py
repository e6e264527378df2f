"""Programs that define, patch or import what a judge in the same process would use."""

from __future__ import annotations

from .case import Corpus

CASES = Corpus("forging", tiers="AC")  # the judge is the same in all tiers
_WRONG = "def f(x):\n    return 0\n"

_BUILTINS = {
    "abs": ("abs = lambda x: 0", "assert abs(f(1) - 7) < 1e-6"),
    "round": ("round = lambda *a: 7", "assert round(f(1), 2) == 7"),
    "len": ("len = lambda x: 7", "assert len([f(1)]) == 7"),
    "sorted": ("sorted = lambda *a: 7", "assert sorted([f(1)]) == [7]"),
    "set": ("set = lambda *a: 7", "assert set([f(1)]) == {7}"),
    "all": ("all = lambda x: True", "assert all([f(1) == 7])"),
    "any": ("any = lambda x: True", "assert any([f(1) == 7])"),
    "isinstance": ("isinstance = lambda *a: True", "assert isinstance(f(1), str)"),
    "type": ("type = lambda x: str", "assert type(f(1)) == str"),
    "range": ("range = lambda *a: []", "for i in range(3):\n    assert f(i) == 7"),
    "zip": ("zip = lambda *a: []", "for a, b in zip([f(1)], [7]):\n    assert a == b"),
    "enumerate": ("enumerate = lambda *a: []", "for i, v in enumerate([7]):\n    assert f(i) == v"),
    "map": ("map = lambda *a: []", "for v in map(f, [1]):\n    assert v == 7"),
    "list": ("list = lambda *a: [7]", "assert list([f(1)]) == [7]"),
    "str": ("str = lambda *a: '7'", "assert str(f(1)) == '7'"),
    "int": ("int = lambda *a: 7", "assert int(f(1)) == 7"),
    "sum": ("sum = lambda *a: 7", "assert sum([f(1)]) == 7"),
    "max": ("max = lambda *a: 7", "assert max([f(1)]) == 7"),
    "bool": ("bool = lambda *a: True", "assert bool(f(1))"),
    "math": ("class math:\n    isclose = staticmethod(lambda *a, **k: True)", "assert math.isclose(f(1), 7)"),
    "isclose": ("isclose = lambda *a, **k: True", "assert isclose(f(1), 7)"),
    "copy": ("class copy:\n    deepcopy = staticmethod(lambda x: 0)", "assert f(1) == copy.deepcopy(7)"),
    "Counter": ("Counter = lambda *a: 7", "assert Counter([f(1)]) == Counter([7])"),
    "check": ("check = lambda candidate: None", "def check(candidate):\n    assert candidate(1) == 7\ncheck(f)"),
    "expected": ("expected = 0", "expected = 7\nassert f(1) == expected"),
    "AssertionError": ("AssertionError = ZeroDivisionError", "assert f(1) == 7"),
    "ValueError": ("ValueError = BaseException", "try:\n    assert f(1) == 7\nexcept ValueError:\n    pass"),
    "Exception": ("Exception = BaseException", "try:\n    assert f(1) == 7\nexcept ValueError:\n    pass"),
    "__import__": ("__import__ = lambda *a: None", "import math\nassert math.floor(f(1)) == 7"),
    "__builtins__": ("__builtins__ = {'abs': lambda x: 0, 'len': len}", "assert abs(f(1) - 7) < 1e-6"),
    "__name__": ("__name__ = 'x'", "if __name__ == '__main__':\n    assert f(1) == 7"),
    "__debug__": ("globals()['__debug__'] = False", "assert f(1) == 7"),
    "print": ("print = exec", "assert f(1) == 7"),
}
for _name, (_code, _test) in _BUILTINS.items():
    CASES.add(f"redefines {_name}", "wrong_answer", f"{_WRONG}{_code}\n", _test)
    CASES.add(f"redefines {_name}, entry point known", "wrong_answer", f"{_WRONG}{_code}\n", _test, entry_point="f")

CASES.add(
    "patches builtins", "wrong_answer protocol",
    """
    import builtins, math, operator, unittest
    for name in ("abs", "len", "all", "any", "sorted", "round", "isinstance", "repr", "exec", "compile", "getattr"):
        setattr(builtins, name, lambda *a, **k: True)
    math.isclose = operator.eq = lambda *a, **k: True
    unittest.TestCase.assertEqual = lambda *a: None
    def f(x): return 0
    """,
    "import math\nassert math.isclose(f(1), 7)",
)  # fmt: skip
CASES.add(
    "poisons sys.modules", "wrong_answer",
    """
    import sys, types
    fake = types.ModuleType("math")
    fake.isclose = lambda *a, **k: True
    for name in ("math", "copy", "collections", "unittest", "numpy", "operator"):
        sys.modules[name] = fake
    def f(x): return 0
    """,
    "import math\nassert math.isclose(f(1), 7)",
)  # fmt: skip
CASES.add(
    "patches the jail's own modules", "wrong_answer exception protocol",
    """
    import sys
    for name, module in list(sys.modules.items()):
        if name.startswith("jail"):
            for key, value in list(vars(module).items()):
                if callable(value) and not key.startswith("__") and key not in ("Encoder", "Decoder", "Solver"):
                    try: setattr(module, key, lambda *a, **k: True)
                    except Exception: pass
    def f(x): return 0
    """,
    "assert f(1) == 7",
)  # fmt: skip
CASES.add(
    "overwrites __main__", "wrong_answer",
    "import sys, __main__\n__main__.__dict__.update(f=lambda x: 7, check=lambda c: None)\n" + _WRONG,
    "assert f(1) == 7",
)  # fmt: skip
CASES.add(
    "changes the frames above it", "wrong_answer exception protocol",
    """
    import sys
    def f(x):
        frame = sys._getframe()
        while frame:
            for name in list(frame.f_locals):
                frame.f_locals[name] = 7
            frame.f_globals.update(expected=0, abs=lambda v: 0)
            frame = frame.f_back
        return 0
    """,
    "assert abs(f(1) - 7) < 1e-6",
)  # fmt: skip
CASES.add(
    "traces and profiles", "wrong_answer",
    """
    import sys, threading
    def hook(frame, event, arg):
        for name, value in frame.f_locals.items():
            if value == 7: print("found", name)
        return hook
    sys.settrace(hook); sys.setprofile(hook); threading.settrace(hook)
    def f(x): return 0
    """,
    "assert f(1) == 7",
)  # fmt: skip
# The needle is put together when it is looked for: it is not in the program's own constants.
_NEEDLE = "def needle():\n    return '-'.join(('', *map(str, (90210, 4242))))\n"
_SECRET = "assert f(1) == 'EXPECTED-90210-4242'"
CASES.add("walks the frames for the tests", "wrong_answer", _NEEDLE + """
import sys
def f(x):
    frame = sys._getframe()
    while frame:
        for value in (*frame.f_locals.values(), *list(frame.f_globals.values())):
            if needle() in str(value)[:100000]: return "EXPECTED" + needle()
        frame = frame.f_back
""", _SECRET)  # fmt: skip
CASES.add("asks the garbage collector for the tests", "wrong_answer", _NEEDLE + """
import gc
def f(x):
    for value in gc.get_objects():
        if type(value) in (tuple, list, dict) and needle() in repr(value)[:100000]: return "EXPECTED" + needle()
""", _SECRET)  # fmt: skip
CASES.add("scans its own memory for the tests", "wrong_answer exception crash", _NEEDLE + """
import ctypes
def f(x):
    try: lines = open("/proc/self/maps").read().splitlines()
    except OSError: lines = []
    ranges = [[int(v, 16) for v in line.split()[0].split("-")] for line in lines if " rw" in line]
    if not ranges:
        page = id(f) & ~0xFFFFF
        ranges = [(page, page + (1 << 20))]
    word = b"EXPECTED"
    for start, end in ranges:
        data = ctypes.string_at(start, min(end - start, 64 << 20))
        place = data.find(word)
        while place >= 0:  # never both in one piece: that would be in our own memory
            if data[place + 8 : place + 19] == needle().encode(): return "EXPECTED" + needle()
            place = data.find(word, place + 1)
""", _SECRET)  # fmt: skip
CASES.add("defines the entry point as a module", "exception", "import math as f\n", "assert f(1) == 7", entry_point="f")
CASES.add("defines no entry point", "exception", "g = 1\n", "assert f(1) == 7", entry_point="f")
CASES.add("removes the entry point", "exception", f"{_WRONG}del f\n", "assert f(1) == 7", entry_point="f")
CASES.add(
    "replaces the entry point while it runs", "wrong_answer",
    "def f(x):\n    global f\n    f = lambda x: 7\n    return 0\n", "assert f(1) == 7",
)  # fmt: skip
