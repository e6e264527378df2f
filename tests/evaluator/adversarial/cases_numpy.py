"""Programs and tests with numpy, where the evaluator has it: ordinary ones, and objects that pose as arrays."""

from __future__ import annotations

from .case import Corpus

CASES = Corpus("numpy")
CASES.read(
    "passed",
    r"""
=== a number
import numpy as np
def f(v): return np.array([1, 2]).sum()
---
assert f(1) == 3
=== an array
import numpy as np
def f(v): return np.array([[1, 2], [3, 4]])
---
import numpy as np
assert (f(1) == np.array([[1, 2], [3, 4]])).all()
assert np.array_equal(f(1), [[1, 2], [3, 4]])
---
assert f(1).tolist() == [[1, 2], [3, 4]] and f(1).shape == (2, 2) and f(1).sum() == 10
=== a list near another
def f(v): return [0.1 + 0.2, 1]
---
import numpy as np
assert np.allclose(f(1), [0.3, 1])
=== a name that only the program imported
import numpy as np
def f(v): return [1.0]
---
assert np.allclose(f(1), [1])
""",
)
_POSING = """
class A:
    __array_priority__ = 1e9
    __array_ufunc__ = __array_function__ = lambda *a, **k: True
    __array__ = lambda self, *a, **k: None
    __eq__ = __ne__ = __sub__ = __rsub__ = __abs__ = lambda self, *a: self
    __lt__ = __le__ = __gt__ = __ge__ = all = any = __bool__ = lambda self, *a: True
    __float__ = lambda self: 0.0
    __len__ = lambda self: 2
    __getitem__ = lambda self, i: 0.0 if i < 2 else [][0]
    shape, ndim, size, dtype = (2,), 1, 2, float
def f(v): return A()
"""
for _name, _test in (
    ("equal", "assert (f(1) == np.array([1, 2])).all()"),
    ("equal, other side", "assert (np.array([1, 2]) == f(1)).all()"),
    ("allclose", "assert np.allclose(f(1), [1, 2])"),
    ("isclose", "assert np.isclose(f(1), 1.0).all()"),
    ("array_equal", "assert np.array_equal(f(1), [1, 2])"),
    ("near", "assert np.all(np.abs(np.array([1.0, 2.0]) - f(1)) < 1e-6)"),
    ("assert_allclose", "np.testing.assert_allclose(f(1), [1, 2])"),
    ("assert_array_equal", "np.testing.assert_array_equal(f(1), [1, 2])"),
    ("of its own module", "assert np.array(f(1)).tolist() == [1, 2]"),
):
    CASES.add(f"poses as an array: {_name}", "wrong_answer exception", _POSING, f"import numpy as np\n{_test}")
    CASES.add(
        f"patches numpy: {_name}",
        "wrong_answer exception",
        "import numpy as np\nfor n in ('all', 'allclose', 'isclose', 'array_equal', 'abs', 'array'):\n"
        "    setattr(np, n, lambda *a, **k: True)\ndef f(v): return [0.0, 0.0]\n",
        f"import numpy as np\n{_test}",
    )
    CASES.add(
        f"defines np: {_name}",
        "wrong_answer exception",
        "class np:\n    __getattr__ = lambda *a: lambda *a, **k: True\nnp = np()\ndef f(v): return [0.0, 0.0]\n",
        _test,
    )
