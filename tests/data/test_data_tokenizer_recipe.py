"""The recipe of the bundled tokenizer: its corpus, and that it fills the vocabulary."""

from __future__ import annotations

import sys

import pytest

from hrm_codegen.data import tokenizer_recipe
from hrm_codegen.data.problem import Problem
from hrm_codegen.data.tokenizer import Tokenizer
from hrm_codegen.data.tokenizer_recipe import corpus, train_default

PROBLEM = Problem(task_id="1", text="Zebra.", code="def zebra(): pass", test_list=("assert zebra() is None",))


def test_the_corpus_has_problems_sentences_and_the_library() -> None:
    texts = list(corpus([PROBLEM]))
    assert texts.count("Zebra.\nassert zebra() is None\ndef zebra(): pass") == 1
    assert any("def heappush" in text for text in texts)
    assert not any("{}" in text for text in texts[: len(tokenizer_recipe._TASKS)])


def test_every_module_of_the_recipe_exists(caplog: pytest.LogCaptureFixture) -> None:
    list(corpus([]))
    assert caplog.text == ""


def test_a_missing_module_is_named(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(tokenizer_recipe, "STDLIB_MODULES", ("gone.py",))
    list(corpus([]))
    assert "this Python has no gone.py" in caplog.text


def test_the_recipe_fills_the_vocabulary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizer_recipe, "generate", lambda **_: {"train": [PROBLEM]})
    assert train_default().vocab_size == tokenizer_recipe.DEFAULT_VOCAB_SIZE == 1024


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the library's sources differ")
def test_the_recipe_gives_the_bundled_tokenizer() -> None:
    assert train_default().sha256 == Tokenizer.load("default").sha256
