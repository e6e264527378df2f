"""Pickles made by hand: views that share a storage, tensors outside of theirs, and code that must not run."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from hrm_codegen.errors import CheckpointError
from hrm_codegen.interop import load_torch, save_torch


def write_zip(path: Path, data: bytes, records: dict[str, bytes] | None = None, compression=zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in {"data.pkl": data, **(records or {}), "version": b"3\n"}.items():
            archive.writestr(f"x/{name}", content)
    return path


class Storage:
    """Pickles as torch's persistent id of a storage."""

    def __init__(self, key: str, numel: int):
        self.pid = ("storage", Named("torch", "FloatStorage"), key, "cpu", numel)


class Named:
    def __init__(self, module: str, name: str):
        self.module, self.name = module, name


class Call:
    def __init__(self, module: str, name: str, *args):
        self.function, self.args = Named(module, name), args


class Pickler(pickle._Pickler):  # the Python one, which can be taught to write globals that do not exist here
    def persistent_id(self, obj):
        return obj.pid if isinstance(obj, Storage) else None

    def save(self, obj, save_persistent_id=True):
        if isinstance(obj, Named):
            self.write(pickle.GLOBAL + f"{obj.module}\n{obj.name}\n".encode())
        elif isinstance(obj, Call):
            self.save(obj.function)
            self.save(obj.args)
            self.write(pickle.REDUCE)
        else:
            super().save(obj, save_persistent_id)


def pickled(tree) -> bytes:
    out = io.BytesIO()
    Pickler(out, 2).dump(tree)
    return out.getvalue()


def tensor(storage, offset, size, stride, *rest) -> Call:
    return Call(
        "torch._utils", "_rebuild_tensor_v2", storage, offset, size, stride, False, Call("collections", "OrderedDict")
    )


def test_views_share_storage_and_strides(tmp_path: Path) -> None:
    flat = np.arange(12, dtype=np.float32)
    storage = Storage("0", 12)
    tree = {
        "transposed": tensor(storage, 0, (4, 3), (1, 4)),
        "sliced": tensor(storage, 4, (2, 2), (4, 2)),
        "expanded": tensor(storage, 2, (5,), (0,)),
        "empty": tensor(storage, 12, (0, 3), (3, 1)),
        "parameter": Call("torch._utils", "_rebuild_parameter", tensor(storage, 0, (12,), (1,)), True, None),
    }
    loaded = load_torch(write_zip(tmp_path / "t.pt", pickled(tree), {"data/0": flat.tobytes()}))
    grid = flat.reshape(3, 4)
    for name, expected in {
        "transposed": grid.T, "sliced": grid[1:, ::2], "expanded": np.full(5, 2.0), "empty": np.zeros((0, 3)),
        "parameter": flat,
    }.items():  # fmt: skip
        np.testing.assert_array_equal(loaded[name], expected)
    assert np.shares_memory(loaded["transposed"], loaded["sliced"])


def test_compressed_and_big_endian_records(tmp_path: Path) -> None:
    flat = np.arange(300, dtype=np.float32)
    records = {"data/0": flat.astype(">f4").tobytes(), "byteorder": b"big"}
    tree = tensor(Storage("0", 300), 0, (300,), (1,))
    path = write_zip(tmp_path / "t.pt", pickled(tree), records, zipfile.ZIP_DEFLATED)
    np.testing.assert_array_equal(load_torch(path), flat)


@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [(0, (13,), (1,)), (5, (2, 2), (6, 2)), (-1, (2,), (1,)), (0, (2,), (-1,)), (0, (2, 2), (1,)), (0, (1.5,), (1,))],
)
def test_tensors_outside_their_storage_are_refused(tmp_path: Path, offset, size, stride) -> None:
    tree = tensor(Storage("0", 12), offset, size, stride)
    with pytest.raises(CheckpointError, match="damaged"):
        load_torch(write_zip(tmp_path / "t.pt", pickled(tree), {"data/0": bytes(48)}))


@pytest.mark.parametrize(
    "tree",
    [
        tensor(Storage("0", 13), 0, (2,), (1,)),  # longer than its record
        tensor(Storage("7", 12), 0, (2,), (1,)),  # no such record
        tensor([1.0, 2.0], 0, (2,), (1,)),  # not a storage
    ],
)
def test_wrong_storages_are_refused(tmp_path: Path, tree) -> None:
    with pytest.raises(CheckpointError, match="damaged"):
        load_torch(write_zip(tmp_path / "t.pt", pickled(tree), {"data/0": bytes(48)}))


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("call", [os.system, eval, getattr])
def test_hostile_globals_are_refused_and_not_run(tmp_path: Path, protocol, call) -> None:
    class Hostile:
        def __reduce__(self):
            return call, (f"touch {tmp_path / 'ran'}",)

    path = write_zip(tmp_path / "evil.pt", pickle.dumps({"a": Hostile()}, protocol))
    with pytest.raises(CheckpointError, match=rf"refused global \w+\.{call.__name__} in .*evil\.pt: "):
        load_torch(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["FloatStorage", "_rebuild_tensor_v2", "OrderedDict"])
def test_allowed_globals_cannot_be_tampered_with(tmp_path: Path, name) -> None:
    module = {"FloatStorage": "torch", "_rebuild_tensor_v2": "torch._utils", "OrderedDict": "collections"}[name]
    target = pickle.GLOBAL + f"{module}\n{name}\n".encode()
    state = pickle.dumps((None, {"function": 1, "dtype": 2}), 2)[2:-1]
    path = write_zip(tmp_path / "t.pt", b"\x80\x02" + target + state + pickle.BUILD + pickle.STOP)
    with pytest.raises(CheckpointError, match="damaged"):
        load_torch(path)
    save_torch(tmp_path / "fine.pt", [np.ones(2)])
    assert load_torch(tmp_path / "fine.pt")[0].sum() == 2


def test_attributes_of_a_state_dict_are_dropped(tmp_path: Path) -> None:
    target = pickle.GLOBAL + b"collections\nOrderedDict\n" + pickle.EMPTY_TUPLE + pickle.REDUCE
    state = pickle.dumps({"_metadata": {"version": 1}, "items": 3}, 2)[2:-1]
    path = write_zip(tmp_path / "t.pt", b"\x80\x02" + target + state + pickle.BUILD + pickle.STOP)
    assert dict(load_torch(path).items()) == {}


@pytest.mark.parametrize("put", [b"r\xff\xff\xff\xff", b"p4294967295\n"])
def test_a_huge_memo_is_refused_before_it_is_allocated(tmp_path: Path, put) -> None:
    with pytest.raises(CheckpointError, match=r"damaged: .*memo index 4294967295"):
        load_torch(write_zip(tmp_path / "t.pt", b"\x80\x02]" + put + b"."))
