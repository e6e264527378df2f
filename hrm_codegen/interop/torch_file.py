"""torch's file format without torch: `best.pt` opens with `torch.load(path, weights_only=True, mmap=True)`.

Why: a checkpoint that every PyTorch user can open, from a program that does not depend on PyTorch. A torch file is an
uncompressed zip of one pickle (`data.pkl`, see `torch_pickle.py`) and one little-endian record a storage, aligned so
that it can be memory-mapped. Not for TorchScript, sharded or pre-1.6 files, which get an error that says so.
"""

from __future__ import annotations

import mmap
import os
import struct
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np

from hrm_codegen.config.files import atomic_write
from hrm_codegen.errors import CheckpointError
from hrm_codegen.interop import torch_pickle

ZIP_MAGIC = b"PK\x03\x04"
_LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the first pickle of a file of torch < 1.6
_ARCHIVE = "archive"  # torch uses the file's stem; a constant keeps equal trees equal byte for byte
_ALIGNMENT = 64
_EPOCH = (1980, 1, 1, 0, 0, 0)
_LOCAL_HEADER = struct.Struct("<4s22xHH")  # magic, ..., length of the name, length of the extra field
_ZIP64_EXTRA = 20


def save_torch(path: str | os.PathLike[str], tree: Any) -> None:
    """Writes a tree as `torch.save(tree, path)` would, whole or not at all; equal trees give equal bytes.

    Args:
      path: The file to make or replace.
      tree: Nested dict, list, tuple, str, int, float, bool, None; arrays (numpy, jax) become tensors on the CPU.

    Raises:
      TypeError: A leaf or dtype that torch does not have.
    """
    data, storages = torch_pickle.encode(tree)
    with atomic_write(path, "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        _write_record(archive, file, "data.pkl", data)
        _write_record(archive, file, ".format_version", b"1")
        _write_record(archive, file, ".storage_alignment", str(_ALIGNMENT).encode())
        _write_record(archive, file, "byteorder", b"little")
        for key, array in enumerate(storages):
            _write_record(archive, file, f"data/{key}", array.reshape(-1).view(np.uint8).data)
        _write_record(archive, file, "version", b"3\n")


def _write_record(archive: zipfile.ZipFile, file: IO[bytes], name: str, data: bytes | memoryview) -> None:
    info = zipfile.ZipInfo(f"{_ARCHIVE}/{name}", _EPOCH)
    info.file_size = len(data)  # tells zipfile whether the header needs its zip64 part
    zip64 = info.file_size * 1.05 > zipfile.ZIP64_LIMIT
    header = 30 + len(info.filename) + 4 + (_ZIP64_EXTRA if zip64 else 0)
    padding = -(file.tell() + header) % _ALIGNMENT
    info.extra = b"FB" + struct.pack("<H", padding) + b"Z" * padding  # torch's own padding field
    with archive.open(info, "w") as record:
        record.write(data)
    info.extra = b""  # the central directory needs no padding


def load_torch(path: str | os.PathLike[str]) -> Any:
    """Reads a file of `torch.save` or `save_torch`, running none of the code a pickle may hold.

    Args:
      path: A torch zip file. Every record's checksum is verified.

    Returns:
      The tree. Tensors and parameters are numpy arrays: read-only, mapped from the file, sharing storage where the
      tensors did.

    Raises:
      CheckpointError: The file is missing, damaged, of another format, or refers to a global that is not allowed.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            head = file.read(len(_LEGACY_MAGIC))
            if head == _LEGACY_MAGIC:
                raise CheckpointError(
                    f"{path} is in torch's legacy format (before 1.6); convert it with torch: "
                    "torch.save(torch.load(path, weights_only=True), path)"
                )
            if not head.startswith(ZIP_MAGIC):
                raise CheckpointError(f"{path} is not a torch file: it does not start as a zip archive does")
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            records = _Records(path, mapped, _directory(path, file))
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from error
    return torch_pickle.decode(records.read("data.pkl").tobytes(), records.storage, place=str(path))


def _directory(path: Path, file: IO[bytes]) -> dict[str, zipfile.ZipInfo]:
    """The zip's central directory, by the records' names without the archive's."""
    try:
        with zipfile.ZipFile(file) as archive:
            return {info.filename.partition("/")[2]: info for info in archive.infolist()}
    except Exception as error:  # zipfile raises more than BadZipFile on a damaged directory
        raise CheckpointError(f"{path} is damaged or cut short: {error}") from error


class _Records:
    """The records of a mapped file, each checked when it is read."""

    def __init__(self, path: Path, mapped: mmap.mmap, infos: dict[str, zipfile.ZipInfo]) -> None:
        self._path = path
        self._bytes = np.frombuffer(mapped, np.uint8)
        self._storages: dict[str, np.ndarray] = {}
        self._infos = infos
        if "data.pkl" not in self._infos:
            raise CheckpointError(f"{path} is a zip archive but not a torch file: it has no data.pkl")
        self._swap = "byteorder" in self._infos and self.read("byteorder").tobytes() == b"big"

    def read(self, name: str) -> np.ndarray:
        """The bytes of a record, mapped if they are stored as they are, after a look at their checksum."""
        if name not in self._infos:
            raise CheckpointError(f"{self._path} is damaged: record {name!r} is missing")
        info = self._infos[name]
        header = self._bytes[info.header_offset : info.header_offset + _LOCAL_HEADER.size].tobytes()
        if len(header) < _LOCAL_HEADER.size or not header.startswith(ZIP_MAGIC):
            raise CheckpointError(f"{self._path} is damaged: record {name!r} has no header")
        _, name_length, extra_length = _LOCAL_HEADER.unpack(header)
        start = info.header_offset + _LOCAL_HEADER.size + name_length + extra_length
        data = self._bytes[start : start + info.compress_size]
        if info.compress_type == zipfile.ZIP_DEFLATED:
            data = self._inflate(name, data, info.file_size)
        if data.size != info.file_size or zlib.crc32(data.data) != info.CRC:
            raise CheckpointError(f"{self._path} is damaged: record {name!r} fails its checksum")
        return data

    def _inflate(self, name: str, data: np.ndarray, size: int) -> np.ndarray:
        try:
            return np.frombuffer(zlib.decompressobj(-zlib.MAX_WBITS).decompress(data.data, size + 1), np.uint8)
        except zlib.error as error:
            raise CheckpointError(f"{self._path} is damaged: record {name!r}: {error}") from error

    def storage(self, key: str, dtype: np.dtype, numel: int) -> np.ndarray:
        """The flat array of a storage; several tensors may share one."""
        if key not in self._storages:
            data = self.read(f"data/{key}")
            if data.size != numel * dtype.itemsize:
                raise CheckpointError(
                    f"{self._path} is damaged: storage {key} has {data.size} bytes, not {numel} x {dtype}"
                )
            self._storages[key] = data.view(f"u{dtype.itemsize}").byteswap().view(np.uint8) if self._swap else data
        return self._storages[key].view(dtype)
