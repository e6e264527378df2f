"""Tokenizer: every text comes back, ids are where they are promised, training is reproducible."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from hrm_codegen.data.tokenizer import MIN_VOCAB_SIZE, SPECIAL_TOKENS, Tokenizer
from hrm_codegen.errors import ConfigError, DatasetError

TEXTS = ["def add(a, b):\n    return a + b\n", "Write a function to add numbers.", "assert add(1, 22) == 23"] * 4
WITH_SPECIALS = st.lists(st.sampled_from(SPECIAL_TOKENS) | st.text(st.characters(exclude_categories=["Cs"]))).map(
    "".join
)


@pytest.fixture(scope="module", params=["byte", "default"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return Tokenizer.load(request.param)


@settings(max_examples=50, deadline=None)
@given(text=WITH_SPECIALS)
def test_every_text_comes_back_and_gives_no_special_id(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert all(len(SPECIAL_TOKENS) <= i < tokenizer.vocab_size for i in ids)


def test_special_tokens_come_first(tokenizer: Tokenizer) -> None:
    assert (tokenizer.pad_id, tokenizer.boq_id, tokenizer.eoq_id, tokenizer.eoa_id) == (0, 1, 2, 3)
    assert tokenizer.decode(range(8), keep_special=True) == "".join(SPECIAL_TOKENS)


def test_decode_drops_specials_and_ids_past_the_vocabulary(tokenizer: Tokenizer) -> None:
    ids = [1, *tokenizer.encode("ab"), 2, tokenizer.vocab_size, 10**6, 3, 0]
    assert tokenizer.decode(ids) == "ab"
    assert tokenizer.decode([]) == ""


def test_sizes() -> None:
    assert Tokenizer.load("byte").vocab_size == MIN_VOCAB_SIZE == 264
    assert Tokenizer.load("default").vocab_size == 1024


def test_the_byte_tokenizer_has_one_token_a_byte() -> None:
    text = "é\n\tdef 𝔸"
    assert len(Tokenizer.load("byte").encode(text)) == len(text.encode())


@pytest.mark.parametrize("width", [4, 8, 12, 16])
def test_a_newline_and_its_indentation_are_few_tokens(width: int) -> None:
    tokenizer = Tokenizer.load("default")
    ids = tokenizer.encode("\n" + " " * width + "x")
    assert len(ids) == 2
    assert tokenizer.decode(ids[:1]) == "\n" + " " * width


@settings(max_examples=50, deadline=None)
@given(st.text("0123456789 ,.-xx=\n", min_size=1))
def test_digits_are_single_tokens(text: str) -> None:
    tokenizer = Tokenizer.load("default")
    pieces = [tokenizer.decode([i]) for i in tokenizer.encode(text)]
    assert all(len(piece) == 1 for piece in pieces if any(c.isdigit() for c in piece))


def test_training_is_reproducible_and_blind_to_order() -> None:
    shuffled = random.Random(0).sample(TEXTS, len(TEXTS))
    first, second = Tokenizer.train(TEXTS, 300), Tokenizer.train(shuffled, 300)
    assert first.to_json() == second.to_json()
    assert first.sha256 == second.sha256 != Tokenizer.train(TEXTS, 290).sha256
    assert Tokenizer.train(TEXTS, 290).vocab_size == 290


def test_training_learns_merges_inside_pieces_only() -> None:
    tokenizer = Tokenizer.train(TEXTS, 1000)
    assert len(tokenizer.encode(" function")) == 1
    assert len(tokenizer.encode("22")) == 2


@pytest.mark.parametrize("size", [0, 263])
def test_a_vocabulary_that_cannot_hold_the_bytes(size: int) -> None:
    with pytest.raises(ConfigError, match=f"vocab_size {size} is too small.*264"):
        Tokenizer.train(TEXTS, size)


def test_save_and_load_keep_the_identity(tmp_path: Path) -> None:
    tokenizer = Tokenizer.train(TEXTS, 300)
    tokenizer.save(tmp_path / "t" / "tokenizer.json")
    for name in (tmp_path / "t" / "tokenizer.json", str(tmp_path / "t")):
        again = Tokenizer.load(name)
        assert again.sha256 == tokenizer.sha256
        assert again.encode(TEXTS[0]) == tokenizer.encode(TEXTS[0])


def test_the_hash_ignores_how_the_json_is_laid_out() -> None:
    tokenizer = Tokenizer.load("default")
    assert Tokenizer.from_json(json.dumps(json.loads(tokenizer.to_json()), indent=3)).sha256 == tokenizer.sha256


def test_the_json_is_what_the_tokenizers_library_reads() -> None:
    tokenizer = Tokenizer.load("default")
    theirs = tokenizers.Tokenizer.from_str(tokenizer.to_json())
    assert theirs.encode(TEXTS[0]).ids == tokenizer.encode(TEXTS[0])
    assert theirs.token_to_id("<|eoa|>") == tokenizer.eoa_id


def test_hrm_text_names_of_the_special_tokens_are_known() -> None:
    backend = tokenizers.Tokenizer(tokenizers.models.BPE())
    backend.add_special_tokens(["<|im_start|>", "<|im_end|>", "<|box_end|>", "<|endoftext|>"])
    tokenizer = Tokenizer.from_json(backend.to_str())
    assert (tokenizer.boq_id, tokenizer.eoq_id, tokenizer.eoa_id, tokenizer.pad_id) == (0, 1, 2, 3)


def test_what_is_no_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r'no tokenizer at .*nope.*use "default", "byte"'):
        Tokenizer.load(tmp_path / "nope")
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(DatasetError, match=r"not a tokenizer.json: .*bad.json"):
        Tokenizer.load(tmp_path / "bad.json")
    with pytest.raises(DatasetError, match=r'no special token "<\|boq\|>"'):
        Tokenizer.from_json(tokenizers.Tokenizer(tokenizers.models.BPE()).to_str())


def test_half_of_a_surrogate_pair_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(DatasetError, match="cannot be encoded as UTF-8"):
        tokenizer.encode("a\ud800")


def test_the_default_was_not_trained_for_other_texts_only(shared_data: Path) -> None:
    text = "\n".join(json.loads(line)["text"] for line in (shared_data / "mbpp_without_test.jsonl").open())
    assert len(text) / len(Tokenizer.load("default").encode(text)) > 3
