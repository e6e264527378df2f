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
=== a helper that catches assertions
def f(x): return 8
---
def near(a, b):
    try:
        assert abs(a - b) < 1e-6
        return True
    except AssertionError:
        return False
assert near(f(1), 7) or near(f(1), 8)
=== an assertion of the program
def f(x):
    assert x > 0, "neg"
    return x
---
try:
    f(-1)
    assert False
except AssertionError as e:
    assert str(e) == "neg"
=== a class of the tests
def f(root):
    root.left, root.right = root.right, root.left
    return root
---
class TreeNode:
    def __init__(self, val=0, left=None, right=None):
        self.val, self.left, self.right = val, left, right
n = TreeNode(1, TreeNode(2))
r = f(n)
assert r is n and r.right.val == 2 and r.left is None
=== a list of the program's nodes
class ListNode:
    def __init__(s, v, n=None): s.val = v; s.next = n
def rev(h):
    p = None
    while h: h.next, p, h = p, h, h.next
    return p
---
r = rev(ListNode(1, ListNode(2)))
assert r.val == 2 and r.next.val == 1 and r.next.next is None
=== a counter that changes
count = 0
def inc():
    global count
    count += 1
---
inc()
inc()
assert count == 2
=== thousands of calls
def f(n): return n
---
for i in range(3000): assert f(i) == i
=== a long answer
def f(n): return list(range(n))
---
assert f(100000) == list(range(100000))
""",
)
