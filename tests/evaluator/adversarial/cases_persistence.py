"""Programs that leave something for the next one in the same worker, whose verdict is what matters."""

from __future__ import annotations

from .case import Corpus, sections

CASES = Corpus("persistence")
_ANY = "passed wrong_answer exception crash protocol timeout_cpu timeout_wall memory output_limit load_error"

# What runs next: finds an empty folder, prints more than a pipe holds, forks if it may, and has the usual limits.
NEXT = """
import os, resource, signal, sys, tempfile, threading, time
def f(v):
    left = os.listdir(".")
    assert left == [], left
    with open("mine", "w") as file: file.write("x" * 100000)
    with tempfile.NamedTemporaryFile() as file: file.write(b"x")
    os.makedirs("a/b/c")
    assert os.getcwd() == os.path.realpath(tempfile.gettempdir())
    print("x" * 300000, flush=True)
    thread = threading.Thread(target=time.sleep, args=(0,))
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL and not signal.pthread_sigmask(signal.SIG_BLOCK, ())
    assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)
    assert len(bytearray(20 << 20)) == 20 << 20
    assert os.getpriority(os.PRIO_PROCESS, 0) == 0 and os.umask(0o22) in (0o22, 0o77, 0o2)
    return 7
"""
NEXT_TESTS = ("assert f(1) == 7",)

_LEFT = sections(
    r"""
=== files
for n in range(50): open(str(n), 'w').write('x')
=== files with odd names
for n in ('-rf', '*', ' ', '\n', 'a' * 255, '\udcff'): open(n, 'w').close()
=== hidden files
open('.hidden', 'w').close()
open('...', 'w').close()
=== folders without rights
os.makedirs('a/b')
open('a/b/c', 'w').close()
os.chmod('a/b', 0)
os.chmod('a', 0)
=== its folder without rights
os.chmod('.', 0)
=== deep folders
for _ in range(600):
    os.mkdir('d')
    os.chdir('d')
=== a chain of links
for n in range(200): os.symlink(str(n), str(n + 1))
=== a link to itself
os.symlink('loop', 'loop')
=== a link to a folder
os.symlink('/usr', 'usr')
os.symlink('@WRITABLE@', 'out')
=== a fifo
os.mkfifo('fifo')
=== a socket
s = socket.socketpair()[0]
try:
    socket.socket(1).bind('socket')
except OSError: pass
=== sparse files
open('sparse', 'wb').truncate(30 << 20)
=== a full folder
try:
    for n in range(8): open(str(n), 'wb').write(bytes(10 << 20))
except OSError: pass
=== many files
try:
    for n in range(6000): open(str(n), 'w').close()
except OSError: pass
=== no folder
os.chdir('/')
os.system('rm -rf /tmp/* /box/* 2>/dev/null') if os.path.isdir('/box') else None
=== shared memory
try: open('/dev/shm/x', 'w').write('x')
except OSError: pass
=== a named semaphore
try:
    import _multiprocessing
    _multiprocessing.SemLock(1, 1, 1, '/left', False)
except (OSError, ImportError): pass
=== a non-blocking output
os.set_blocking(1, False)
os.set_blocking(2, False)
os.set_blocking(0, False)
=== a small output pipe
fcntl.fcntl(1, 1031, 4096)
=== a large output pipe
try: fcntl.fcntl(1, 1031, 1 << 20)
except OSError: pass
=== an output that signals
try:
    fcntl.fcntl(1, 8, 1)
    fcntl.fcntl(1, 10, 9)
    fcntl.fcntl(1, 4, fcntl.fcntl(1, 3) | 0x2000)
except OSError: pass
=== an output that appends
fcntl.fcntl(1, 4, fcntl.fcntl(1, 3) | os.O_APPEND)
=== a locked input
try: fcntl.flock(0, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError: pass
=== a locked output
try: fcntl.flock(1, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError: pass
=== an output without rights
try: os.fchmod(1, 0)
except OSError: pass
=== output behind its end
print('left over', flush=True)
os.write(1, b'left over')
os._exit(0)
=== half a line
os.write(1, b'\xf0\x9f')
os._exit(0)
=== a dead first process
if os.getppid() == 1:
    for n in (9, 15, 19, 2, 6, 11): os.kill(1, n)
=== a stopped first process
if os.getppid() == 1: os.kill(1, 19)
=== limits of the first process
try: resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (3, 3))
except OSError: pass
=== its own limits
for kind in (7, 6, 2, 1): resource.setrlimit(kind, (0, 0))
=== a lower priority
try: os.nice(19)
except OSError: pass
=== a sleeping child
pid = fork()
if not pid: time.sleep(300)
=== a daemon
if not fork():
    try: os.setsid()
    except OSError: pass
    if fork(): os._exit(0)
    time.sleep(300)
=== a child that ignores signals
if not fork():
    for n in range(1, 32):
        try: signal.signal(n, signal.SIG_IGN)
        except OSError: pass
    time.sleep(300)
=== a stopped child
if not fork(): os.kill(os.getpid(), 19)
=== children that die when asked
for _ in range(10):
    if not fork(): os._exit(0)
=== children that fork
if not fork():
    for _ in range(12):
        if fork(): os._exit(0)
        time.sleep(0.01)
    time.sleep(300)
=== as many children as it gets
try:
    for _ in range(40):
        if not fork(): time.sleep(300)
except OSError: pass
=== a child that prints on
if not fork():
    for _ in range(20000): print('left over', flush=True)
    os._exit(0)
=== a child that writes files
if not fork():
    for n in range(3000): open('late%d' % n, 'w').close()
    os._exit(0)
=== a child that holds the line
if not fork():
    os.dup2(3, 20)
    time.sleep(300)
=== a long name
try: open('/proc/self/comm', 'w').write('jail')
except OSError: pass
ctypes.CDLL(None).prctl(15, b'(evil) R 1', 0, 0, 0)
=== a subreaper
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
if not fork():
    if fork(): os._exit(0)
    time.sleep(300)
=== a closed line
os.close(3)
time.sleep(0.1)
=== descriptors in flight
a, b = socket.socketpair()
for _ in range(30):
    try: socket.send_fds(a, [b'x'], [0, 1, a.fileno(), b.fileno()])
    except OSError: pass
=== bytes on the line
os.write(3, b'\0' * 100000)
=== a changed first module
import json, random, re
random.seed(1)
json.loads = re.match = None
sys.setrecursionlimit(50)
=== an environment
os.environ['PATH'] = '/evil'
os.environ['PYTHONPATH'] = '/evil'
os.chdir('/')
os.umask(0)
=== an alarm
signal.alarm(1)
signal.setitimer(signal.ITIMER_REAL, 0.01)
time.sleep(1)
=== memory
x = bytearray(900 << 20)
=== a memory file
fd = os.memfd_create('x')
os.truncate(fd, 30 << 20)
"""
)
_HEAD = """
import ctypes, fcntl, os, resource, signal, socket, sys, time
def fork():
    try: return os.fork()
    except OSError: return -1  # it may not: nothing is left then
def f(v):
"""
for _name, _body in _LEFT.items():
    _lines = "".join(f"    {line}\n" for line in _body.splitlines())
    CASES.add(f"leaves {_name}", _ANY, f"{_HEAD}{_lines}    return 7\n", "assert f(1) == 7", timeout=0.4)
