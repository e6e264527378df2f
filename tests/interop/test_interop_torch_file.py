"""torch files without torch: round trips, what torch itself makes and reads, and files that must be refused."""

from __future__ import annotations

import pickle
import pickletools
import struct
import zipfile
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hrm_codegen.errors import CheckpointError
from hrm_codegen.interop import load_torch, save_torch, torch_pickle

DTYPES = [np.float64, np.float32, np.float16, ml_dtypes.bfloat16, np.int64, np.int32, np.int16, np.int8, np.uint8, bool]
QUICK = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

arrays = st.sampled_from([np.float32, np.float16, np.int64, np.uint8, np.bool_]).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
)
leaves = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text() | arrays
trees = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3)
    ),
    max_leaves=8,
)


def same(a, b) -> bool:
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and (a == b or a != a)


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, dict]:
    tree = {"w": np.arange(40, dtype=np.float32).reshape(5, 8), "n": np.array([1, 2, 3]), "name": "x", "steps": [1, 2]}
    save_torch(tmp_path / "a.pt", tree)
    return tmp_path / "a.pt", tree


@QUICK
@given(tree=trees)
def test_round_trip(tmp_path: Path, tree) -> None:
    save_torch(tmp_path / "t.pt", tree)
    assert same(tree, load_torch(tmp_path / "t.pt"))


@QUICK
@given(tree=trees)
def test_pickle_is_valid_protocol_2(tree) -> None:
    ops = list(pickletools.genops(torch_pickle.encode(tree)[0]))
    assert max(op.proto for op, _, _ in ops) <= 2
    allowed = {"torch._utils _rebuild_tensor_v2", "collections OrderedDict"}
    names = {arg for op, arg, _ in ops if op.name == "GLOBAL"}
    assert all(name in allowed or name.startswith("torch ") for name in names)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_survives(tmp_path: Path, dtype) -> None:
    array = np.array([[0, 1], [1, 0], [1, 1]]).astype(dtype)
    save_torch(tmp_path / "t.pt", [array, array.T, array.astype(array.dtype.newbyteorder(">"))[1:]])
    loaded = load_torch(tmp_path / "t.pt")
    assert same(loaded, [array, np.ascontiguousarray(array.T), array[1:]])


def test_equal_trees_give_equal_bytes(tmp_path: Path, saved) -> None:
    save_torch(tmp_path / "b.pt", saved[1])
    assert (tmp_path / "b.pt").read_bytes() == saved[0].read_bytes()


def test_storages_are_stored_plain_and_aligned(saved) -> None:
    raw = saved[0].read_bytes()
    with zipfile.ZipFile(saved[0]) as archive:
        for info in archive.infolist():
            name_length, extra_length = struct.unpack_from("<HH", raw, info.header_offset + 26)
            assert info.compress_type == zipfile.ZIP_STORED
            assert (info.header_offset + 30 + name_length + extra_length) % 64 == 0


def test_arrays_are_mapped_not_copied(saved) -> None:
    loaded = load_torch(saved[0])["w"]
    assert not loaded.flags.owndata
    assert not loaded.flags.writeable


@pytest.mark.parametrize(
    ("leaf", "message"),
    [
        ({1, 2}, r"tree\['a'\]\[0\]: cannot store a set"),
        (np.array([1j]), "no storage for complex128"),
        ({2.5: 1}, "keys are strings or integers"),
        (1 << 2100, "too long"),
    ],
)
def test_what_torch_lacks_is_named_and_leaves_no_file(tmp_path: Path, leaf, message) -> None:
    with pytest.raises(TypeError, match=message):
        save_torch(tmp_path / "t.pt", {"a": [leaf]})
    assert not list(tmp_path.iterdir())


@QUICK
@given(data=st.data())
def test_a_flipped_bit_is_noticed_or_harmless(tmp_path: Path, saved, data) -> None:
    raw = bytearray(saved[0].read_bytes())
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    (tmp_path / "b.pt").write_bytes(raw)
    try:
        loaded = load_torch(tmp_path / "b.pt")
    except CheckpointError:
        return
    assert same(loaded, saved[1])


def test_flipped_weights_are_noticed(tmp_path: Path, saved) -> None:
    raw = bytearray(saved[0].read_bytes())
    raw[raw.index(saved[1]["w"].tobytes()) + 17] ^= 4
    (tmp_path / "b.pt").write_bytes(raw)
    with pytest.raises(CheckpointError, match="record 'data/0' fails its checksum"):
        load_torch(tmp_path / "b.pt")


@QUICK
@given(data=st.data())
def test_a_truncated_file_is_noticed(tmp_path: Path, saved, data) -> None:
    raw = saved[0].read_bytes()
    (tmp_path / "b.pt").write_bytes(raw[: data.draw(st.integers(0, len(raw) - 1))])
    with pytest.raises(CheckpointError, match=r"b\.pt"):
        load_torch(tmp_path / "b.pt")


def test_other_files_are_told_apart(tmp_path: Path) -> None:
    legacy = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2)
    for content, message in [
        (legacy, "legacy format"),
        (b"{}", "not a torch file"),
        (b"", "not a torch file"),
    ]:
        (tmp_path / "o.pt").write_bytes(content)
        with pytest.raises(CheckpointError, match=message):
            load_torch(tmp_path / "o.pt")
    with zipfile.ZipFile(tmp_path / "z.pt", "w") as archive:
        archive.writestr("a/readme", "hello")
    with pytest.raises(CheckpointError, match=r"no data\.pkl"):
        load_torch(tmp_path / "z.pt")
    with pytest.raises(CheckpointError, match="No such file"):
        load_torch(tmp_path / "absent.pt")


def test_torch_reads_what_we_write(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    arrays = {str(np.dtype(dtype)): np.array([[0, 1], [1, 0]]).astype(dtype) for dtype in DTYPES}
    tree = {**arrays, "scalar": np.array(3), "empty": np.zeros((0, 3)), "t": arrays["float32"].T, "meta": [1, 2.5, "é"]}
    save_torch(tmp_path / "t.pt", tree)
    for mmap in (False, True):
        loaded = torch.load(tmp_path / "t.pt", weights_only=True, mmap=mmap)
        assert loaded["meta"] == tree["meta"]
        for name, array in tree.items():
            if name != "meta":
                assert str(loaded[name].dtype) == f"torch.{array.dtype}"
                np.testing.assert_array_equal(loaded[name].double().numpy(), array.astype(np.float64))


def test_we_read_what_torch_writes(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    base = torch.arange(12.0).reshape(3, 4)
    layer = torch.nn.Linear(3, 2)
    tree = {"t": base.t(), "s": base[1:, ::2], "p": layer.weight, "b": base.bfloat16(), **layer.state_dict()}
    torch.save({**tree, "sd": layer.state_dict()}, tmp_path / "t.pt")
    loaded = load_torch(tmp_path / "t.pt")
    for name, value in tree.items():
        np.testing.assert_array_equal(loaded[name].astype(np.float32), value.detach().float().numpy())
    assert list(loaded["sd"]) == ["weight", "bias"]
    torch.save(base, tmp_path / "legacy.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(CheckpointError, match="legacy"):
        load_torch(tmp_path / "legacy.pt")
    torch.save(layer, tmp_path / "module.pt")
    with pytest.raises(CheckpointError, match=r"refused global torch\.nn\.modules\.linear\.Linear"):
        load_torch(tmp_path / "module.pt")
