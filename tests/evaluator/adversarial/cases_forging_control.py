"""Programs that end, interrupt or redirect the run instead of answering, or use what a test hands to them."""

from __future__ import annotations

from .case import Corpus
from .wire import WIRE

CASES = Corpus("forging", tiers="ABC")
_LOOP = "total = 0\nfor v in (1, 2):\n    total += 1\n    assert f(v) == 7\nassert total == 2"
_RAISES = (
    "StopIteration", "StopAsyncIteration", "GeneratorExit", "SystemExit(0)", "KeyboardInterrupt", "AssertionError",
    "MyBase('passed')", "MemoryError", "RecursionError", "ImportError", "NotImplementedError", "Warning", "OSError(2)",
    "UnicodeDecodeError('utf-8', b'', 0, 1, '')", "BaseExceptionGroup('a', [SystemExit(0)])", "EOFError",
)  # fmt: skip
for _error in _RAISES:
    _code = f"class MyBase(BaseException):\n    pass\ndef f(v):\n    raise {_error}\n"
    _verdict = "memory" if _error == "MemoryError" else "exception"
    CASES.add(f"raises {_error} in a call", _verdict, _code, "assert f(1) == 7")
    CASES.add(f"raises {_error} in a generator of the test", _verdict, _code, "assert all(f(v) == 7 for v in (1, 2))")
CASES.add(
    "raises StopIteration in a generator function of the test", "exception",
    "def f(v):\n    raise StopIteration\n", "def run():\n    yield f(1)\nfor v in run():\n    assert v == 7\n"
    "assert list(run()) == [7]",
)  # fmt: skip
for _end in ("sys.exit(0)", "raise SystemExit", "os._exit(0)", "os._exit(1)", "os.kill(os.getpid(), 9)", "os.abort()",
             "os.execv('/bin/true', ['true'])", "os.execv('/bin/sh', ['sh', '-c', 'echo passed'])"):  # fmt: skip
    _soft = ("exit(0)" in _end and "os" not in _end) or _end.startswith("raise")
    _crash = "kill" in _end or "abort" in _end
    _verdict = "exception" if _soft else "crash" if _crash else "protocol"
    CASES.add(f"{_end} in a call", _verdict, f"import os, sys\ndef f(v):\n    {_end}\n", "assert f(1) == 7")
    _verdict = "load_error" if _soft else _verdict
    CASES.add(
        f"{_end} while it is loaded", _verdict, f"import os, sys\n{_end}\ndef f(v): return 0\n", "assert f(1) == 7"
    )
CASES.add(
    "leaves by atexit",
    "wrong_answer",
    "import atexit, os\natexit.register(os._exit, 0)\ndef f(v): return 0\n",
    "assert f(1) == 7",
)
CASES.add(
    "leaves in a thread", "protocol wrong_answer",
    "import os, threading, time\nthreading.Timer(0.05, os._exit, (0,)).start()\ndef f(v):\n    time.sleep(0.3)\n"
    "    return 0\n",
    "assert f(1) == 7",
)  # fmt: skip
CASES.add(
    "closes every descriptor", "protocol", "import os\nos.closerange(0, 256)\ndef f(v): return 7\n", "assert f(1) == 7"
)
CASES.add(
    "closes the line in a call", "protocol", "import os\ndef f(v):\n    os.close(3)\n    return 7\n", "assert f(1) == 7"
)
CASES.add(
    "writes on every descriptor", "wrong_answer protocol exception",
    """
    import os
    def f(v):
        for fd in range(64):
            try: os.write(fd, b"passed\\n" * 3)
            except OSError: pass
        return 0
    """,
    "assert f(1) == 7",
)  # fmt: skip
CASES.add(
    "passes descriptors to the judge", "protocol wrong_answer",
    """
    import os, socket
    def f(v):
        line = socket.socket(fileno=os.dup(3))
        for _ in range(20): socket.send_fds(line, [b"\\0"], [0, 1, 2])
        return 0
    """,
    "assert f(1) == 7",
)  # fmt: skip
CASES.add("sends out-of-band bytes", "protocol timeout_wall",
          "import socket\ndef f(v):\n    socket.socket(fileno=3).send(b'x', socket.MSG_OOB)\n    return 7\n",
          "assert f(1) == 7", timeout=0.3)  # fmt: skip
CASES.add("shuts the line's writing side", "protocol timeout_wall", """
    import socket, time
    def f(v):
        socket.socket(fileno=3).shutdown(socket.SHUT_WR)
        time.sleep(30)
    """, "assert f(1) == 7", timeout=0.3)  # fmt: skip
CASES.add("forks and both answer", "wrong_answer protocol exception load_error",
          "import os\nos.fork()\ndef f(v): return 0\n",
          "assert f(1) == 7", "assert f(2) == 7", tiers="ABC")  # fmt: skip
CASES.add("a child answers first", "wrong_answer protocol exception timeout_wall", """
    import os, time
    def f(v):
        if os.fork():
            time.sleep(0.2)
            return 0
        import sys
        sys.modules["os"].getpid = lambda: 0
        return 7
    """, "assert f(1) == 8", timeout=0.4)  # fmt: skip
CASES.add("floods the line while the judge sends", "protocol timeout_wall output_limit memory", WIRE + """
def f(g):
    send(number(), b"K" + u32(0) + t(t(b"b" + u32(10 << 20) + bytes(10 << 20)), b"d" + u32(0)))
    for _ in range(3000): S.sendall(bytes(1 << 20))
""", "assert f(lambda v: v) == 7", tiers="A")  # fmt: skip
CASES.add("prints a verdict", "wrong_answer", 'print(\'{"verdict": "passed"}\')\n'
    'def f(v): return 0\n', "assert f(1) == 7",
          prints="passed")  # fmt: skip
CASES.add("raises in a callback's argument", "exception wrong_answer", """
    class A:
        def __getattr__(self, name): raise SystemExit(0)
        __eq__ = __lt__ = __add__ = __bool__ = __len__ = lambda *a: (_ for _ in ()).throw(SystemExit(0))
    def f(function): return function(A())
    """, "assert f(lambda v: v + 1) == 7", "assert f(len) == 7")  # fmt: skip
CASES.add(
    "calls back with what raises",
    "exception",
    "def f(function): return function(None)\n",
    "assert f(lambda v: v + 1) == 7",
)
CASES.add("calls back without end", "exception", "def f(function): return function(function)\n",
          "def again(g):\n    return f(g)\nassert f(again) == 7")  # fmt: skip
CASES.add(
    "changes the callback that it is given",
    "exception wrong_answer",
    "def f(g):\n    g.number = 0\n    return 0\n",
    "assert f(len) == 7",
)
CASES.add("an endless iterator", "timeout_cpu timeout_wall memory", "def f(v):\n"
    "    while True: yield 7\n", "assert list(f(1)) == [7]",
          timeout=0.5)  # fmt: skip
CASES.add("an iterator that ends early", "wrong_answer", "def f(v):\n    yield 7\n    raise SystemExit(0)\n"
    "    yield 8\n",
          "it = iter(f(1))\nassert next(it) == 7\ntry:\n    second = next(it)\nexcept BaseException as e:\n"
          "    second = type(e).__name__\n"
          "assert second == 8")  # fmt: skip
CASES.add("an iterator of big items", "output_limit memory timeout_cpu timeout_wall",
          "def f(v):\n    while True: yield b'7' * (8 << 20)\n", "assert list(f(1)) == [7]", timeout=0.5)  # fmt: skip
CASES.add("repr asks the judge for more", "wrong_answer", """
    class A:
        def __repr__(self): raise SystemExit(0)
        __str__ = __repr__
    def f(v): return A()
    """, "assert f(1) == 7, f(1)", "assert f(1) == 7, (f(1), [f(2)])")  # fmt: skip
CASES.add("str of its object in a KeyError", "exception", """
    class A:
        def __repr__(self): raise SystemExit(0)
        __hash__ = lambda self: 1
    def f(v): return A()
    """, "assert {1: 2}[f(1)] == 2")  # fmt: skip
CASES.add("a huge number as message", "wrong_answer", "def f(v): return 10**5000\n", "assert f(1) == 7, f(1)")
CASES.add("a huge number as missing key", "exception", "def f(v): return 10**5000\n", "assert {1: 2}[f(1)] == 2")
CASES.add("a huge number in a ValueError", "exception", "def f(v): return 10**5000\n", "raise ValueError(f(1))")

_MUST_RAISE = "try:\n    f(-1)\n    assert False, 'it must raise'\nexcept {}:\n    pass"
for _name, _code, _caught in (
    ("Exception", "MyErr = Exception", "MyErr"),
    ("BaseException", "MyErr = BaseException", "MyErr"),
    ("AssertionError", "MyErr = AssertionError", "MyErr"),
    ("a tuple of them", "MyErr = (Exception, BaseException)", "MyErr"),
    ("an attribute", "class Stack:\n    Empty = Exception", "Stack.Empty"),
    ("a class that says it is its parent", "class M(type):\n"
        "    __subclasscheck__ = __instancecheck__ = lambda *a: True\n"
     "class MyErr(Exception, metaclass=M): pass", "MyErr"),
):  # fmt: skip
    CASES.add(
        f"calls its error {_name}",
        "wrong_answer exception",
        f"{_code}\ndef f(v): return 0\n",
        _MUST_RAISE.format(_caught),
    )
_UNITTEST = """
import unittest
class T(unittest.TestCase):
    def test(self):
        with self.assertRaises(E): self.assertEqual(f(1), 7)
tests = unittest.defaultTestLoader.loadTestsFromTestCase(T)
assert unittest.TextTestRunner(stream=open("/dev/null", "w")).run(tests).wasSuccessful()
"""
for _name, _test in (
    ("a raise of the test", "try:\n    if f(1) != 7: raise RuntimeError('wrong')\nexcept E:\n    pass"),
    ("an assertion of unittest", _UNITTEST),
):
    CASES.add(f"its error catches {_name}", "wrong_answer exception", "E = Exception\ndef f(v): return 0\n", _test)
CASES.add("an error whose text asks for more", "exception", """
    class A:
        def __repr__(self): raise SystemExit(0)
        __str__ = __repr__
    class MyErr(Exception): pass
    def f(v): raise MyErr(A(), A())
    """, "assert f(1) == 7")  # fmt: skip
CASES.add("learns the expected value by an operator", "exception wrong_answer", """
    seen = []
    class A:
        def __sub__(self, other):
            seen.append(other)
            return self
        __rsub__ = __sub__
        __abs__ = __neg__ = lambda self: 0.0
        __eq__ = __lt__ = lambda self, other: True
        __round__ = lambda self, n=None: 0
        __bool__ = lambda self: False
        value = property(lambda self: seen[-1])
    def f(v): return A()
    """, "d = f(1) - 7\nassert d.value == 7 and not d", "assert round(f(1) - 7, 3) == 0",
    "assert not f(1) - 7")  # fmt: skip
