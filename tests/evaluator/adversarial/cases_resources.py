"""Programs that take more than they may: CPU time, wall time, memory, processes, output. All of them are bounded."""

from __future__ import annotations

from .case import Corpus

CASES = Corpus("resources")
_T = 0.3
_ASK = "assert f(1) == 7"
# The clock is the same in both tiers: what differs is who may fork and how it is killed.
_IN_BOTH = ("loops in Python", "loops in a power", "blocks signals", "raises its limits and loops", "burns in threads")


def _cpu(name: str, body: str, allowed: str = "timeout_cpu", head: str = "", **fields: object) -> None:
    code = f"{head}\ndef f(v):\n" + "".join(f"    {line}\n" for line in body.splitlines()) + "    return 7\n"
    CASES.add(
        name, allowed, code, _ASK, timeout=_T, seconds=30, **{"tiers": "AB" if name in _IN_BOTH else "A"} | fields
    )


_cpu("loops in Python", "while True: pass")
_cpu("loops while it is loaded", "pass", head="for _ in iter(int, 1): pass")
_cpu("loops in C", "sum(range(10**12))")
_cpu("loops in itertools", "import itertools\nfor _ in itertools.product(range(10**4), repeat=8): pass", head="")
_cpu(
    "loops in one call of itertools", "import collections, itertools\ncollections.deque(itertools.repeat(1, 10**12), 0)"
)
_cpu("loops in a regular expression", "import re\nre.match('(a+)+$', 'a' * 50 + 'b')")
_cpu("loops in a power", "9 ** 9 ** 9")
_cpu("loops in str of a number", "import sys\nsys.set_int_max_str_digits(0)\nstr(1 << 10**8)")
_cpu("loops in a hash", "import hashlib\nhashlib.pbkdf2_hmac('sha1', b'', b'', 2**31 - 1)")
_cpu("loops in sorted", "sorted(range(10**8), key=lambda v: -v)", "timeout_cpu memory")
_cpu("catches everything", "while True:\n    try:\n        while True: pass\n    except BaseException: pass")
_cpu("ignores signals", "while True: pass", head="""
import signal
for number in signal.valid_signals():
    try: signal.signal(number, signal.SIG_IGN)
    except OSError: pass
""")  # fmt: skip
_cpu(
    "blocks signals",
    "while True: pass",
    head="import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())",
)
_cpu("handles its signals", "while True: pass", head="""
import signal
for number in (signal.SIGXCPU, signal.SIGPROF, signal.SIGALRM, signal.SIGVTALRM):
    signal.signal(number, lambda *a: None)
""")  # fmt: skip
_cpu("stops the clock", "while True: pass", head="import signal\nfor kind in (0, 1, 2): signal.setitimer(kind, 0)")
_cpu("raises its limits and loops", "while True: pass", head="""
import resource, signal
signal.setitimer(signal.ITIMER_PROF, 0)
for kind in range(16):
    try: resource.setrlimit(kind, (resource.RLIM_INFINITY,) * 2)
    except (OSError, ValueError): pass
""")  # fmt: skip
_cpu("burns in threads", """
import threading
def burn():
    while True: pass
for _ in range(4): threading.Thread(target=burn, daemon=True).start()
import time
time.sleep(3)
""".strip())  # fmt: skip
_cpu("leaves a burning thread behind", """
import threading, time
def burn():
    while True: pass
threading.Thread(target=burn, daemon=True).start()
time.sleep(1.5)
""".strip())  # fmt: skip
_BURN = "t = time.process_time()\n        while time.process_time() - t < 0.25: pass\n        os._exit(0)"
_FORKS = "timeout_cpu exception"  # exception: where it may not fork
_cpu(
    "burns in children that it waits for",
    f"import os, time\nfor _ in range(3):\n    if not os.fork():\n        {_BURN}\n    os.wait()",
    _FORKS,
)
_cpu(
    "burns in children that it does not wait for",
    f"import os, time\nfor _ in range(3):\n    if not os.fork():\n        {_BURN}\ntime.sleep(1.2)",
    _FORKS,
)
_cpu("burns in children that nobody may wait for", f"import os, signal, time\n"
    f"signal.signal(signal.SIGCHLD, signal.SIG_IGN)\nfor _ in range(3):\n"
     f"    if not os.fork():\n        {_BURN}\ntime.sleep(1.2)", _FORKS)  # fmt: skip
_cpu("burns in children without zombies", f"""
import ctypes, os, signal, time
action = (ctypes.c_ulong * 20)(0, 2)
ctypes.CDLL(None).sigaction(17, ctypes.byref(action), None)
action = (ctypes.c_ulong * 4)(0, 2, 0, 0)
ctypes.CDLL(None).syscall(13, 17, ctypes.byref(action), None, 8)
for _ in range(3):
    if not os.fork():
        {_BURN}
time.sleep(1.2)
""".strip(), _FORKS)  # fmt: skip
_cpu("burns in grandchildren", f"import os, time\nif not os.fork():\n    os.setsid()\n    for _ in range(3):\n"
    f"      if not os.fork():\n"
     f"        {_BURN}\n    os._exit(0)\nos.wait()\ntime.sleep(1.2)", _FORKS)  # fmt: skip
_cpu("burns in another program", "import subprocess\nsubprocess.run(['/bin/sh', '-c', 'while :; do :; done'])", _FORKS)

_WALL = "timeout_wall"
for _name, _body in {
    "sleeps": "import time\ntime.sleep(300)",
    "sleeps in the kernel": "import select\nselect.select([], [], [], 300)",
    "waits for a lock": "import threading\nlock = threading.Lock()\nlock.acquire()\nlock.acquire()",
    "stops itself": "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)",
    "waits for its own pipe": "import os\nos.read(os.pipe()[0], 1)",
    "reads the judge's line": "import socket\nsocket.socket(fileno=3).recv(1)",
    "sleeps in a thread at its end": "import threading, time\n"
    "t = threading.Thread(target=time.sleep, args=(300,))\nt.start()\nt.join()",
}.items():
    CASES.add(
        _name,
        _WALL,
        f"def f(v):\n    {_body.replace(chr(10), chr(10) + '    ')}\n",
        _ASK,
        timeout=0.1,
        seconds=30,
        tiers="AB" if _name in ("sleeps", "stops itself") else "A",
    )
CASES.add("waits for input", "exception", "def f(v):\n    return input()\n", _ASK)
CASES.add("waits for input when loaded", "load_error", "input()\n", _ASK)
CASES.add("reads all input", "wrong_answer", "import sys\ndef f(v):\n    return sys.stdin.read()\n", _ASK)

for _name, _body in {
    "one big array": "bytearray(3 << 30)",
    "a list that grows": "[bytearray(64 << 20) for _ in range(48)]",
    "a string": "'a' * 10**11",
    "a list of numbers": "[0] * 10**9",
    "a range": "list(range(10**9))",
    "a big integer": "1 << 10**11",
    "formatting": "'%2000000000d' % 1",
    "a decompression": "__import__('zlib').decompress(__import__('zlib').compress(b'0' * 10**7), bufsize=3 << 30)",
    "stacks": "(t := __import__('threading')).stack_size(1 << 30) or [t.Thread(target=int).start() for _ in 'ab']",
}.items():
    _allowed = "memory exception" if _name == "stacks" else "memory"
    CASES.add(
        f"takes memory by {_name}",
        _allowed,
        f"def f(v):\n    return {_body} and 7\n",
        _ASK,
        timeout=5.0,
        seconds=30,
        tiers="AB" if _name == "one big array" else "A",
    )
CASES.add("takes memory when loaded", "memory", "x = bytearray(3 << 30)\ndef f(v): return 7\n", _ASK)
CASES.add(
    "catches its MemoryError",
    "passed",
    "def f(v):\n    try: bytearray(3 << 30)\n    except MemoryError: return 7\n",
    _ASK,
)
CASES.add("takes memory in children", "passed", """
    import os, time
    def f(v):
        failed = 0
        for _ in range(3):
            try: pid = os.fork()
            except OSError: return 7
            if not pid:
                try: bytearray(1 << 30)
                except MemoryError: os._exit(9)
                os._exit(0)
            failed += os.waitstatus_to_exitcode(os.wait()[1]) == 9
        return 7 if failed == 3 else failed
    """, _ASK, timeout=2)  # fmt: skip
CASES.add("forks up to 40 times", "exception", """
    import os, time
    def f(v):
        for _ in range(40):
            if not os.fork():
                time.sleep(3)
                os._exit(0)
        return 7
    """, _ASK, timeout=2)  # fmt: skip
CASES.add("starts 200 threads", "exception memory", """
    import threading, time
    def f(v):
        for _ in range(200): threading.Thread(target=time.sleep, args=(0.5,), daemon=True).start()
        return 7
    """, _ASK)  # fmt: skip
CASES.add(
    "opens many descriptors",
    "exception",
    "import os\ndef f(v):\n    return len([os.dup(1) for _ in range(2000)])\n",
    _ASK,
)
CASES.add(
    "opens many pipes", "exception", "import os\ndef f(v):\n    return len([os.pipe() for _ in range(2000)])\n", _ASK
)
CASES.add(
    "writes a file of 100 MB",
    "exception crash",
    "def f(v):\n    with open('big', 'wb') as h:\n        for _ in range(100): h.write(bytes(1 << 20))\n    return 7\n",
    _ASK,
)
CASES.add("writes files of 100 MB in all", "exception", """
    def f(v):
        for n in range(10):
            with open(f"big{n}", "wb") as h: h.write(bytes(10 << 20))
        return 7
    """, _ASK, tiers="A")  # fmt: skip
CASES.add(
    "makes 10,000 files",
    "exception",
    "def f(v):\n    for n in range(10000): open(str(n), 'w').close()\n    return 7\n",
    _ASK,
    timeout=3,
    tiers="A",
)
CASES.add("recurses without end", "exception", "def f(v): return f(v)\n", _ASK)
CASES.add(
    "recurses without end or limit",
    "exception crash memory timeout_cpu",
    "import sys\nsys.setrecursionlimit(10**9)\ndef f(v): return f(v)\n",
    _ASK,
)
CASES.add(
    "overflows the stack of C",
    "crash exception memory",
    "import sys\nsys.setrecursionlimit(10**8)\nclass A:\n    def __repr__(self): return repr(self)\n"
    "def f(v): return repr(A())\n",
    _ASK,
)
CASES.add("reads address 0", "crash", "import ctypes\ndef f(v): return ctypes.string_at(0)\n", _ASK)
CASES.add("kills itself by SIGPROF", "crash timeout_cpu", "import os\ndef f(v): os.kill(os.getpid(), 27)\n", _ASK)
for _name, _code, _allowed in (
    ("standard output", "print('a' * (1 << 20))", "output_limit"),
    ("standard error", "__import__('sys').stderr.write('a' * (1 << 20))", "output_limit"),
    ("a descriptor", "__import__('os').write(1, b'a' * (1 << 20))", "output_limit"),
    ("one line", "print('a' * (1 << 20), end='')", "output_limit"),
    ("a child", "__import__('os').system('head -c 1000000 /dev/zero')", "output_limit"),
):
    CASES.add(f"floods {_name}", _allowed, f"def f(v):\n    for _ in range(30): {_code}\n"
        f"    return 7\n", _ASK, timeout=3,
              tiers="A" if "child" in _name else "AB")  # fmt: skip
CASES.add(
    "floods when loaded", "output_limit", "for _ in range(30): print('a' * (1 << 20))\ndef f(v): return 7\n", _ASK
)
CASES.add("floods what it has closed", "passed", """
    import os
    os.close(1), os.close(2)
    def f(v):
        for _ in range(30):
            try: print("a" * (1 << 20))
            except Exception: pass
        return 7
    """, _ASK)  # fmt: skip
CASES.add("answers with 20 MB", "output_limit", "def f(v): return 'a' * (20 << 20)\n", _ASK)
CASES.add(
    "answers with three million numbers",
    "timeout_cpu output_limit",
    "def f(v): return list(range(3000000))\n",
    _ASK,
    timeout=_T,
)
CASES.add("answers with a long range", "wrong_answer", "def f(v): return range(10**18)\n", _ASK)
CASES.add("prints 9 MB in a line", "passed", "def f(v):\n    print('a' * (9 << 20))\n    return 7\n", _ASK)
CASES.add("has a callback take memory", "timeout_wall timeout_cpu memory exception output_limit",
          "def f(g): return len(g(3 * 10**8))\n", "assert f(lambda n: 'a' * n) == 7", timeout=_T)  # fmt: skip
