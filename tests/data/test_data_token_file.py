"""Token files: what is written is read, by us and by safetensors; what is torn is named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from hrm_codegen.data.token_file import TokenFile
from hrm_codegen.data.token_writer import write_token_file
from hrm_codegen.data.tokenizer import SPECIAL_TOKENS, Tokenizer
from hrm_codegen.errors import DatasetError

BYTE = Tokenizer.load("byte")
EXAMPLES = [([1, 60, 2, 61, 3], 3), ([1, 2, 3], 2), ([], 0), ([9] * 300, 0)]


def write(path: Path, examples: list[tuple[list[int], int]] = EXAMPLES, tokenizer: Tokenizer = BYTE) -> Path:
    write_token_file(path, iter(examples), tokenizer=tokenizer, metadata={"source": "test", "prompt_tests": "1"})
    return path


@settings(max_examples=50, deadline=None)
@given(documents=st.lists(st.lists(st.integers(0, 263)), max_size=8), data=st.data())
def test_documents_come_back(
    documents: list[list[int]], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    examples = [(tokens, data.draw(st.integers(0, len(tokens)))) for tokens in documents]
    file = TokenFile(write(tmp_path_factory.mktemp("t") / "x.bin", examples))
    assert [(file[i][0].tolist(), file[i][1]) for i in range(len(file))] == examples
    assert file.num_tokens == sum(map(len, documents))


def test_metadata_and_tokenizer_travel_with_the_tokens(tmp_path: Path) -> None:
    file = TokenFile(write(tmp_path / "x.bin"))
    assert file.metadata["source"] == "test"
    assert (file.metadata["num_documents"], file.metadata["num_tokens"]) == ("4", "308")
    assert file.tokenizer is not None
    assert file.tokenizer.sha256 == file.metadata["tokenizer_sha256"] == BYTE.sha256


def test_safetensors_reads_the_same_arrays(tmp_path: Path) -> None:
    file = TokenFile(write(tmp_path / "x.bin"))
    theirs = load_file(tmp_path / "x.bin")
    for name in ("tokens", "offsets", "prompt_lens"):
        np.testing.assert_array_equal(theirs[name], getattr(file, name))
    with safetensors.safe_open(tmp_path / "x.bin", "np") as opened:
        assert opened.metadata() == file.metadata


def test_a_file_saved_by_safetensors_is_read(tmp_path: Path) -> None:
    file = TokenFile(write(tmp_path / "x.bin"))
    arrays = {name: np.array(getattr(file, name)) for name in ("tokens", "offsets", "prompt_lens")}
    save_file(arrays, tmp_path / "y.safetensors", metadata=file.metadata)
    assert TokenFile(tmp_path / "y.safetensors")[0][0].tolist() == EXAMPLES[0][0]


def test_arrays_are_aligned_and_mapped(tmp_path: Path) -> None:
    file = TokenFile(write(tmp_path / "x.bin"))
    for array in (file.tokens, file.offsets, file.prompt_lens):
        assert array.ctypes.data % array.itemsize == 0
        assert isinstance(array.base, np.memmap)
    assert file.tokens.dtype == np.uint16


def test_a_large_vocabulary_takes_four_bytes(tmp_path: Path) -> None:
    vocab = {name: i for i, name in enumerate([*SPECIAL_TOKENS, *(f"t{i}" for i in range(65529))])}
    big = Tokenizer(tokenizers.Tokenizer(tokenizers.models.WordLevel(vocab, unk_token="t0")))
    assert big.vocab_size == 65537
    file = TokenFile(write(tmp_path / "x.bin", [([0, 65536, 3], 1)], big))
    assert file.tokens.dtype == np.uint32
    assert file[0][0].tolist() == [0, 65536, 3]


def test_the_same_documents_give_the_same_bytes(tmp_path: Path) -> None:
    assert write(tmp_path / "x.bin").read_bytes() == write(tmp_path / "y.bin").read_bytes()


def test_a_failure_on_the_way_leaves_the_old_file(tmp_path: Path) -> None:
    before = write(tmp_path / "x.bin").read_bytes()

    def broken():
        yield [1, 2], 1
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_token_file(tmp_path / "x.bin", broken(), tokenizer=BYTE, metadata={})
    assert (tmp_path / "x.bin").read_bytes() == before
    assert list(tmp_path.iterdir()) == [tmp_path / "x.bin"]


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    whole = write(tmp_path / "x.bin").read_bytes()
    torn = tmp_path / "torn.bin"
    for size in [0, 10, 11, 500, len(whole) // 2, len(whole) - 1]:
        torn.write_bytes(whole[:size])
        with pytest.raises(DatasetError, match=r"torn\.bin (is truncated|is empty)"):
            TokenFile(torn)


def rewrite(path: Path, change) -> Path:
    """Changes the header of a token file."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + size :])
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h: h.pop("offsets"), 'bad or no entry for "offsets"'),
        (lambda h: h["tokens"].update(dtype="F32"), 'the entry for "tokens" contradicts itself'),
        (lambda h: h["tokens"].update(shape=[7]), 'the entry for "tokens" contradicts itself'),
        (lambda h: h["tokens"].update(shape=[-1]), 'the entry for "tokens" contradicts itself'),
        (lambda h: h["prompt_lens"].update(shape=[1, 2]), 'bad or no entry for "prompt_lens"'),
        (lambda h: h["prompt_lens"].update(shape=[3], data_offsets=[40, 52]), "has 5 offsets for 3 documents"),
        (lambda h: h["tokens"].update(shape=[300], data_offsets=[56, 656]), "offsets that do not cover its tokens"),
        (lambda h: h["__metadata__"].update(format_version="9"), "has format version 9, this program reads 1"),
        (lambda h: h.pop("__metadata__"), "has format version none"),
    ],
)
def test_a_header_that_lies(tmp_path: Path, change, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        TokenFile(rewrite(write(tmp_path / "x.bin"), change))


def test_a_file_without_its_tokenizer(tmp_path: Path) -> None:
    file = TokenFile(rewrite(write(tmp_path / "x.bin"), lambda h: h["__metadata__"].pop("tokenizer")))
    with pytest.raises(DatasetError, match="has no tokenizer"):
        _ = file.tokenizer


def test_broken_bytes(tmp_path: Path) -> None:
    data = bytearray(write(tmp_path / "x.bin").read_bytes())
    header_end = 8 + int.from_bytes(data[:8], "little")
    data[header_end + 8 : header_end + 16] = (10**6).to_bytes(8, "little")  # the second offset
    (tmp_path / "x.bin").write_bytes(data)
    with pytest.raises(DatasetError, match="document 0 has the impossible bounds 0:1000000"):
        _ = TokenFile(tmp_path / "x.bin")[0]
    data[30] = 0xFF
    (tmp_path / "x.bin").write_bytes(data)
    with pytest.raises(DatasetError, match="corrupt header"):
        TokenFile(tmp_path / "x.bin")


def test_a_nanogpt_file_is_one_stream(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    np.arange(1000, dtype="<u2").tofile(tmp_path / "gpt.bin")
    file = TokenFile(tmp_path / "gpt.bin")
    assert "one stream of uint16 tokens" in caplog.text
    assert file.is_stream
    assert file.tokenizer is None
    assert (len(file), file.num_tokens) == (1, 1000)
    tokens, prompt_len = file[0]
    np.testing.assert_array_equal(tokens, np.arange(1000))
    assert prompt_len == 0


def test_what_is_no_token_file(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such file"):
        TokenFile(tmp_path / "none.bin")
    with pytest.raises(DatasetError, match="cannot read"):
        TokenFile(tmp_path)
    (tmp_path / "odd.bin").write_bytes(b"\0" * 13)
    with pytest.raises(DatasetError, match="13 bytes: neither"):
        TokenFile(tmp_path / "odd.bin")
    (tmp_path / "raw.json").write_text('[{"text": "something"}]')
    with pytest.raises(DatasetError, match="hrm-codegen data convert"):
        TokenFile(tmp_path / "raw.json")


def test_a_sparse_file_larger_than_its_use_is_not_read(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    with open(tmp_path / "huge.bin", "wb") as file:
        file.truncate(2 << 30)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    huge = TokenFile(tmp_path / "huge.bin")
    assert int(huge.tokens[-1]) == 0
    assert huge.num_tokens == 1 << 30
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000
