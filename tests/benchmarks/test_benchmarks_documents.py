"""The documents of `python -m benchmarks.speed --only rows`: half MBPP, or said to be without it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.speed.engines.exporter import Exporter
from hrm_codegen.data import TokenFile, Tokenizer
from hrm_codegen.data.basics import generate
from hrm_codegen.data.readers import basics


@pytest.fixture(autouse=True)
def few_basics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(basics, "generate", lambda **_: generate(train_size=10, eval_size=3))


def adding(i: int) -> dict[str, object]:
    """Returns a row of MBPP's training split."""
    code = f"def of_mbpp_{i}(x):\n    return x + {i}\n"
    return {"task_id": 600 + i, "text": f"Add {i}.", "code": code, "test_list": [f"assert of_mbpp_{i}(0) == {i}"]}


def written(path: Path, count: int) -> tuple[str, list[str]]:
    source = Exporter().write_documents(str(path), count, None)
    file, tokenizer = TokenFile(path), Tokenizer.load("default")
    return source, [tokenizer.decode(file[index][0].tolist()) for index in range(len(file))]


def test_half_of_the_documents_are_mbpps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mbpp = tmp_path / "mbpp.jsonl"
    mbpp.write_text("".join(json.dumps(adding(i)) + "\n" for i in range(1, 6)))
    monkeypatch.setenv("HRM_CODEGEN_MBPP_URL", mbpp.as_uri())
    source, texts = written(tmp_path / "documents.bin", 6)
    assert "MBPP's" in source
    assert len(texts) == 6
    assert sum("def of_mbpp_" in text for text in texts) == 3


def test_without_mbpp_all_documents_are_of_basics_and_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HRM_CODEGEN_MBPP_URL", (tmp_path / "none.jsonl").as_uri())
    source, texts = written(tmp_path / "documents.bin", 6)
    assert "without MBPP" in source
    assert len(texts) == 6
    assert "none.jsonl" in capsys.readouterr().err
