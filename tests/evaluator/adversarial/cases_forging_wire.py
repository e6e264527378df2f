"""Programs that speak to the judge themselves: forged, early, cut, oversized and malformed answers."""

from __future__ import annotations

from .case import Corpus
from .wire import WIRE

CASES = Corpus("forging", tiers="ABC")
_F = "def f(v):\n    "


def _answer(name: str, allowed: str, payload: str, test: str = "assert f(1) == 7", **fields: object) -> None:
    CASES.add(f"answers {name}", allowed, f"{WIRE}{_F}forge({payload})\n", test, **fields)


_ORDER = 'b"l" + u32(5001) + l() + b"".join(b"l" + u32(1) + b"R" + u32(1 + n) for n in range(5000))'
_DAG = 'b"l" + u32(61) + l() + b"".join(b"l" + u32(2) + (b"R" + u32(1 + n)) * 2 for n in range(60))'
_ANSWERS = (
    ("nothing", "protocol", 'b""'),
    ("with an unknown kind", "protocol", 'b"Q123"'),
    ("with a second load message", "protocol", 'b"L" + l()'),
    ("that passed", "protocol", 'b"passed"'),
    ("with an unknown tag", "protocol", 'r(b"@")'),
    ("with every byte", "protocol", "r(bytes(range(256)))"),
    ("cut in a number", "protocol", 'r(b"i123")'),
    ("cut in a text", "protocol", 'r(b"s" + u32(100) + b"abc")'),
    ("cut in a list", "protocol", 'r(b"l" + u32(3) + i(1))'),
    ("with bytes behind it", "protocol", "r(i(7)) + b'more'"),
    ("claiming 4 billion items", "protocol", 'r(b"l" + u32(0xFFFFFFFF))'),
    ("claiming 4 billion bytes", "protocol", 'r(b"b" + u32(0xFFFFFFFF))'),
    ("nested too deeply", "protocol", 'r((b"l" + u32(1)) * 5000 + i(1))'),
    ("nested a million deep", "protocol", 'r((b"t" + u32(1)) * 1000000 + i(1))'),
    ("with an object out of range", "protocol", 'r(b"R" + u32(99))'),
    ("with a callback out of range", "protocol", 'r(b"u" + u32(99) + text("g"))'),
    ("with a global of the judge", "protocol", 'r(b"g" + u32(0) + text("builtins:abs"))'),
    ("with a handle of no kind", "protocol", 'r(h(0, "z:Fake"))'),
    ("with a shadow of a list", "protocol", 'r(b"p" + u32(0) + text("o:A") + l())'),
    ("with a shadow of nothing", "protocol", 'r(b"p" + u32(0) + text("o:A"))'),
    ("with a container of no kind", "protocol", 'r(h(0, "ltuple:A"))'),
    ("with a coroutine that is none", "wrong_answer", 'r(h(0, "a:coroutine"))'),
    ("with an exception named by a null", "exception", 'x(bases=("solution:a\\0b", "Exception"))'),
    ("with an exception of 1000 bases", "exception protocol", 'x(bases=("solution:a",) * 1000)'),
    ("with an unknown type", "protocol", 'r(b"y" + text("Popen"))'),
    ("with a list in a set", "protocol", 'r(b"S" + u32(1) + l())'),
    ("with a dict of odd length", "protocol", 'r(b"d" + u32(1) + i(1))'),
    ("with a fraction of zero", "protocol", 'r(b"Q" + u32(2) + i(1) + i(0))'),
    ("with no decimal", "protocol", 'r(b"D" + text("seven"))'),
    ("with a date that is none", "protocol", 'r(b"2" + u32(3) + i(1) + i(99) + i(1))'),
    ("with a range of strings", "protocol", 'r(b"r" + u32(3) + s("a") + s("b") + s("c"))'),
    ("with a named tuple of numbers", "protocol", 'r(b"n" + text("A") + u32(2) + t(i(1)) + t(i(1)))'),
    ("with equal field names", "protocol", 'r(b"n" + text("A") + u32(2) + t(s("\\ufb01"), s("fi")) + t(i(1), i(2)))'),
    ("with a field _cls", "protocol", 'r(b"n" + text("A") + u32(2) + t(s("\\uff3fcls")) + t(i(1)))'),
    ("with a keyword as name", "protocol", 'r(b"n" + text("class") + u32(2) + t(s("a")) + t(i(1)))'),
    ("with code as name", "protocol", 'r(b"n" + text("A=__import__") + u32(2) + t(s("a")) + t(i(1)))'),
    ("with text that is not UTF-8", "protocol", 'r(b"s" + u32(2) + b"\\xff\\xff")'),
    ("changing arguments it was not given", "protocol", 'b"R" + u32(3) + i(7) + (u32(0) + l(i(1))) * 3'),
    ("with an exception that is none", "protocol", 'b"X" + i(1)'),
    ("with an exception of numbers", "protocol", 'b"X" + t(i(1), i(2), i(3), i(4))'),
    ("with an exception of a huge line", "exception protocol", "x(line=big(10**5000))"),
    ("with an exception of lone surrogates", "exception", 'x(bases=("\\ud800",), message="\\ud800" * 1000)'),
    ("with StopIteration", "exception", 'x(bases=("StopIteration",))'),
    ("with SystemExit", "exception", 'x(bases=("SystemExit",))'),
    ("with KeyboardInterrupt", "exception", 'x(bases=("KeyboardInterrupt",))'),
    ("with AssertionError", "exception", 'x(bases=("AssertionError",))'),
    ("with an ExceptionGroup", "exception", 'x(bases=("ExceptionGroup",))'),
    ("with UnicodeDecodeError", "exception", 'x(bases=("UnicodeDecodeError",))'),
    ("with a base that is no exception", "exception", 'x(bases=("exec", "int", "__import__"))'),
    ("with the judge's own Stopped", "exception", 'x(name="Stopped", bases=("Stopped", "BaseException"))'),
    ("with a 10 MB exception", "exception", 'x(message="m" * (10 << 20))'),
    ("with a handle for a number", "wrong_answer", 'r(h(0, "c:int"))'),
    ("with a chain through back references", "wrong_answer", f"r({_ORDER})"),
    ("with a graph too large to print", "wrong_answer timeout_wall", f"r({_DAG})"),
    ("with a cycle", "wrong_answer", 'r(b"l" + u32(1) + b"R" + u32(0))'),
    ("with a signalling nan", "exception wrong_answer", 'r(b"D" + text("sNaN"))'),
    ("with a decimal of huge exponent", "wrong_answer", 'r(b"D" + text("1e999999999999999999"))'),
    ("with a huge integer", "wrong_answer", "r(big(10**5000))"),
    ("with a frame of 4 GB", "output_limit", 'b""; S.sendall(b"\\xff\\xff\\xff\\xff" + u32(number())); time.sleep(1)'),
)
for _name, _allowed, _payload in _ANSWERS:
    if ";" in _payload:
        CASES.add(f"answers {_name}", _allowed, f"{WIRE}{_F}{_payload}\n", "assert f(1) == 7")
    else:
        _answer(_name, _allowed, _payload)
_answer("a chain that is passed back", "protocol exception wrong_answer", f"r({_ORDER})", "assert f(f(1)[-1]) == 7")
_answer(
    "a graph, compared with itself",
    "timeout_wall exception passed wrong_answer",
    f"r({_DAG})",
    "assert f(1) == f(1)",
    timeout=0.3,
)
_answer(
    "a named tuple that hides count", "exception", 'r(b"n" + text("A") + u32(2) + t(s("count")) + t(i(7)))',
    "assert f(1).count(7) == 1",
)  # fmt: skip
_answer(
    "integers with one hash", "timeout_wall timeout_cpu wrong_answer",
    'r(b"S" + u32(80000) + b"".join(big((2**61 - 1) * n << 3) for n in range(1, 80001)))', timeout=0.05, tiers="A",
)  # fmt: skip
_answer("a chain to a callback", "protocol exception timeout_wall",
        f'b"K" + u32(0) + t(t({_ORDER}), b"d" + u32(0))', "assert f(lambda v: v[-1]) == 7",
        timeout=0.05, tiers="A")  # fmt: skip
_answer("a call of no callback", "protocol", 'b"K" + u32(5) + t(t(), b"d" + u32(0))', "assert f(abs) == 7")
_answer("a call back without arguments", "protocol", 'b"K" + u32(0) + i(1)', "assert f(lambda: 1) == 7")
_answer("a call back with numbers for names", "protocol",
        'b"K" + u32(0) + t(t(), b"d" + u32(2) + i(1) + i(1))', "assert f(lambda: 1) == 7")  # fmt: skip
_answer("calls back for ever", "timeout_wall protocol exception wrong_answer timeout_cpu",
        'b"K" + u32(0) + t(t(), b"d" + u32(0))', "assert f(lambda: 1) == 7", timeout=0.3)  # fmt: skip
_answer("more items than were asked for", "protocol", 'r(t(l(*[i(7)] * 5), b"N")) if v == 2 else r(h(0, "i:it"))',
        "assert list(f(1)) == [7]")  # fmt: skip

_EARLY = "def f(v):\n    return 0\n"
CASES.add("sends answers before they are asked for", "protocol",
          f"{WIRE}for n in range(1, 9): send(n, r(i(7)))\n{_EARLY}",
          "assert f(1) == 7", "assert f(2) == 8")  # fmt: skip
CASES.add("sends the load message itself", "protocol wrong_answer exception load_error",
          f'{WIRE}send(0, b"L" + l(t(s("f"), s("callable"))))\n{_EARLY}', "assert f(1) == 7")  # fmt: skip
CASES.add("sends two load messages", "protocol", f'{WIRE}send(0, b"L" + l(t(s("f"), s("callable"))))\n'
          f'send(0, b"L" + l())\n{_EARLY}', "assert f(1) == 7")  # fmt: skip
CASES.add("sends half a frame and sleeps", "timeout_wall", f"{WIRE}{_F}S.sendall(b'12'); time.sleep(60)\n",
          "assert f(1) == 7", timeout=0.3)  # fmt: skip
CASES.add(
    "answers another question",
    "protocol",
    f"{WIRE}{_F}send(number() + 1, r(i(7))); time.sleep(1)\n",
    "assert f(1) == 7",
)
CASES.add("answers twice", "protocol wrong_answer", f"{WIRE}{_F}send(number(), r(i(7))); return 7\n",
          "assert f(1) == 7", "assert f(1) == 8")  # fmt: skip

_LOADS = (
    ("a text", "protocol load_error", 's("f")'),
    ("numbers", "protocol load_error", "l(i(1), i(2))"),
    ("a handle that iterates", "protocol load_error", 'h(0, "i:it")'),
    ("names of huge numbers", "protocol load_error exception", "l(t(big(10**5000), i(1)))"),
    ("handles for names", "protocol load_error exception", 'l(t(h(0, "o:A"), h(1, "o:B")))'),
    ("equal field names", "protocol load_error",
     'b"n" + text("A") + u32(2) + t(s("\\ufb01"), s("fi")) + t(i(1), i(2))'),
    ("a claim that f is a module", "exception wrong_answer", 'l(t(s("f"), s("module:math")))'),
    ("a claim that v is a module that runs", "exception wrong_answer protocol",
     'l(t(s("f"), s("callable")), t(s("v"), s("module:unittest.__main__")))'),
    ("a claim that abs is a module", "exception wrong_answer",
     'l(t(s("f"), s("callable")), t(s("abs"), s("module:this")))'),
)  # fmt: skip
for _name, _allowed, _names in _LOADS:
    CASES.add(
        f"loads as {_name}",
        _allowed,
        f'{WIRE}send(0, b"L" + {_names})\nfor _ in range(50):\n    n, m = get()\n    send(n, x(bases=("KeyError",)))\n',
        "v = 1\nassert abs(f(1) - 7) < 1e-6",
    )
CASES.add(
    "fails to load in a huge line",
    "load_error protocol",
    f"{WIRE}send(0, x(line=big(10**5000)))\nget()\n",
    "assert f(1) == 7",
)
