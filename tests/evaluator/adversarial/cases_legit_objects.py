"""Ordinary programs about plain objects, exceptions and state, that have to pass."""

from __future__ import annotations

from .case import Corpus

CASES = Corpus("legit")
CASES.read(
    "passed",
    r"""
=== global counter
c=0
def inc():
    global c
    c+=1
---
inc()
assert c==1
=== own exc
class MyErr(Exception): pass
def f(x): raise MyErr("no")
---
try:
    f(1)
    assert False
except MyErr as e:
    assert str(e)=="no"
=== own exc2
class MyErr(ValueError): pass
def f(x): raise MyErr("no")
---
try:
    f(1)
    assert False
except ValueError as e:
    assert str(e)=="no"
=== keyerr text
def f(d,k): return d[k]
---
try:
    f({}, "a")
    assert False
except KeyError as e:
    assert e.args==("a",) and str(e)=="'a'"
=== exc args
def f(): raise ValueError("bad", 5)
---
try:
    f()
except ValueError as e:
    assert e.args==("bad",5)
else:
    assert False
=== exc attr
class E(Exception):
    def __init__(self,c): self.code=c
def f(): raise E(5)
---
try:
    f()
except Exception as e:
    assert e.code==5
else:
    assert False
=== singleton
class S:
    _i=None
    def __new__(cls):
        if cls._i is None: cls._i=super().__new__(cls)
        return cls._i
---
assert S() is S()
=== hasattr
class A:
    x=1
def f(): return A()
---
assert hasattr(f(),"x") and not hasattr(f(),"y")
=== len dunder
class A:
    def __len__(s): return 3
---
assert A().__len__()==3
=== thread lock
import threading
class C:
    def __init__(s): s.n=0; s.l=threading.Lock()
    def inc(s):
        with s.l: s.n+=1
---
import threading
c=C()
ts=[threading.Thread(target=c.inc) for _ in range(4)]
[t.start() for t in ts]; [t.join() for t in ts]
assert c.n==4
""",
)
