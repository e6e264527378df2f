"""Programs that read or write where they must not. Each returns 'denied' if it was; what it read, it prints."""

from __future__ import annotations

from .case import Corpus, sections

CASES = Corpus("escape")

# got(...) ends an attempt that has worked; every OSError, and whatever is not there at all, is a denial.
HEAD = """
import ctypes, errno, os, socket, struct, subprocess, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    value = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments])
    if value < 0:
        raise OSError(ctypes.get_errno(), "call %d" % number)
    return value
def f():
    try:
        value = act()
    except (OSError, ValueError, AttributeError, ImportError, subprocess.SubprocessError):
        return "denied"
    print("got", value)
    return "got it"
"""


def attempt(corpus: Corpus, name: str, body: str, allowed: str = "passed", **fields: object) -> None:
    """Adds a program whose `act` has `body`, and that has to be denied it."""
    lines = "\n".join(f"    {line}" for line in body.strip("\n").splitlines())
    corpus.add(name, allowed, f"{HEAD}def act():\n{lines}\n", "assert f() == 'denied'", **fields)


_READ = {
    "by its path": "@PLAIN@",
    "of the home folder": "@HOME@",
    "of the project": "@PROJECT@",
    "with private rights": "@PRIVATE@",
    "through dots": "/usr/../@PLAIN@",
    "through the parent of the folder": "../../../../../../../../@PLAIN@",
    "through /proc/1/root": "/proc/1/root/@PLAIN@",
    "through /proc/self/root": "/proc/self/root/@PLAIN@",
    "through the evaluator's root": "/proc/@PID@/root/@PLAIN@",
    "through the evaluator's folder": "/proc/@PID@/cwd/../../../../@PLAIN@",
    "of this test": "@SOURCE@/case.py",
    "of shadow": "/etc/shadow",
    "of a host's key": "/etc/ssh/ssh_host_ed25519_key",
    "of the kernel's memory": "/dev/mem",
    "of the kernel's log": "/dev/kmsg",
    "of the first disk": "/dev/vda",
    "of the terminal": "/dev/tty",
    "of the evaluator's environment": "/proc/@PID@/environ",
    "of the evaluator's memory": "/proc/@PID@/mem",
    "of the evaluator's maps": "/proc/@PID@/maps",
    "of the parent's memory": "/proc/%d/mem' % os.getppid() + '",
    "of the first process": "/proc/1/environ",
    "of the mounts": "/proc/1/mountinfo",
    "of the kernel's symbols": "/proc/kcore",
    "of sysfs": "/sys/kernel/uevent_seqnum",
    "of root's history": "/root/.bash_history",
    "of the machine": "/etc/machine-id",
    "of its network": "/proc/net/tcp",
}
for _name, _path in _READ.items():
    attempt(CASES, f"reads a file {_name}", f"return open('{_path}', 'rb').read(200)")

_WAYS = sections(
    r"""
=== by a symbolic link
os.symlink('@PLAIN@', 'link')
return open('link').read()
=== by a hard link
os.link('@PLAIN@', 'hard')
return open('hard').read()
=== by a path descriptor
fd = os.open('@PLAIN@', os.O_PATH)
return open('/proc/self/fd/%d' % fd).read()
=== by a path descriptor, executed
fd = os.open('@PLAIN@', os.O_PATH)
os.execve(fd, ['x'], {})
=== by a folder's descriptor
fd = os.open('@FOLDER@', os.O_DIRECTORY)
return os.open('plain', 0, dir_fd=fd)
=== by openat2
how = struct.pack('QQQ', 0, 0, 0)
return call(437, -100, b'@PLAIN@', how, 24)
=== by listing
return os.listdir('@FOLDER@')
=== by sendfile
return os.sendfile(1, os.open('@PLAIN@', 0), 0, 100)
=== by a child
import subprocess
return subprocess.check_output(['/bin/cat', '@PLAIN@'], stderr=-3)
=== by a shell
if os.system('cat @PLAIN@ 2>/dev/null'): raise OSError
return 1
=== by mmap
import mmap
return mmap.mmap(os.open('@PLAIN@', 0), 0, prot=1)[:]
=== by chdir
os.chdir('@FOLDER@')
return open('plain').read()
=== by chroot
os.chroot('@FOLDER@')
return open('/plain').read()
=== by a file handle
buffer = ctypes.create_string_buffer(200)
return call(303, -100, b'@PLAIN@', buffer, buffer, 0)
=== by a library
return ctypes.CDLL('@PLAIN@')
=== by import
sys.path.insert(0, '@SOURCE@')
import case
return case
=== by glob
import glob
found = glob.glob('@FOLDER@/*')
if not found: raise OSError
return found
=== by sqlite
import sqlite3
try:
    return sqlite3.connect('file:@PLAIN@?mode=ro', uri=True).execute('select 1 from sqlite_master').fetchall()
except sqlite3.DatabaseError as e:
    if 'not a database' in str(e): return e
    raise OSError
"""
)
for _name, _body in _WAYS.items():
    attempt(CASES, f"reads a file {_name}", _body)

_INHERITED = """
for fd in range(64):
    for target in ('@PLAIN@', '@HOME@'):
        try: return open('/proc/self/fd/%d/../../..%s' % (fd, target)).read()
        except OSError: pass
    try: text = os.pread(fd, 100000, 0)
    except OSError: continue
    if b'CANARY' in text: return text
raise OSError
"""
attempt(CASES, "reads inherited descriptors", _INHERITED)
attempt(CASES, "has descriptors beyond the four", """
import stat
left = []
for fd in range(4, 256):
    try: left.append((fd, os.fstat(fd)))
    except OSError: pass
if not left: raise OSError
return left
""")  # fmt: skip

_WRITE = sections(
    r"""
=== a new file
return open('@WRITABLE@/new', 'w').write('x')
=== into a file
return open('@PLAIN@', 'a').write('x')
=== over a file
return open('@HOME@', 'w').write('x')
=== by truncate
return os.truncate('@PLAIN@', 0) or 1
=== by unlink
return os.unlink('@WRITABLE@/kept') or 1
=== by rename
return os.rename('@WRITABLE@/kept', '@WRITABLE@/lost') or 1
=== by renaming in
open('own', 'w').close()
return os.rename('own', '@WRITABLE@/own') or 1
=== by a link
open('own', 'w').close()
return os.link('own', '@WRITABLE@/own') or 1
=== by a symbolic link
return os.symlink('/etc', '@WRITABLE@/link') or 1
=== by a symbolic link of its own
os.symlink('@WRITABLE@', 'out')
return open('out/new', 'w').write('x')
=== a folder
return os.mkdir('@WRITABLE@/dir') or 1
=== a fifo
return os.mkfifo('@WRITABLE@/fifo') or 1
=== a socket
return socket.socket(socket.AF_UNIX).bind('@WRITABLE@/socket') or 1
=== a device
return os.mknod('disk', 0o60666, os.makedev(254, 0)) or 1
=== by chmod
return os.chmod('@PLAIN@', 0o777) or 1
=== by chown
return os.chown('@PLAIN@', 0, 0) or 1
=== its times
return os.utime('@PLAIN@', (1, 1)) or 1
=== an attribute
return os.setxattr('@PLAIN@', 'user.x', b'x') or 1
=== without a name
return os.open('@WRITABLE@', os.O_TMPFILE | os.O_RDWR)
=== in /tmp by its true path
return open('/tmp/../@WRITABLE@/x', 'w').write('x')
=== into the interpreter
return open(os.__file__, 'a').write('')
=== into /usr
return open('/usr/new', 'w').write('x')
=== into /etc
return open('/etc/new', 'w').write('x')
=== into /dev
return open('/dev/new', 'w').write('x')
=== into the root folder
return open('/new', 'w').write('x')
=== into the parent's memory
return open('/proc/%d/mem' % os.getppid(), 'r+b')
=== to the kernel
return open('/proc/sys/kernel/core_pattern', 'w')
=== to the evaluator's score
return open('/proc/@PID@/oom_score_adj', 'w').write('1000')
=== to drop caches
return open('/proc/sys/vm/drop_caches', 'w')
=== to a control group
return os.mkdir('/sys/fs/cgroup/new') or 1
=== a queue
return call(240, b'queue', os.O_CREAT | os.O_RDWR, 0o600, 0)
"""
)
for _name, _body in _WRITE.items():
    attempt(CASES, f"writes {_name}", _body)
attempt(CASES, "makes the interpreter writable", "return call(165, 0, b'/usr', 0, 32 | 4096, 0) or 1")
attempt(CASES, "removes its own folder", """
import shutil
folder = os.getcwd()
os.chdir('/')
os.rmdir(folder)
os.symlink('@WRITABLE@', folder)
return 1
""")  # fmt: skip
for _name in ("hrm_codegen", "pytest", "jax", "pip", "setuptools"):
    attempt(CASES, f"imports {_name}", f"import {_name}\nreturn {_name}.__file__")
attempt(CASES, "prints the environment", """
text = repr(dict(os.environ))
if '@SECRET_TAIL@' in text.replace('@SECRET' + '_TAIL@', '') or 'HRM_' in text: return text
raise OSError
""")  # fmt: skip
attempt(CASES, "finds the secret in its own memory", """
import gc
needle = '-'.join(['CANARY', '@SECRET_TAIL@'[:8]])
for value in (*os.environ.items(), sys.argv, sys.orig_argv, sys.path, os.getcwd()):
    if needle in repr(value): return value
raise OSError
""")  # fmt: skip
