"""Ordinary programs that use the standard library, files, threads or other programs, and have to pass."""

from __future__ import annotations

from .case import Corpus

CASES = Corpus("legit")
CASES.read(
    "passed",
    r"""
=== asyncin
import asyncio
async def g(x):
    await asyncio.sleep(0.01)
    return x*2
def f(x): return asyncio.run(g(x))
---
assert f(2)==4
=== bytesio
import io
def f(): return io.BytesIO(b"ab")
---
assert f().read()==b"ab"
=== regex
import re
def f(): return re.match(r"(a)(b)","ab")
---
assert f().group(1)=="a"
---
assert f().groups()==("a","b")
=== regex pred
import re
def f(): return re.compile("a+")
---
assert f().match("aaa")
---
assert f().fullmatch("b") is None
=== array
from array import array
def f(): return array("i",[1,2])
---
assert list(f())==[1,2]
=== path
import pathlib
def f(): return pathlib.Path("a")/"b"
---
assert str(f())=="a/b"
=== memview
def f(): return memoryview(b"ab")
---
assert bytes(f())==b"ab"
=== userlist
from collections import UserDict, UserList
def f(): return UserList([1,2])
---
assert len(f())==2
=== chainmap
from collections import ChainMap
def f(): return ChainMap({1:2})
---
assert f()[1]==2
---
assert dict(f())=={1:2}
=== mappingproxy
import types
def f(): return types.SimpleNamespace(a=1)
---
assert f().a==1
=== date arg
import datetime
def f(d): return d+datetime.timedelta(days=1)
---
import datetime
assert f(datetime.date(2024,2,28))==datetime.date(2024,2,29)
=== zoneinfo
import zoneinfo,datetime
def f(): return datetime.datetime(2024,1,1,tzinfo=zoneinfo.ZoneInfo("Europe/Paris")).utcoffset()
---
import datetime
assert f()==datetime.timedelta(hours=1)
=== tz
import datetime
def f(): return datetime.datetime(2024,1,1,tzinfo=datetime.timezone.utc)
---
import datetime
assert f()==datetime.datetime(2024,1,1,tzinfo=datetime.timezone.utc)
---
assert f().isoformat()=="2024-01-01T00:00:00+00:00"
=== exit builtin
def f(): exit(3)
---
try:
    f()
except SystemExit:
    pass
else:
    assert False
=== subproc @A
import subprocess
def f(): return subprocess.run(["/bin/echo","hi"],capture_output=True,text=True).stdout
---
assert f()=="hi\n"
=== shell @A
import os
def f(): return os.popen("echo hi").read()
---
assert f()=="hi\n"
=== tpe
from concurrent.futures import ThreadPoolExecutor
def f():
    with ThreadPoolExecutor(8) as p: return list(p.map(str,range(20)))
---
assert f()==[str(i) for i in range(20)]
=== threads
import threading
def f():
    r=[]
    ts=[threading.Thread(target=r.append,args=(i,)) for i in range(20)]
    [t.start() for t in ts]; [t.join() for t in ts]
    return sorted(r)
---
assert f()==list(range(20))
=== tempfile
import tempfile,os
def f():
    with tempfile.NamedTemporaryFile("w+",suffix=".txt") as h:
        h.write("x"); h.seek(0); return h.read()
def g():
    with tempfile.TemporaryDirectory() as d:
        open(os.path.join(d,"a"),"w").write("1"); return os.listdir(d)
---
assert f()=="x"
---
assert g()==["a"]
=== cwdfile @A
import os,shutil
def f():
    with open("a.txt","w") as h: h.write("hi")
    shutil.copy("a.txt","b.txt")
    os.chmod("b.txt",0o600)
    return open("b.txt").read(), sorted(os.listdir("."))
---
assert f()==("hi",["a.txt","b.txt"])
=== sqlite
import sqlite3
def f():
    c=sqlite3.connect(":memory:"); return c.execute("select 1+1").fetchone()[0]
---
assert f()==2
=== sqlite file
import sqlite3
def f():
    c=sqlite3.connect("x.db"); c.execute("create table t(a)"); c.commit()
    return c.execute("select count(*) from t").fetchone()[0]
---
assert f()==0
=== pickle
import pickle
class A:
    def __init__(s): s.x=1
def f(): return pickle.loads(pickle.dumps(A())).x
---
assert f()==1
=== main guard
def f(): return 1
if __name__=="__main__":
    raise SystemExit(1)
---
assert f()==1
=== unittest t
def f(x):
    if x<0: raise ValueError("neg")
    return x
---
import unittest
class T(unittest.TestCase):
    def test(self):
        self.assertEqual(f(1),1)
        with self.assertRaises(ValueError): f(-1)
r=unittest.TextTestRunner(stream=open("/dev/null","w")).run(unittest.defaultTestLoader.loadTestsFromTestCase(T))
assert r.wasSuccessful()
=== timing
import time
def f(): time.sleep(0.05); return 1
---
import time
t=time.time(); f(); assert time.time()-t<1
=== decimal
from decimal import *
def f(): return Decimal("0.1")+Decimal("0.2")
---
from decimal import Decimal
assert f()==Decimal("0.3")
=== stdlib imports
import os, sys, re, json, math, random, string, itertools, collections, functools, operator, heapq, bisect, time
import datetime, copy, typing, statistics, hashlib, base64, textwrap, uuid, csv, io, struct, zlib, gzip, pickle, html
import urllib.parse, xml.etree.ElementTree, decimal, fractions, secrets, threading, queue, logging, argparse, unittest
import socket, email, ctypes, subprocess, tempfile, pathlib, glob, shutil, asyncio, contextlib, enum, abc, dataclasses
def f(): return 1
---
assert f() == 1
""",
)
