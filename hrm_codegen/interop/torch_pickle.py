"""The pickle inside a torch file: written opcode by opcode, read with an allow-list.

Why by hand: `pickle` can only write a global that it can import, and the globals of a torch file live in torch. Why
an allow-list: a pickle is a program, and checkpoints come from strangers. Reading knows a handful of globals, none
of which reaches torch, the file system or another module; each is answered by an object of this file that has no
state to tamper with. Not a container format: the zip around it is `torch_file.py`.
"""

from __future__ import annotations

import dataclasses
import io
import pickle
import pickletools
import struct
from collections.abc import Callable, Mapping
from typing import Any

import ml_dtypes
import numpy as np

from hrm_codegen.errors import CheckpointError

STORAGES: dict[str, np.dtype] = {
    "DoubleStorage": np.dtype(np.float64),
    "FloatStorage": np.dtype(np.float32),
    "HalfStorage": np.dtype(np.float16),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "LongStorage": np.dtype(np.int64),
    "IntStorage": np.dtype(np.int32),
    "ShortStorage": np.dtype(np.int16),
    "CharStorage": np.dtype(np.int8),
    "ByteStorage": np.dtype(np.uint8),
    "BoolStorage": np.dtype(np.bool_),
}
_STORAGE_OF = {dtype: name for name, dtype in STORAGES.items()}


def encode(tree: Any) -> tuple[bytes, list[np.ndarray]]:
    """Pickles a tree as `torch.save` would.

    Args:
      tree: Nested dict (keys str or int), list, tuple, str, int, float, bool, None and arrays.

    Returns:
      The pickle (protocol 2), and the arrays it refers to as storages "0", "1", ..., contiguous and little-endian.

    Raises:
      TypeError: A leaf that torch has no type for; the message has its place in the tree.
    """
    writer = _Writer()
    writer.put(tree, "tree")
    return b"".join([pickle.PROTO, b"\x02", *writer.out, pickle.STOP]), writer.storages


def decode(data: bytes, storage: Callable[[str, np.dtype, int], np.ndarray], *, place: str) -> Any:
    """Reads such a pickle, running nothing but the rebuilding of arrays.

    Args:
      data: The pickle.
      storage: Gives the flat array of a storage by its key, dtype and number of elements.
      place: The file's name, for messages.

    Raises:
      CheckpointError: A global outside the allow-list, or a malformed pickle.
    """
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name in ("PUT", "LONG_BINPUT") and int(argument or 0) > len(data):
                raise ValueError(f"memo index {argument}")  # the unpickler would allocate as many slots
        return _Reader(data, storage, place).load()
    except CheckpointError:
        raise
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise CheckpointError(f"{place} is damaged: its pickle cannot be read ({error})") from error


class _Writer:
    """Appends opcodes to `out`; every method leaves one more object on the reader's stack."""

    def __init__(self) -> None:
        self.out: list[bytes] = []
        self.storages: list[np.ndarray] = []

    def put(self, node: Any, where: str) -> None:
        if node is None:
            self.out.append(pickle.NONE)
        elif isinstance(node, bool):
            self.out.append(pickle.NEWTRUE if node else pickle.NEWFALSE)
        elif isinstance(node, int):
            self._int(node)
        elif isinstance(node, float):
            self.out += [pickle.BINFLOAT, struct.pack(">d", node)]
        elif isinstance(node, str):
            text = node.encode("utf-8", "surrogatepass")
            self.out += [pickle.BINUNICODE, struct.pack("<I", len(text)), text]
        elif isinstance(node, Mapping):
            self._dict(node, where)
        elif isinstance(node, list):
            self.out += [pickle.EMPTY_LIST, pickle.MARK]
            for index, item in enumerate(node):
                self.put(item, f"{where}[{index}]")
            self.out.append(pickle.APPENDS)
        elif isinstance(node, tuple):
            self._tuple(node, where)
        elif hasattr(node, "__array__"):
            self._tensor(np.asarray(node), where)
        else:
            raise TypeError(f"{where}: cannot store a {type(node).__name__} in a torch file")

    def _int(self, node: int) -> None:
        if -(2**31) <= node < 2**31:
            self.out += [pickle.BININT, struct.pack("<i", node)]
            return
        data = pickle.encode_long(node)
        if len(data) > 255:
            raise TypeError(f"an integer of {len(data)} bytes is too long for a torch file")
        self.out += [pickle.LONG1, bytes([len(data)]), data]

    def _dict(self, node: Mapping, where: str) -> None:
        self.out += [pickle.EMPTY_DICT, pickle.MARK]
        for key, value in node.items():
            if not isinstance(key, str | int):
                raise TypeError(f"{where}: keys are strings or integers, not {type(key).__name__}")
            self.put(key, where)
            self.put(value, f"{where}[{key!r}]")
        self.out.append(pickle.SETITEMS)

    def _tuple(self, node: tuple, where: str) -> None:
        self.out.append(pickle.MARK)
        for index, item in enumerate(node):
            self.put(item, f"{where}[{index}]")
        self.out.append(pickle.TUPLE)

    def _global(self, module: str, name: str) -> None:
        self.out.append(pickle.GLOBAL + f"{module}\n{name}\n".encode())

    def _tensor(self, array: np.ndarray, where: str) -> None:
        array = array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)
        if array.dtype not in _STORAGE_OF:
            raise TypeError(f"{where}: torch has no storage for {array.dtype}")
        key = str(len(self.storages))
        self.storages.append(array)
        strides = tuple(int(np.prod(array.shape[axis + 1 :])) for axis in range(array.ndim))  # in elements
        self._global("torch._utils", "_rebuild_tensor_v2")
        self.out.append(pickle.MARK)
        self.out.append(pickle.MARK)
        self.put("storage", where)
        self._global("torch", _STORAGE_OF[array.dtype])
        for item in (key, "cpu", array.size):
            self.put(item, where)
        self.out += [pickle.TUPLE, pickle.BINPERSID]
        for field in (0, array.shape, strides, False):  # offset, size, stride, requires_grad
            self.put(field, where)
        self._global("collections", "OrderedDict")  # backward hooks: none
        self.out += [pickle.EMPTY_TUPLE, pickle.REDUCE]
        self.out += [pickle.TUPLE, pickle.REDUCE]


@dataclasses.dataclass(frozen=True)
class _Global:
    """An allowed global: callable, and without attributes that the pickle's BUILD opcode could set."""

    __slots__ = ("function",)
    function: Callable[..., Any]

    def __call__(self, *args: Any) -> Any:
        return self.function(*args)


@dataclasses.dataclass(frozen=True)
class _StorageType:
    """Stands for `torch.FloatStorage` and the like; a bare dtype has a `__setstate__` that BUILD could call."""

    __slots__ = ("dtype",)
    dtype: np.dtype


class _Dict(dict):
    """Stands for OrderedDict; drops the attributes (`_metadata`) that torch pickles with a state dict."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        pass


def _rebuild_tensor(flat: np.ndarray, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> np.ndarray:
    """A strided view into a storage, inside its bounds: numpy itself does not check them."""
    if not isinstance(flat, np.ndarray) or flat.ndim != 1 or len(size) != len(stride):
        raise ValueError("a tensor without storage, or with a stride for another rank")
    if any(type(number) is not int or number < 0 for number in (offset, *size, *stride)):
        raise ValueError("offset, size and stride must be non-negative integers")
    last = offset + sum((extent - 1) * step for extent, step in zip(size, stride, strict=True))
    if 0 not in size and last >= flat.size:
        raise ValueError(f"a tensor reaches element {last} of a storage of {flat.size}")
    start = flat[offset:] if 0 not in size else flat[:0]
    strides = [step * flat.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(start, size, strides, writeable=False)


_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): _Global(_Dict),
    ("torch._utils", "_rebuild_tensor"): _Global(_rebuild_tensor),
    ("torch._utils", "_rebuild_tensor_v2"): _Global(
        lambda flat, offset, size, stride, *_rest: _rebuild_tensor(flat, offset, size, stride)
    ),
    ("torch._utils", "_rebuild_parameter"): _Global(lambda data, *_rest: data),
    **{("torch", name): _StorageType(dtype) for name, dtype in STORAGES.items()},
}


class _Reader(pickle.Unpickler):
    def __init__(self, data: bytes, storage: Callable[[str, np.dtype, int], np.ndarray], place: str) -> None:
        super().__init__(io.BytesIO(data))
        self._storage = storage
        self._place = place

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise CheckpointError(
                f"refused global {module}.{name} in {self._place}: a checkpoint holds tensors and plain values only; "
                "this file could run code when opened by others. Re-save its state dict alone, or do not trust it"
            )
        return _ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> np.ndarray:
        kind, storage_type, key, _device, numel = pid
        known = kind == "storage" and isinstance(storage_type, _StorageType)
        if not known or type(key) is not str or type(numel) is not int:
            raise ValueError(f"an unknown persistent id {pid!r}")
        return self._storage(key, storage_type.dtype, numel)
