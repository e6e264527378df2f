"""Each test checks one property of the sandbox, most of them with a program that attacks it (all of them bounded)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from hrm_codegen.errors import SandboxError, UsageError
from hrm_codegen.evaluator import (
    JailSandbox,
    Limits,
    Program,
    ProgramResult,
    Verdict,
    interpreter,
    probe_tiers,
    run_program,
    self_check,
)
from hrm_codegen.evaluator.tiers import choose_tier, warn_of_tier_c
from hrm_codegen.evaluator.workers import remove_folder

pytestmark = pytest.mark.sandbox

GOOD = "def double(x):\n    return 2 * x\n"
TESTS = ("assert double(2) == 4", "assert double(-1) == -2")
FLOOD_FDS = (
    "import os\nfor fd in range(3, 64):\n    try:\n        os.write(fd, {data})\n    except OSError:\n        pass\n"
)

VERDICTS = {
    "right": (GOOD, "passed"),
    "right with CRLF and tabs": ("def double(x):\r\n\treturn 2 * x\r\n", "passed"),
    "right and noisy": (f"print('passed')\n{GOOD}", "passed"),
    "right, ten megabytes": (f"#{'a' * 10_000_000}\n{GOOD}", "passed"),
    "right with a dataclass": (f"import dataclasses\n@dataclasses.dataclass\nclass A:\n    x: int\n{GOOD}", "passed"),
    "right, prints half a character": (f"print('\\ud800')\n{GOOD}", "passed"),
    "right below a main guard": (f"{GOOD}\nif __name__ == '__main__':\n    raise SystemExit(1)\n", "passed"),
    "wrong": ("def double(x):\n    return x\n", "wrong_answer"),
    "raises": ("def double(x):\n    raise KeyError(x)\n", "exception"),
    "asserts itself": ("def double(x):\n    assert x > 10\n", "exception"),
    "empty": ("", "exception"),
    "another name": ("def triple(x):\n    return 3 * x\n", "exception"),
    "recursion without end": ("def double(x):\n    return double(x)\n", "exception"),
    "leaves in a test": ("def double(x):\n    raise SystemExit(0)\n", "exception"),
    "interrupts in a test": ("def double(x):\n    raise KeyboardInterrupt\n", "exception"),
    "an exception without text": (
        "class E(Exception):\n    def __str__(self):\n        raise self\ndef double(x):\n    raise E\n",
        "exception",
    ),
    "no Python": ("def double(x)\n    return", "load_error"),
    "fails when loaded": ("raise RuntimeError('no')", "load_error"),
    "leaves when loaded": (f"import sys\nsys.exit(0)\n{GOOD}", "load_error"),
    "a NUL byte": (f"{GOOD}\0", "load_error"),
    "half a character": (f"{GOOD}# \ud800", "load_error"),
    "too many brackets": ("(" * 5000, "load_error"),
    "too much memory when loaded": (f"x = bytearray(1 << 40)\n{GOOD}", "memory"),
    "too much memory": ("def double(x):\n    return bytearray(1 << 40)\n", "memory"),
    "too much output": ("def double(x):\n    while True:\n        print('x' * 9999)\n", "output_limit"),
    "leaves at once": (f"import os\nos._exit(0)\n{GOOD}", "protocol"),
    "leaves in a test at once": ("import os\ndef double(x):\n    os._exit(0)\n", "protocol"),
    "prints a verdict and leaves": (f"import os\nos.write(1, b'passed')\nos._exit(0)\n{GOOD}", "protocol"),
    "writes a verdict everywhere": (FLOOD_FDS.format(data="b'nonce =706173736564\\n'") + GOOD, "protocol"),
    "writes a torn verdict": (FLOOD_FDS.format(data="b'passed'") + "os._exit(0)", "protocol"),
    "floods every descriptor": (FLOOD_FDS.format(data="b'x' * (1 << 19)") + GOOD, "protocol"),
    "closes every descriptor": (f"import os\nos.closerange(0, 64)\n{GOOD}", "protocol"),
    "becomes another program": (
        "import os, sys\nos.execv(sys.executable, [sys.executable, '-S', '-c', 'print(1)'])\n",
        "protocol",
    ),
    "kills itself": ("import os\ndef double(x):\n    os.kill(os.getpid(), 9)\n", "crash"),
    "aborts": ("import os\ndef double(x):\n    os.abort()\n", "crash"),
    "dies of a real-time signal": ("import os\nos.kill(os.getpid(), 40)\n", "crash"),
    "touches address zero": ("import ctypes\ndef double(x):\n    return ctypes.string_at(0)\n", "crash"),
    "a forked copy goes on": (f"import os\nif os.fork():\n    os._exit(0)\n{GOOD}", "protocol"),
    "a forked copy goes on as well": (f"import os\nos.fork()\n{GOOD}", "passed"),
    "loops": ("def double(x):\n    while True:\n        pass\n", "timeout_cpu"),
    "loops in C": ("def double(x):\n    return sum(range(10 ** 12))\n", "timeout_cpu"),
    "loops and catches": (
        "def double(x):\n    while True:\n        try:\n            while 1: 1\n        except BaseException: 1\n",
        "timeout_cpu",
    ),
    "loops when loaded": ("while True:\n    pass\n", "timeout_cpu"),
}


MODES = ("namespaces", "landlock", "posix")


@pytest.fixture(scope="module")
def sandboxes():
    """A sandbox of every tier that this machine has."""
    missing = probe_tiers()
    made = {mode: JailSandbox(mode) for mode, tier in zip(MODES, "ABC", strict=True) if not missing[tier]}
    yield made
    for sandbox in made.values():
        sandbox.close()


@pytest.fixture(params=MODES)
def sandbox(request, sandboxes):
    """The sandbox of one tier."""
    if request.param not in sandboxes:
        pytest.skip(f"{request.param}: {probe_tiers()}")
    return sandboxes[request.param]


@pytest.mark.parametrize("name", VERDICTS)
def test_verdict(name, sandbox):
    code, verdict = VERDICTS[name]
    result = sandbox.run(Program(code=code, test_list=TESTS, timeout=0.4))
    if sandbox.tier == "B" and os.geteuid() == 0 and "os.fork" in code and result.verdict == "load_error":
        assert "not permitted" in result.message  # root's programs may not fork where no other user can be had
    else:
        assert result.verdict == verdict, result


def test_two_hundred_thousand_minuses_are_a_clear_verdict():
    result = run_program(code=f"x = {'-' * 200_000}1\n{GOOD}", test_list=TESTS)
    assert result.verdict in (Verdict.LOAD_ERROR, Verdict.CRASH)


def test_sleeping_is_a_wall_timeout():
    result = run_program(code="import time\ntime.sleep(60)", test_list=TESTS, timeout=0.05)
    assert result.verdict == "timeout_wall"
    assert result.cpu_seconds < 1 < result.wall_seconds


def test_a_timer_switched_off_does_not_buy_time():
    code = "import signal, time\nsignal.setitimer(signal.ITIMER_PROF, 0)\nend = time.process_time() + 0.4\n"
    code += f"while time.process_time() < end:\n    pass\n{GOOD}"
    assert run_program(code=code, test_list=TESTS, timeout=0.2).verdict == "timeout_cpu"


@pytest.mark.parametrize("tests", [(), ("",), ("# nothing",), ("assert double(2 ==",), ("\0",), ("\ud800",)])
def test_tests_that_test_nothing_are_the_harness_s_fault(tests):
    assert run_program(code=GOOD, test_list=tests).verdict == "harness_error"


def test_setup_runs_between_the_program_and_the_tests():
    code = "class Node:\n    def __init__(self, value):\n        self.value = value\n"
    result = run_program(code=code, test_setup_code="root = Node(3)", test_list=("assert root.value == 3",))
    assert result.verdict == "passed"


def test_a_setup_that_fails_is_an_exception_without_a_failing_test():
    result = run_program(code=GOOD, test_setup_code="root = Node(3)", test_list=TESTS)
    assert (result.verdict, result.failing_test) == (Verdict.EXCEPTION, None)
    assert "Node" in result.message


CHECK = "METADATA = {}\n\ndef check(candidate):\n    assert candidate(1) == 2\n    assert candidate(2) == 4\n"


@pytest.mark.parametrize("tests", [(f"{CHECK}\ncheck(double)",), (CHECK,), (CHECK, "check(double)")])
def test_human_eval_s_check_is_called(tests):
    assert run_program(code=GOOD, test_list=tests, entry_point="double").verdict == "passed"
    wrong = run_program(code="def double(x):\n    return 2", test_list=tests, entry_point="double")
    assert (wrong.verdict, wrong.failing_test) == (Verdict.WRONG_ANSWER, "assert candidate(2) == 4")
    assert (wrong.expected, wrong.got) == ("4", "2")


@pytest.mark.parametrize(
    ("test", "expected", "got"),
    [
        ("assert double(2) == [4]", "[4]", "4"),
        ("assert [4] == double(2)", "[4]", "4"),
        ("assert double(2) is None", "None", "4"),
        ("assert (double(2) == 4) == False, 'why'", "False", "True"),
        ("for i in (1, 2):\n    assert double(i) == 2", "2", "4"),
        ("assert double(2) < 3", None, None),
        ("assert 3 < double(2) < 4", None, None),
        ("assert not double(2)", None, None),
    ],
)
def test_a_failing_comparison_is_taken_apart(test, expected, got):
    result = run_program(code=GOOD, test_list=(test,))
    assert (result.verdict, result.expected, result.got) == (Verdict.WRONG_ANSWER, expected, got)
    assert result.failing_test in test


def test_texts_are_bounded():
    code = "def double(x):\n    print('y' * 100_000)\n    return 'z' * 100_000\n"
    result = run_program(code=code, test_list=TESTS)
    assert len(result.stdout) == 4096
    assert len(result.got) < 2100
    error = run_program(code="def double(x):\n    raise ValueError('z' * 100_000)\n", test_list=TESTS)
    assert len(error.message) < 600


def test_a_repr_that_fails_is_shown_as_such():
    code = "class A:\n    def __repr__(self):\n        raise ValueError\ndef double(x):\n    return A()\n"
    result = run_program(code=code, test_list=TESTS)
    assert (result.verdict, result.got) == (Verdict.WRONG_ANSWER, "<repr() raised ValueError>")


def _tells(expression: str, imports: str = "os") -> str:
    return run_program(code=f"import {imports}\nprint({expression})\n{GOOD}", test_list=TESTS).stdout.strip()


def test_environment_and_arguments_are_scrubbed(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "canary-of-the-test")
    told = _tells("dict(os.environ), sys.argv, sys.path, sys.stdin.read()", "os, sys")
    assert "canary-of-the-test" not in told
    assert "PATH'" not in told
    assert "site-packages" not in told
    assert "def double" not in told


def test_hashes_are_the_same_in_every_run():
    assert _tells("hash('a'), {'a', 'b', 'c', 'd'}") == _tells("hash('a'), {'a', 'b', 'c', 'd'}")


def test_the_folder_is_private_empty_and_gone_afterwards():
    folder, content, home = _tells("os.getcwd(), os.listdir(), os.environ['HOME']").split(" ")
    assert content == "[]"
    assert folder == home
    assert not os.path.exists(folder)


def test_a_folder_is_empty_for_each_program_and_gone_in_the_end(sandbox):
    code = "import os\nassert not os.listdir(), os.listdir()\nopen('left', 'w').close()\nos.mkdir('d')\n"
    code += "print(os.getcwd())\n"
    for _ in range(2):
        result = sandbox.run(Program(code=code + GOOD, test_list=TESTS))
        assert result.verdict == "passed", result
    own = JailSandbox(dict(zip("ABC", MODES, strict=True))[sandbox.tier])
    folder = own.run(Program(code=code + GOOD, test_list=TESTS)).stdout.strip()
    own.close()
    assert not os.path.exists(folder)


def test_hostile_folders_are_removed(sandbox):
    code = "import os\nopen('file', 'w').close()\nos.symlink('/', 'link')\nos.makedirs('a/b')\n"
    code += "try:\n    os.chmod('a', 0)\nexcept PermissionError:\n    pass\n"
    code += "for i in range(1100):\n    os.mkdir('d')\n    os.chdir('d')\n"
    result = sandbox.run(Program(code=code + GOOD, test_list=TESTS))
    assert result.verdict == "passed", result
    clean = sandbox.run(Program(code=f"import os\nassert not os.listdir()\n{GOOD}", test_list=TESTS))
    assert clean.verdict == "passed", clean


def test_a_folder_that_cannot_be_removed_is_a_warning(tmp_path, caplog):
    remove_folder(str(tmp_path / "missing"))
    assert "cannot remove" in caplog.text


@pytest.mark.parametrize("size", [0, 3])
def test_files_and_descriptors_are_limited(size):
    code = f"files = [open(f'f{{i}}', 'wb') for i in range(200)]\n{GOOD}"
    big = f"with open('f', 'wb') as f:\n    for _ in range(64):\n        f.write(bytes(1 << 20))\n{GOOD}"
    result = run_program(code=big if size else code, test_list=TESTS)
    assert result.verdict == "load_error"
    assert "OSError" in result.message


@pytest.mark.skipif(sys.platform != "linux", reason="network namespaces are Linux's")
def test_no_program_reaches_a_listener_where_namespaces_work():
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        told = _tells(f"socket.socket().connect_ex(('127.0.0.1', {port})), os.getuid()", "os, socket")
    code, uid = (int(word) for word in told.split())
    if uid == os.getuid():
        pytest.skip("this kernel refuses user namespaces")
    assert code != 0


def _children(pid: int) -> set[int]:
    """All descendants of a process, from /proc."""
    found: set[int] = set()
    pending = [pid]
    while pending:
        try:
            text = Path(f"/proc/{pending[-1]}/task/{pending.pop()}/children").read_text()
        except OSError:
            continue
        children = {int(word) for word in text.split()} - found
        found |= children
        pending += children
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_children_of_the_program_end_with_it(sandbox):
    innocent = Program(code=GOOD, test_list=TESTS)
    sandbox.run(innocent)
    before = _children(os.getpid())
    code = "import os, time\nfor leave in (0, 1):\n    if not os.fork():\n        if leave:\n            os.setsid()\n"
    code += "        os.closerange(0, 64)\n        time.sleep(300)\n        os._exit(0)\n"
    result = sandbox.run(Program(code=code + GOOD, test_list=TESTS))
    assert result.verdict in ("passed", "load_error"), result
    assert _children(os.getpid()) <= before
    assert sandbox.run(innocent).verdict == "passed"


def test_a_machine_without_pidfd_gets_the_same_verdicts(monkeypatch):
    monkeypatch.setattr("hrm_codegen.evaluator.interpreter._BOOT", "import os; del os.pidfd_open; " + interpreter._BOOT)
    sandbox = JailSandbox("posix")
    for code, verdict in (VERDICTS["right"], VERDICTS["wrong"], VERDICTS["leaves at once"], VERDICTS["loops"]):
        assert sandbox.run(Program(code=code, test_list=TESTS, timeout=0.2)).verdict == verdict
    sandbox.close()


def test_no_room_for_a_folder_is_the_harness_s_fault(monkeypatch):
    sandbox = JailSandbox("posix")
    assert sandbox.tier == "C"
    monkeypatch.setattr(tempfile, "tempdir", "/nonexistent")
    assert sandbox.run(Program(code=GOOD, test_list=TESTS)).verdict == "harness_error"


def test_an_interpreter_that_does_not_start_is_the_harness_s_fault(monkeypatch):
    sandbox = JailSandbox("posix")
    assert sandbox.tier == "C"
    monkeypatch.setattr(sys, "_base_executable", "/bin/false")
    result = sandbox.run(Program(code=GOOD, test_list=TESTS))
    assert result.verdict == "harness_error"
    assert "did not start" in result.message
    monkeypatch.setattr(sys, "_base_executable", "")
    monkeypatch.setattr(sys, "executable", "")
    assert "no Python interpreter" in sandbox.run(Program(code=GOOD, test_list=TESTS)).message


@pytest.mark.parametrize("timeout", [0, -1.0, float("nan"), float("inf")])
def test_a_timeout_without_meaning_raises(timeout):
    with pytest.raises(UsageError):
        run_program(code=GOOD, test_list=TESTS, timeout=timeout)


def test_lower_hard_limits_are_no_error():
    import resource

    script = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40));"
        f"from hrm_codegen.evaluator import run_program; print(run_program(code={GOOD!r}, test_list={TESTS!r}).verdict)"
    )
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[1] > 40
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "passed"


def test_stop_kills_what_runs():
    sandbox = JailSandbox()
    program = Program(code="import time\ntime.sleep(60)", test_list=TESTS, timeout=20.0)
    results: list[ProgramResult] = []
    thread = threading.Thread(target=lambda: results.append(sandbox.run(program)))
    thread.start()
    while thread.is_alive():
        sandbox.stop()
        time.sleep(0.02)
    assert results[0].verdict in (Verdict.CRASH, Verdict.HARNESS_ERROR)


def test_output_beyond_the_limit_stops_a_program():
    program = Program(code=f"print('x' * 5000)\n{GOOD}", test_list=TESTS)
    assert JailSandbox(limits=Limits(output=4000)).run(program).verdict == "output_limit"
    assert JailSandbox(limits=Limits(output=6000)).run(program).verdict == "passed"


def test_self_check_accepts_the_sandbox():
    self_check()


class _Broken(JailSandbox):
    """Always pleased, as a harness that trusts the exit status is."""

    def run(self, program: Program) -> ProgramResult:
        return ProgramResult(verdict=Verdict.PASSED)


def test_self_check_refuses_a_sandbox_that_always_passes():
    with pytest.raises(SandboxError, match="not wrong_answer"):
        self_check(_Broken())


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "code",
    [
        "import time\ntime.sleep(60)",
        "while True:\n    pass",
        "import os, time\ntry:\n    os.fork()\nexcept OSError:\n    pass\ntime.sleep(60)\n",
        GOOD,
    ],
    ids=["sleeps", "loops", "forks", "has ended"],
)
def test_a_killed_evaluator_leaves_no_process_behind(mode, code, sandboxes):
    if mode not in sandboxes:
        pytest.skip(f"no {mode} here")
    run = f"Program(code={code!r}, test_list=['pass'], timeout=20)"
    script = "from hrm_codegen.evaluator import JailSandbox, Program\nimport time\n"
    script += f"sandbox = JailSandbox({mode!r}, workers=1)\nsandbox.run({run})\ntime.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", script]) as evaluator:
        wanted = 2 if code == GOOD else 3  # worker, zygote, program
        while len(family := _children(evaluator.pid)) < wanted:
            assert evaluator.poll() is None
            time.sleep(0.02)
        time.sleep(0.1)
        family = _children(evaluator.pid)
        evaluator.send_signal(signal.SIGKILL)
    assert all(_ends(pid) for pid in family)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_an_idle_sandbox_has_no_process_and_starts_again():
    sandbox = JailSandbox("best-effort", Limits(idle_seconds=0.05))
    innocent = Program(code=GOOD, test_list=TESTS)
    before = _children(os.getpid())
    for _ in range(2):
        assert sandbox.run(innocent).verdict == "passed"
        family = _children(os.getpid()) - before
        assert all(_ends(pid) for pid in family)
    sandbox.close()


def test_a_judge_that_is_killed_from_outside_is_replaced():
    sandbox = JailSandbox("best-effort")
    before = _children(os.getpid())
    slow = Program(code=f"import time\ntime.sleep(0.5)\n{GOOD}", test_list=TESTS)
    results: list[ProgramResult] = []
    thread = threading.Thread(target=lambda: results.append(sandbox.run(slow)))
    thread.start()
    time.sleep(0.3)
    for pid in _children(os.getpid()) - before:
        os.kill(pid, signal.SIGKILL)
    thread.join()
    assert results[0].verdict == "passed"
    sandbox.close()


@pytest.mark.parametrize("mode", ["A", "none", ""])
def test_an_unknown_mode_is_refused(mode):
    with pytest.raises(Exception, match="sandbox"):  # the run-time type check of the tests may be first
        JailSandbox(mode)


def test_without_walls_nothing_runs_unless_asked_for(monkeypatch, caplog):
    monkeypatch.setattr("hrm_codegen.evaluator.tiers._refusal", lambda tier: "" if tier == "C" else "closed")
    choose_tier.cache_clear()
    warn_of_tier_c.cache_clear()
    try:
        with pytest.raises(SandboxError, match=r"tier A .*: closed; tier B .*: closed.*--sandbox best-effort"):
            _ = JailSandbox().tier
        assert JailSandbox("best-effort").tier == "C"
        assert "tier C" in caplog.text
    finally:
        choose_tier.cache_clear()


def _ends(pid: int) -> bool:
    """Whether a process is gone soon, or dead and waiting for an init that reaps; on a busy machine soon is seconds."""
    for _ in range(3000):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state in "ZX":
            return True
        time.sleep(0.01)
    return False


def test_programs_and_tests_may_import_numpy(sandbox):
    code = "import numpy as np\ndef total(x):\n    return np.sum(np.array(x))\n"
    tests = ("assert total([1, 2]) == 3", "import numpy\nassert numpy.isclose(total([0.1, 0.2]), 0.3)")
    result = sandbox.run(Program(code=code, test_list=tests, timeout=10.0))
    assert result.verdict == "passed", result


def test_all_random_numbers_are_the_same_in_every_run(sandbox):
    code = f"import random\nprint(random.random())\n{GOOD}"
    told = [sandbox.run(Program(code=code, test_list=TESTS)).stdout for _ in range(2)]
    assert told[0] == told[1] != ""


def test_on_macos_a_worker_is_started_by_sandbox_exec(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    command, flag, profile = interpreter._prefix("/private/tmp/folder")
    assert (command, flag) == ("/usr/bin/sandbox-exec", "-p")
    assert '(allow file-write* (subpath "/private/tmp/folder")' in profile
    assert "(deny network*)" in profile


@pytest.mark.parametrize("all_tests", [False, True])
def test_verdicts_by_test(sandbox, all_tests):
    tests = ("assert double(1) == 2", "assert double(1) == 3", "assert double(2) == 4", "assert nothing")
    result = sandbox.run(Program(code=GOOD, test_list=tests, all_tests=all_tests))
    rest = ("passed", "exception") if all_tests else ()
    assert result.tests == ("passed", "wrong_answer", *rest)
    assert (result.verdict, result.failing_test, result.tests_total) == (Verdict.WRONG_ANSWER, tests[1], 4)
    assert (result.call, result.expected, result.got) == ("double(1)", "3", "2")


def test_a_stub_s_helper_is_not_the_program_s():
    prelude = "def helper(x):\n    return x + 1\n\ndef f(x):\n    pass\n"
    test = "def check(candidate):\n    assert helper(candidate(1)) == 3\n"
    sandbox = JailSandbox("best-effort")
    right = Program(code="def f(x):\n    return x + 1", test_list=(test,), prelude=prelude, entry_point="f")
    wrong = Program(
        code="def f(x):\n    return 9\nhelper = lambda x: 3", test_list=(test,), prelude=prelude, entry_point="f"
    )
    missing = Program(code="x = 1", test_list=(test,), prelude=prelude, entry_point="f")
    assert [sandbox.run(p).verdict for p in (right, wrong, missing)] == ["passed", "wrong_answer", "exception"]
    broken = Program(code="def f(x): ...", test_list=(test,), prelude="def f(", entry_point="f")
    assert sandbox.run(broken).verdict == "harness_error"
    sandbox.close()


NODE = "class Node:\n    def __init__(self, value, next=None):\n        self.value, self.next = value, next\n"
CHAIN = """
def chain(values):
    head = None
    for value in reversed(values):
        head = Node(value, head)
    return head


def total(node):
    return node.value + total(node.next) if node else 0
"""


def test_a_class_of_the_setup_can_be_used_by_the_program(sandbox):
    tests = (
        "assert chain([1, 2]).next.value == 2",
        "assert total(Node(3, Node(4))) == 7",
        "assert total(chain([5])) == 5",
    )
    result = sandbox.run(Program(code=CHAIN, test_setup_code=NODE, test_list=tests))
    assert result.verdict == "passed", result


def test_a_test_may_pass_an_exception(sandbox):
    code = "def told(error):\n    return type(error).__name__, str(error)\n"
    result = sandbox.run(Program(code=code, test_list=("assert told(ValueError('x')) == ('ValueError', 'x')",)))
    assert result.verdict == "passed", result
