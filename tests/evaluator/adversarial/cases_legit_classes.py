"""Ordinary programs about classes with operators, bases and methods, that have to pass."""

from __future__ import annotations

from .case import Corpus

CASES = Corpus("legit")
CASES.read(
    "passed",
    r"""
=== enum is
from enum import Enum
class C(Enum):
    R=1
    G=2
def f(): return C.R
---
assert f() is C.R
---
assert C(1) == C.R
---
assert C["G"].value==2
---
assert len(C)==2
---
assert [c.name for c in C]==["R","G"]
---
assert f() in C
---
assert f() in (C.R,)
=== intenum
from enum import IntEnum
class C(IntEnum):
    R=1
    G=2
def f(): return C.R
---
assert f()==1
---
assert f().name=="R"
---
assert C.R < C.G
=== strenum
from enum import StrEnum
class C(StrEnum):
    R="r"
def f(): return C.R
---
assert f()=="r"
---
assert C.R.value=="r"
=== flag
from enum import Flag
class C(Flag):
    R=1
    W=2
def f(): return C.R|C.W
---
assert f()==C.R|C.W
---
assert f().value==3
=== isinst
class A: pass
class B(A): pass
def f(): return B()
---
assert isinstance(f(), A)
---
assert isinstance(f(), (int, A))
=== stack list
class Stack(list):
    def push(self,x): self.append(x)
    def peek(self): return self[-1]
---
s=Stack()
s.push(1)
s.push(2)
assert s.peek()==2
assert len(s)==2
assert s==[1,2]
=== lru
from collections import OrderedDict
class LRU(OrderedDict):
    def __init__(self,n): super().__init__(); self.n=n
    def put(self,k,v):
        self[k]=v
        if len(self)>self.n: self.popitem(last=False)
    def fetch(self,k): return self.get(k,-1)
---
c=LRU(2)
c.put(1,1)
c.put(2,2)
c.put(3,3)
assert c.fetch(1)==-1
assert c.fetch(3)==3
=== nt method
from typing import NamedTuple
class P(NamedTuple):
    x:int
    y:int
    def s(self): return self.x+self.y
---
p=P(1,2)
assert p.x==1
assert p.s()==3
---
assert P(1,2)==(1,2)
---
assert isinstance(P(1,2),P)
=== nt replace
from collections import namedtuple
P=namedtuple("P","x y")
def f(): return P(1,2)
---
assert f()._replace(x=5)==(5,2)
---
assert f()._asdict()=={"x":1,"y":2}
---
x,y=f()
assert (x,y)==(1,2)
---
assert f()==P(1,2)
=== vec mul
class V:
    def __init__(self,x): self.x=x
    def __mul__(self,k): return V(self.x*k)
    __rmul__=__mul__
    def __eq__(self,o): return isinstance(o,V) and self.x==o.x
---
assert V(2)*3==V(6)
---
assert 3*V(2)==V(6)
=== vec add
class V:
    def __init__(self,x): self.x=x
    def __add__(self,o): return V(self.x+o.x)
    def __eq__(self,o): return isinstance(o,V) and self.x==o.x
    def __iadd__(self,o):
        self.x+=o.x
        return self
    def __neg__(self): return V(-self.x)
    def __repr__(self): return f"V({self.x})"
    def __len__(self): return 3
    def __getitem__(self,i): return self.x
    def __call__(self,y): return self.x+y
    def __contains__(self,y): return y==self.x
    def __hash__(self): return hash(self.x)
    def __lt__(self,o): return self.x<o.x
---
assert V(2)+V(3)==V(5)
---
a=V(1)
a+=V(2)
assert a.x==3
---
assert -V(1)==V(-1)
---
assert repr(V(1))=="V(1)"
---
assert len(V(1))==3 and V(7)[0]==7
---
assert V(1)(2)==3
---
assert {V(1):2}[V(1)]==2
---
assert len({V(1),V(1),V(2)})==2
---
assert sorted([V(3),V(1)])==[V(1),V(3)]
---
assert V(1)<V(2)
---
assert max(V(1),V(5)).x==5
---
assert V(1)!=V(2)
---
assert str(V(3))=="V(3)"
---
assert f"{V(3)}"=="V(3)"
---
assert f"{V(3)!r}"=="V(3)"
=== dataclass
from dataclasses import dataclass, field
@dataclass(order=True)
class P:
    x:int
    y:int=0
    t:list=field(default_factory=list)
def f(): return P(1,2)
---
assert f()==P(1,2)
---
assert f().x==1
---
assert repr(f())=="P(x=1, y=2, t=[])"
---
assert P(1)<P(2)
=== class mut
class N:
    def __init__(s,v,l=None,r=None): s.v=v; s.l=l; s.r=r
def insert(root,v):
    if root is None: return N(v)
    if v<root.v: root.l=insert(root.l,v)
    else: root.r=insert(root.r,v)
    return root
def inorder(r): return [] if r is None else inorder(r.l)+[r.v]+inorder(r.r)
---
r=None
for v in [3,1,2]: r=insert(r,v)
assert inorder(r)==[1,2,3]
assert r.l.r.v==2
---
r=N(1)
r.l=N(0)
assert inorder(r)==[0,1]
assert r.r is None
assert r.l.l is None
=== linked is
class N:
    def __init__(s,v): s.v=v; s.next=None
def middle(h):
    s=f=h
    while f and f.next: s=s.next; f=f.next.next
    return s
---
a=N(1);b=N(2);c=N(3)
a.next=b;b.next=c
assert middle(a) is b
=== frozen
from dataclasses import dataclass, FrozenInstanceError
@dataclass(frozen=True)
class P:
    x:int
---
try:
    P(1).x=2
    assert False
except AttributeError: pass
---
assert {P(1):1}[P(1)]==1
=== abc
from abc import ABC,abstractmethod
class S(ABC):
    @abstractmethod
    def area(self): ...
class Q(S):
    def __init__(s,a): s.a=a
    def area(s): return s.a**2
---
try:
    S()
    assert False
except TypeError: pass
---
assert Q(3).area()==9
=== property
class A:
    def __init__(s): s._x=1
    @property
    def x(s): return s._x
    @x.setter
    def x(s,v):
        if v<0: raise ValueError("neg")
        s._x=v
    @staticmethod
    def st(): return 1
    @classmethod
    def cl(cls): return cls.__name__
---
a=A()
a.x=5
assert a.x==5
---
assert A.st()==1 and A.cl()=="A"
---
a=A()
try:
    a.x=-1
    assert False
except ValueError: pass
""",
)
