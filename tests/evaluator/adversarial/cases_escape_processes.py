"""Programs that try to get rights or to act on other processes."""

from __future__ import annotations

from .case import Corpus, sections
from .cases_escape_files import attempt

CASES = Corpus("escape")

# Signal 23 (SIGURG) does nothing to whoever gets it: a hole must not cost this machine its processes.
_CALLS = sections(
    r"""
=== signals the evaluator
return os.kill(@PID@, 23) or 1
=== signals everybody
return os.kill(-1, 23) or 1
=== signals the evaluator's group
return os.killpg(@PID@, 23) or 1
=== signals by a process descriptor
import signal
return signal.pidfd_send_signal(os.pidfd_open(@PID@), 23) or 1
=== queues a signal
return call(129, @PID@, 23, ctypes.create_string_buffer(128)) or 1
=== signals a thread
return call(200, @PID@, 23) or 1
=== has the kernel signal
import fcntl, time
a, b = socket.socketpair()
fcntl.fcntl(a, 8, @PID@)
fcntl.fcntl(a, 10, 23)
if fcntl.fcntl(a, 9) != @PID@: raise OSError
return 'set'
=== traces the parent
return call(101, 16, os.getppid(), 0, 0) or 1
=== traces the evaluator
return call(101, 16, @PID@, 0, 0) or 1
=== asks to be traced
return call(101, 0, 0, 0, 0) or 1
=== reads another's memory
b = ctypes.create_string_buffer(64)
return call(310, os.getppid(), b, 1, b, 1, 0)
=== writes another's memory
b = ctypes.create_string_buffer(64)
return call(311, os.getppid(), b, 1, b, 1, 0)
=== takes another's descriptor
return call(438, os.pidfd_open(os.getppid()), 0, 0)
=== compares processes
return call(312, os.getpid(), os.getppid(), 0, 0, 0)
=== changes another's limits
import resource
return resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (1, 1))
=== changes the evaluator's limits
import resource
return resource.prlimit(@PID@, resource.RLIMIT_CORE, (0, 0))
=== changes the evaluator's priority
return os.setpriority(os.PRIO_PROCESS, @PID@, 5) or 1
=== changes the evaluator's scheduler
return os.sched_setscheduler(@PID@, os.SCHED_BATCH, os.sched_param(0)) or 1
=== changes the evaluator's processors
return os.sched_setaffinity(@PID@, {0}) or 1
=== raises its own priority
return os.setpriority(os.PRIO_PROCESS, 0, -5) or 1
=== becomes real-time
return os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)) or 1
=== becomes root
os.setuid(0)
if os.getuid() == 0 and '@TIER@' == 'A': return 1
raise OSError
=== takes groups
return os.setgroups([0, 1, 2]) or 1
=== takes capabilities
h = (ctypes.c_uint32 * 2)(0x20080522, 0)
d = (ctypes.c_uint32 * 6)(*[0xFFFFFFFF] * 6)
if libc.capset(ctypes.byref(h), ctypes.byref(d)): raise OSError
return 1
=== has capabilities
h = (ctypes.c_uint32 * 2)(0x20080522, 0)
d = (ctypes.c_uint32 * 6)()
libc.capget(ctypes.byref(h), ctypes.byref(d))
if any(d): return list(d)
raise OSError
=== may gain rights by a program
if libc.prctl(39, 0, 0, 0, 0) == 0: return 1
raise OSError
=== counts events
return call(298, ctypes.create_string_buffer(128), 0, -1, -1, 0)
=== moves another's pages
return call(279, os.getppid(), 0, 0, 0, 0, 0)
=== dumps core
import resource
if resource.getrlimit(resource.RLIMIT_CORE)[1] == 0: raise OSError
return 1
=== raises its limits
import resource
for kind in (resource.RLIMIT_CPU, resource.RLIMIT_AS, resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE):
    try: resource.setrlimit(kind, (resource.RLIM_INFINITY,) * 2)
    except (OSError, ValueError): continue
    return kind
raise OSError
=== runs su
import subprocess
p = subprocess.run(['/bin/su', '-c', 'id'], stdin=-3, capture_output=True, text=True)
if 'uid=0' in p.stdout: return p.stdout
raise OSError
=== runs mount
import subprocess
p = subprocess.run(['mount', '-t', 'tmpfs', 'none', '/tmp'], capture_output=True)
if not p.returncode: return 1
raise OSError
=== runs unshare
import subprocess
p = subprocess.run(['unshare', '-Ur', 'id'], capture_output=True, text=True)
if 'uid=0' in p.stdout: return p.stdout
raise OSError
=== runs ping
import subprocess
p = subprocess.run(['ping', '-c1', '-W1', '127.0.0.1'], capture_output=True)
if not p.returncode: return 1
raise OSError
=== finds the evaluator by its number
os.stat('/proc/@PID@')
if '@TIER@' == 'B': raise OSError
return 1
=== counts processes
n = [p for p in os.listdir('/proc') if p.isdigit()]
return n
=== asks for the evaluator's group
return os.getpgid(@PID@)
"""
)
_HOST_VISIBLE = ("asks for the evaluator's group",)  # tier B shares the process table: numbers can be asked about
for _name, _body in _CALLS.items():
    attempt(CASES, _name, _body, tiers="A" if _name in _HOST_VISIBLE else "AB")
