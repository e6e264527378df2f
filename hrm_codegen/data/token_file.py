"""Reading token files by memory map: a file larger than memory costs only the pages that are used.

A token file is a safetensors container with `tokens` [num_tokens] (uint16, or uint32 for V > 65536), `offsets`
[N + 1] (int64) and `prompt_lens` [N] (int32); `__metadata__` has the tokenizer, whole, and where the data came from.
Its writer is `token_writer.py`. A raw nanoGPT `.bin` (uint16 tokens and nothing else) is read as one stream.
"""

from __future__ import annotations

import functools
import json
import logging
import mmap
import os
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt

from hrm_codegen.data.tokenizer import Tokenizer
from hrm_codegen.errors import DatasetError

_log = logging.getLogger("hrm_codegen.data")

FORMAT_VERSION = "1"
# The safetensors library refuses longer headers, too.
_MAX_HEADER = 100_000_000
_DTYPES = {"U16": "<u2", "U32": "<u4", "I64": "<i8", "I32": "<i4"}
_EXPECTED = {"tokens": ("U16", "U32"), "offsets": ("I64",), "prompt_lens": ("I32",)}

# A read of a document brings 16 pages in (the system maps them in groups), and the same of the two index arrays.
_READS_KEPT = 1024


class TokenFile:
    """Documents of a token file: `len(f)`, `f[i] -> (tokens, prompt_len)`.

    A raw nanoGPT stream is one document with prompt_len 0, which the loader cuts into windows.

    Attributes:
      path: The file.
      tokens: All tokens, memory mapped, [num_tokens].
      offsets: Document i is `tokens[offsets[i]:offsets[i + 1]]`, [N + 1].
      prompt_lens: How many tokens of each document are its prompt, [N].
      metadata: Texts written with the file; empty for a raw stream.
      is_stream: True for a raw nanoGPT file.
      num_tokens: Tokens of all documents.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Opens and checks a file; reads its header only.

        Raises:
          DatasetError: Missing, truncated or corrupt.
        """
        self.path = Path(path)
        self._maps: list[mmap.mmap] = []
        self._reads = 0
        header = read_header(self.path)
        self.is_stream = header is None
        if header is None:
            self._open_stream()
            return
        base, entries = header
        self.metadata: dict[str, str] = entries.pop("__metadata__", {})
        if self.metadata.get("format_version") != FORMAT_VERSION:
            found = self.metadata.get("format_version", "none")
            raise self._error(f"has format version {found}, this program reads {FORMAT_VERSION}")
        arrays = self._open_arrays(base, entries)
        self.tokens, self.offsets, self.prompt_lens = (arrays[name] for name in ("tokens", "offsets", "prompt_lens"))
        self.num_tokens = len(self.tokens)
        if len(self.offsets) != len(self.prompt_lens) + 1:
            raise self._error(f"has {len(self.offsets)} offsets for {len(self.prompt_lens)} documents")
        if self.offsets[0] != 0 or self.offsets[-1] != self.num_tokens:
            raise self._error("has offsets that do not cover its tokens")

    def __len__(self) -> int:
        return len(self.prompt_lens)

    def __getitem__(self, index: int) -> tuple[UInt[np.ndarray, "length"], int]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        start, end = int(self.offsets[index]), int(self.offsets[index + 1])
        prompt_len = int(self.prompt_lens[index])
        if not 0 <= start <= end <= self.num_tokens or not 0 <= prompt_len <= end - start:
            raise self._error(f"is corrupt: document {index} has the impossible bounds {start}:{end}, {prompt_len}")
        return self.read(start, end), prompt_len

    def read(self, start: int, end: int) -> UInt[np.ndarray, "length"]:
        """Returns `tokens[start:end]`, and keeps the pages that a long run has touched from filling the memory."""
        self._reads += 1
        if self._reads % _READS_KEPT == 0:
            self.release()
        return self.tokens[start:end]

    def release(self) -> None:
        """Gives the pages of the maps back; what is read again comes from the system's cache, or the disk."""
        for mapped in self._maps if hasattr(mmap, "MADV_DONTNEED") else ():
            mapped.madvise(mmap.MADV_DONTNEED)

    def _map(self, dtype: str, **where: Any) -> np.ndarray:
        array = np.memmap(self.path, dtype=dtype, mode="r", **where)
        self._maps.append(array._mmap)  # type: ignore[attr-defined]  # numpy has no public name for it
        return np.asarray(array)

    @functools.cached_property
    def tokenizer(self) -> Tokenizer | None:
        """The tokenizer that made the file; None for a raw stream."""
        if self.is_stream:
            return None
        if "tokenizer" not in self.metadata:
            raise self._error("has no tokenizer in its metadata")
        return Tokenizer.from_json(self.metadata["tokenizer"])

    def _open_stream(self) -> None:
        size = self.path.stat().st_size
        if self.path.suffix != ".bin":
            raise self._error("is no token file; raw problems are converted by `hrm-codegen data convert SRC DST`")
        if size % 2:
            raise self._error(f"has {size} bytes: neither a token file nor a raw stream of 2-byte tokens")
        _log.warning("%s has no header: read as one stream of uint16 tokens (nanoGPT), tokenizer unknown", self.path)
        self.metadata = {}
        self.num_tokens = size // 2
        self.tokens = self._map("<u2")
        self.offsets = np.array([0, self.num_tokens], np.int64)
        self.prompt_lens = np.zeros(1, np.int32)

    def _open_arrays(self, base: int, entries: dict[str, Any]) -> dict[str, np.ndarray]:
        size = self.path.stat().st_size
        arrays = {}
        for name, allowed in _EXPECTED.items():
            try:
                dtype, (length,), (begin, end) = (entries[name][key] for key in ("dtype", "shape", "data_offsets"))
                whole = all(isinstance(number, int) and number >= 0 for number in (length, begin, end))
            except (KeyError, TypeError, ValueError) as error:
                raise self._error(f'is corrupt: bad or no entry for "{name}"') from error
            if dtype not in allowed or not whole or end - begin != length * np.dtype(_DTYPES[dtype]).itemsize:
                raise self._error(f'is corrupt: the entry for "{name}" contradicts itself')
            if base + end > size:
                raise self._error(f"is truncated: {size} bytes, its header promises at least {base + end}")
            if length == 0:
                arrays[name] = np.zeros(0, _DTYPES[dtype])  # an empty map is an error of the operating system
                continue
            arrays[name] = self._map(_DTYPES[dtype], offset=base + begin, shape=(length,))
        return arrays

    def _error(self, message: str) -> DatasetError:
        return DatasetError(f"{self.path} {message}")


def read_header(path: Path) -> tuple[int, dict[str, Any]] | None:
    """Returns where the data begins and the header's entries; None if the file has no safetensors header.

    Raises:
      DatasetError: No such file, an empty one, or a header that is cut or broken.
    """
    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            start = file.read(10)
            if size == 0:
                raise DatasetError(f"{path} is empty")
            length = int.from_bytes(start[:8], "little")
            if start[8:] != b'{"' or length > _MAX_HEADER:
                return None
            text = file.read(length - 2)
    except FileNotFoundError as error:
        raise DatasetError(f"no such file: {path}") from error
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror or error}") from error
    if len(text) < length - 2:
        raise DatasetError(f"{path} is truncated inside its header: {size} bytes")
    try:
        header = json.loads(start[8:] + text)
    except ValueError as error:
        raise DatasetError(f"{path} has a corrupt header: {error}") from error
    if not isinstance(header, dict):
        raise DatasetError(f"{path} has a corrupt header")
    return 8 + length, header
