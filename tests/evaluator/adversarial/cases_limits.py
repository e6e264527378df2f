"""Tests that a judge in another process cannot do as one beside the program would (docs/security.md)."""

from __future__ import annotations

from .case import Corpus

CASES = Corpus("limit")
CASES.read(
    "passed wrong_answer exception",
    r"""
=== global list
log=[]
def f(x): log.append(x)
---
f(1)
assert log==[1]
=== intenum
from enum import IntEnum
class C(IntEnum):
    R=1
    G=2
def f(): return C.R
---
assert f() is C.R
=== type is
class A: pass
def f(): return A()
---
assert type(f()) is A
=== type name
class A: pass
def f(): return A()
---
assert type(f()).__name__=="A"
=== class name
class A: pass
def f(): return A()
---
assert f().__class__.__name__=="A"
=== issub
class A: pass
class B(A): pass
---
assert issubclass(B, A)
=== nt replace
from collections import namedtuple
P=namedtuple("P","x y")
def f(): return P(1,2)
---
assert repr(f())=="P(x=1, y=2)"
=== vec mul
class V:
    def __init__(self,x): self.x=x
    def __mul__(self,k): return V(self.x*k)
    __rmul__=__mul__
    def __eq__(self,o): return isinstance(o,V) and self.x==o.x
---
assert (V(2)*3).x==6
=== contains
class B:
    def __contains__(self,y): return y==5
---
assert 5 in B()
---
assert 4 not in B()
=== gen type
def f():
    yield 1
---
import types
assert isinstance(f(), types.GeneratorType)
=== gen isgen
def f():
    yield 1
---
import inspect
assert inspect.isgeneratorfunction(f)
=== iterable
def f():
    yield 1
class A: pass
---
from collections.abc import Iterable, Iterator, Callable
assert isinstance(f(), Iterator)
assert callable(f)
assert not callable(A())
assert not isinstance(A(), Iterable)
=== dataclass
from dataclasses import dataclass, field
@dataclass(order=True)
class P:
    x:int
    y:int=0
    t:list=field(default_factory=list)
def f(): return P(1,2)
---
p=P(1)
p.t.append(3)
assert p.t==[3]
---
import dataclasses
assert dataclasses.asdict(P(1))=={"x":1,"y":0,"t":[]}
=== attr mut
class A:
    def __init__(s): s.items=[]
    def get(s): return s.items
---
a=A()
a.items.append(1)
assert a.get()==[1]
---
a=A()
a.get().append(1)
assert a.items==[1]
=== deco
import functools
def memo(fn):
    cache={}
    @functools.wraps(fn)
    def w(*a):
        if a not in cache: cache[a]=fn(*a)
        return cache[a]
    w.cache=cache
    return w
@memo
def f(n): return n if n<2 else f(n-1)+f(n-2)
---
assert (5,) in f.cache
=== array
from array import array
def f(): return array("i",[1,2])
---
from array import array
assert f()==array("i",[1,2])
=== uuid
import uuid
def f(): return uuid.UUID(int=5)
---
import uuid
assert f()==uuid.UUID(int=5)
=== path
import pathlib
def f(): return pathlib.Path("a")/"b"
---
import pathlib
assert f()==pathlib.Path("a/b")
=== userlist
from collections import UserDict, UserList
def f(): return UserList([1,2])
---
assert f()==[1,2]
=== stdout capture
def f(): print("hello")
---
import io,contextlib
b=io.StringIO()
with contextlib.redirect_stdout(b): f()
assert b.getvalue()=="hello\n"
=== stdin mock
def f(): return input()
---
import io,sys
sys.stdin=io.StringIO("abc\n")
assert f()=="abc"
=== random seed
import random
def f(): return random.random()
---
import random
random.seed(1)
a=f()
random.seed(1)
assert f()==a
=== inspect sig
def f(a,b=2): pass
---
import inspect
assert list(inspect.signature(f).parameters)==["a","b"]
=== doc
def f():
    'Doc.'
---
assert f.__doc__=="Doc."
=== getsource
import inspect
def f(): return inspect.getsource(f)
---
assert "def f" in f()
=== annotations
def f(a:int)->str: ...
---
assert f.__annotations__=={"a":int,"return":str}
=== len dunder
class A:
    def __len__(s): return 3
---
assert A().__class__ is A
=== vars
class A:
    def __init__(s): s.x=1
---
assert vars(A())=={"x":1}
---
assert A().__dict__=={"x":1}
=== an exception as argument
def f(error): return str(error)
---
assert f(ValueError("x")) == "x"
=== a class called like a helper
class Counter:
    def __init__(s): s.n = 0
    def hit(s): s.n += 1
class Timer: pass
---
c = Counter()
t = Timer()
c.hit()
assert c.n == 1
=== a class that the tests define and the program makes
def f(v): return Node(v)
---
class Node:
    def __init__(self, v): self.v = v
assert f(3).v == 3
=== callbacks in callbacks
def f(n, g): return g(n)
---
def g(n): return 0 if n == 0 else 1 + f(n - 1, g)
assert g(60) == 60
=== a class pattern
class P:
    def __init__(s): s.x = 7
def f(): return P()
---
match f():
    case P(x=7): ok = True
    case _: ok = False
assert ok
""",
)
