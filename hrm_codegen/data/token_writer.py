"""Writing token files: documents are streamed, and the file appears whole or not at all.

Only offsets and prompt lengths (12 bytes a document) are held in memory. The layout is `token_file.py`'s.
"""

from __future__ import annotations

import array
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from hrm_codegen.config.files import atomic_write
from hrm_codegen.data.token_file import FORMAT_VERSION
from hrm_codegen.data.tokenizer import Tokenizer
from hrm_codegen.version import __version__


def write_token_file(
    path: str | os.PathLike[str],
    examples: Iterable[tuple[Sequence[int], int]],
    *,
    tokenizer: Tokenizer,
    metadata: Mapping[str, str],
) -> int:
    """Writes documents.

    Args:
      path: The file to make or replace.
      examples: Tokens and prompt length of each document; consumed once.
      tokenizer: What made the tokens; stored whole. V > 65536 needs uint32.
      metadata: More texts to store, for example `source`, `split`, `prompt_tests`.

    Returns:
      The number of tokens written.
    """
    dtype, type_name = (np.dtype("<u2"), "U16") if tokenizer.vocab_size <= 1 << 16 else (np.dtype("<u4"), "U32")
    offsets, prompt_lens = array.array("q", [0]), array.array("i")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=Path(path).parent) as stream:
        for tokens, prompt_len in examples:
            assert 0 <= prompt_len <= len(tokens), (prompt_len, len(tokens))
            stream.write(np.asarray(tokens, dtype).tobytes())
            offsets.append(offsets[-1] + len(tokens))
            prompt_lens.append(prompt_len)
        # Widest type first: every array is aligned to its own size, in the order the safetensors library writes.
        arrays: dict[str, tuple[str, int, int]] = {
            "offsets": ("I64", len(offsets), 8),
            "prompt_lens": ("I32", len(prompt_lens), 4),
            "tokens": (type_name, offsets[-1], dtype.itemsize),
        }
        texts = {
            **metadata,
            "format_version": FORMAT_VERSION,
            "num_documents": str(len(prompt_lens)),
            "num_tokens": str(offsets[-1]),
            "tokenizer": tokenizer.to_json(),
            "tokenizer_sha256": tokenizer.sha256,
            "tool_version": __version__,
        }
        with atomic_write(path, "wb") as file:
            _write_header(file, arrays, texts)
            file.write(np.asarray(offsets, "<i8").tobytes())
            file.write(np.asarray(prompt_lens, "<i4").tobytes())
            stream.seek(0)
            shutil.copyfileobj(stream, file)
    return offsets[-1]


def _write_header(file: IO[bytes], arrays: dict[str, tuple[str, int, int]], metadata: dict[str, str]) -> None:
    header: dict[str, object] = {"__metadata__": dict(sorted(metadata.items()))}
    begin = 0
    for name, (dtype, length, itemsize) in arrays.items():
        end = begin + length * itemsize
        header[name] = {"dtype": dtype, "shape": [length], "data_offsets": [begin, end]}
        begin = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little") + text)
