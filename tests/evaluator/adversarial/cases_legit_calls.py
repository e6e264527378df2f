"""Ordinary programs about calls, callbacks and iterators, that have to pass."""

from __future__ import annotations

from .case import Corpus

CASES = Corpus("legit")
CASES.read(
    "passed",
    r"""
=== iter arg
def f(it): return list(it)
---
assert f(iter([1,2]))==[1,2]
---
assert f(x*2 for x in [1,2])==[2,4]
---
assert f(map(str,[1]))==["1"]
---
assert f(zip([1],[2]))==[(1,2)]
---
assert f(reversed([1,2]))==[2,1]
---
assert f(enumerate("a"))==[(0,"a")]
---
assert f({}.items())==[]
---
assert f(filter(None,[0,1]))==[1]
=== file arg
def f(fh): return fh.read()
---
import io
assert f(io.StringIO("abc"))=="abc"
=== test class
def f(n): return n.val
---
class Node:
    def __init__(s,v): s.val=v
assert f(Node(3))==3
=== key attr
class P:
    def __init__(s,a): s.age=a
def srt(ps,key): return sorted(ps,key=key)
---
ps=[P(3),P(1)]
assert [p.age for p in srt(ps,key=lambda p:p.age)]==[1,3]
=== nested cb
def apply(f,x): return f(x)
def g(x): return x+1
---
assert apply(lambda x: g(x), 1)==2
---
assert apply(g,1)==2
---
assert apply(lambda x: apply(lambda y:y+1,x)+1,1)==3
=== coroutine
async def f(x): return x*2
---
import asyncio
assert asyncio.run(f(2))==4
=== gen send
def f():
    t=0
    while True:
        x=yield t
        t+=x or 0
---
g=f()
assert next(g)==0
assert g.send(5)==5
assert g.send(2)==7
---
g=f()
next(g)
next(g)
assert g.send(3)==3
g.close()
=== gen side
log=[]
def f():
    for i in range(5):
        log.append(i)
        yield i
def n(): return len(log)
---
g=f()
next(g)
next(g)
next(g)
assert n()==3
=== cm
from contextlib import contextmanager
log=[]
@contextmanager
def f(x):
    log.append("in")
    yield x
    log.append("out")
def g(): return log
---
with f(3) as v:
    assert v==3
assert g()==["in","out"]
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
assert f(80)==23416728348467685
---
assert f.__name__=="f"
=== lru cache
from functools import lru_cache
@lru_cache(None)
def f(n): return n if n<2 else f(n-1)+f(n-2)
---
assert f(30)==832040
assert f.cache_info().hits>0
f.cache_clear()
=== deeprec
def f(n): return 0 if n==0 else 1+f(n-1)
---
assert f(900)==900
=== deepret
def f(n):
    r=[]
    for _ in range(n): r=[r]
    return r
---
assert f(150)==f(150)
---
x=f(500)
assert x==f(500)
---
d=f(300)
n=0
while d:
    d=d[0]; n+=1
assert n==300
=== partial
from functools import partial
def f(a): return partial(pow,a)
---
assert f(2)(10)==1024
=== retlambda
def f(n): return lambda x: x+n
---
assert f(2)(3)==5
---
assert [g(1) for g in map(f,[1,2])]==[2,3]
=== modargs
def f(m,x): return m.sqrt(x)
---
import math
assert f(math,4)==2
=== cbargs
def f(fn,*a,**k): return fn(*a,**k)
---
assert f(max,1,2)==2
---
assert f(sorted,[2,1],reverse=True)==[1,2][::-1]
---
import operator
assert f(operator.add,1,2)==3
---
assert f(str.upper,"a")=="A"
---
assert f(int,"5")==5
---
assert f(print)is None
---
import math
assert f(math.sqrt,4)==2
---
assert f("{}".format,1)=="1"
---
assert f([1].append,2) is None
---
import functools
assert f(functools.partial(pow,2),3)==8
---
import re
assert f(re.sub,"a","b","aa")=="bb"
=== kwonly
def f(*a,b=1,**k): return (a,b,k)
---
assert f(1,b=2,c=3)==((1,),2,{"c":3})
---
assert f(*[1,2],**{"b":3})==((1,2),3,{})
=== argident
def f(l): l.append(1); return l
---
l=[]
assert f(l) is l and l==[1]
=== aliasnest
def f(m): m[0][0]=9
---
m=[[0]*2 for _ in range(2)]
f(m)
assert m==[[9,0],[0,0]]
---
r=[0]
m=[r,r]
f(m)
assert m==[[9],[9]] and r==[9]
=== globalvar
MAXV=100
TABLE={"a":1}
def f(): return MAXV
---
assert f()==MAXV
---
assert TABLE["a"]==1
=== dictview
def f(): return {1:2}.keys()
---
assert f()=={1}
---
assert list(f())==[1]
=== isclose
def f(): return 0.1+0.2
---
import math
assert math.isclose(f(),0.3)
---
assert abs(f()-0.3)<1e-9
---
assert round(f(),2)==0.3
=== nonlocal cb
def each(xs,fn):
    for x in xs: fn(x)
---
out=[]
each([1,2],out.append)
assert out==[1,2]
---
t=0
def add(x):
    global t
    t+=x
each([1,2],add)
assert t==3
=== cb raise
def f(fn):
    try: fn()
    except ValueError as e: return str(e)
---
def r(): raise ValueError("x")
assert f(r)=="x"
---
def r(): raise ZeroDivisionError("x")
try:
    f(r)
    assert False
except ZeroDivisionError: pass
=== retry own
def f(fn):
    for _ in range(3):
        try: return fn()
        except Exception: pass
---
class E(Exception): pass
n=[0]
def g():
    n[0]+=1
    if n[0]<3: raise E
    return n[0]
assert f(g)==3
""",
)
