"""Prepared files: the right splits, byte for byte the same every time, written whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import hrm_codegen as hc
from hrm_codegen.data.inspection import describe, peek
from hrm_codegen.data.preparation import convert_raw_to_bin, prepare, prepare_humaneval, prepare_mbpp
from hrm_codegen.data.problems import load_problems
from hrm_codegen.data.prompts import decode_answer, encode_example
from hrm_codegen.data.token_file import TokenFile
from hrm_codegen.data.tokenizer import Tokenizer
from hrm_codegen.errors import DatasetError, UsageError


def task(number: int, **fields: object) -> dict[str, object]:
    tests = [f"assert f{number}({i}) == {i + number}" for i in range(3)]
    return {
        "text": f"Write a function to add {number}.",
        "code": f"def f{number}(x):\r\n\treturn x + {number} \r\n",
        "task_id": number,
        "test_setup_code": "",
        "test_list": tests,
        "challenge_test_list": [],
        **fields,
    }


@pytest.fixture
def mbpp(tmp_path: Path) -> Path:
    """A file in MBPP's format with some tasks of every split; the tasks are made up."""
    path = tmp_path / "mbpp.jsonl"
    path.write_text("".join(json.dumps(task(n)) + "\n" for n in (1, 10, 11, 510, 511, 600, 601, 602, 974)))
    return path


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_mbpp_is_split_by_task_id(mbpp: Path, tmp_path: Path) -> None:
    reports = prepare_mbpp(tmp_path / "out", source=mbpp, tokenizer="byte")
    assert {r.split: r.problems for r in reports} == {"train": 3, "validation": 2, "test": 2, "prompt": 2}
    assert set(files(tmp_path / "out")) == {
        f"{split}{end}" for split in ("train", "validation", "test", "prompt") for end in (".bin", "_raw.json")
    }
    raw = load_problems(tmp_path / "out" / "test_raw.json")
    assert [(p.task_id, p.split, p.source) for p in raw] == [("mbpp/11", "test", "mbpp"), ("mbpp/510", "test", "mbpp")]
    assert raw[0].code == "def f11(x):\n    return x + 11"


def test_the_token_file_holds_prompt_and_code(mbpp: Path, tmp_path: Path) -> None:
    (report,) = prepare_mbpp(tmp_path, source=mbpp, splits=["train"], prompt_tests=2)
    file = TokenFile(report.path)
    tokenizer = file.tokenizer
    assert tokenizer is not None
    assert tokenizer.sha256 == Tokenizer.load("default").sha256
    tokens, prompt_len = file[1]
    assert tokenizer.decode(tokens[:prompt_len]) == (
        "Write a function to add 602.\nassert f602(0) == 602\nassert f602(1) == 603"
    )
    assert decode_answer(tokenizer, tokens[prompt_len:]) == "def f602(x):\n    return x + 602"
    assert report.tokens == file.num_tokens
    expected = {"source": "mbpp", "split": "train", "prompt_tests": "2", "num_skipped": "0"}
    assert expected.items() <= file.metadata.items()
    assert file.metadata["tool_version"] == hc.__version__


def test_the_same_call_writes_nothing_and_elsewhere_the_same_bytes(mbpp: Path, tmp_path: Path) -> None:
    first = prepare_mbpp(tmp_path / "a", source=mbpp)
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "a").iterdir()}
    again = prepare_mbpp(tmp_path / "a", source=mbpp)
    assert not any(r.up_to_date for r in first)
    assert all(r.up_to_date for r in again)
    assert [(r.problems, r.tokens) for r in again] == [(r.problems, r.tokens) for r in first]
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "a").iterdir()} == stamps
    prepare_mbpp(tmp_path / "b", source=mbpp)
    assert files(tmp_path / "a") == files(tmp_path / "b")


@pytest.mark.parametrize("change", ["source", "prompt_tests", "tokenizer", "torn", "raw", "version"])
def test_whatever_changes_is_made_again(
    mbpp: Path, tmp_path: Path, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"

    def run(**options: object) -> bool:
        (report,) = prepare_mbpp(out, source=mbpp, splits=["train"], **{"tokenizer": "byte", **options})
        return report.up_to_date

    run()
    wanted = files(out)
    options: dict[str, object] = {}
    if change == "source":
        mbpp.write_text(mbpp.read_text().replace("add 601", "plus 601"))
    elif change == "prompt_tests":
        options["prompt_tests"] = 3
    elif change == "tokenizer":
        options["tokenizer"] = Tokenizer.train(["def f():"] * 3, 266)
    elif change == "torn":
        (out / "train.bin").write_bytes(wanted["train.bin"][:100])
    elif change == "raw":
        (out / "train_raw.json").write_text("[]")
    else:
        monkeypatch.setattr("hrm_codegen.data.preparation.__version__", "9.9")
        monkeypatch.setattr("hrm_codegen.data.token_writer.__version__", "9.9")
    assert not run(**options)
    assert run(**options)
    assert (files(out) == wanted) == (change in ("torn", "raw"))


def test_splits_that_are_unknown_or_not_in_the_file(mbpp: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r'"mbpp" has no split "tran" — did you mean "train"\? \(splits: train, '):
        prepare_mbpp(tmp_path, source=mbpp, splits=["tran"])
    mbpp.write_text(json.dumps(task(601)) + "\n")
    assert [r.split for r in prepare_mbpp(tmp_path / "out", source=mbpp)] == ["train"]
    with pytest.raises(DatasetError, match=r'no problem of split "test" in .*mbpp\.jsonl'):
        prepare_mbpp(tmp_path, source=mbpp, splits=["test"])


@pytest.mark.parametrize("task_id", [0, 975, "x", None])
def test_rows_that_are_none_of_mbpps(tmp_path: Path, task_id: object) -> None:
    (tmp_path / "m.jsonl").write_text(json.dumps(task(1)) + "\n" + json.dumps(task(2, task_id=task_id)) + "\n")
    with pytest.raises(DatasetError, match=r'row 2 has the task_id ".*", MBPP has 1 to 974'):
        prepare_mbpp(tmp_path / "out", source=tmp_path / "m.jsonl")


def test_the_developers_mbpp_is_prepared_and_its_raw_file_is_a_source(shared_data: Path, tmp_path: Path) -> None:
    reports = prepare_mbpp(tmp_path / "a", source=shared_data / "mbpp_without_test.jsonl")
    assert {r.split: r.problems for r in reports} == {"train": 374, "validation": 90, "prompt": 10}
    for report in reports:
        again = prepare_mbpp(tmp_path / "b", source=tmp_path / "a" / f"{report.split}_raw.json")
        assert again[0].tokens == report.tokens
    sanitized = prepare_mbpp(tmp_path / "c", source=shared_data / "sanitized-mbpp_without_test.json")
    assert {r.split: r.problems for r in sanitized} == {"train": 120, "validation": 43, "prompt": 7}


def test_mbpp_from_a_file_url(mbpp: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HRM_CODEGEN_MBPP_URL", mbpp.as_uri())
    prepare_mbpp(tmp_path / "url", splits=["test", "test"])
    prepare_mbpp(tmp_path / "file", source=mbpp, splits=["test"])
    assert files(tmp_path / "url") == files(tmp_path / "file")


def test_humaneval_warns_of_contamination(shared_data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (report,) = prepare_humaneval(tmp_path, source=shared_data / "HumanEval_first20.jsonl.gz")
    assert (report.split, report.problems) == ("test", 20)
    assert "contamination" in caplog.text
    assert load_problems(tmp_path / "test_raw.json")[0].prompt_code.startswith("from typing")


def test_rows_without_code_are_kept_for_evaluation_and_counted(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text(
        "".join(json.dumps(task(n, code=code)) + "\n" for n, code in ((11, ""), (12, "x")))
    )
    (report,) = prepare_mbpp(tmp_path / "out", source=tmp_path / "m.jsonl")
    assert (report.problems, report.skipped) == (1, 1)
    assert len(load_problems(tmp_path / "out" / "test_raw.json")) == 2
    assert len(TokenFile(report.path)) == 1
    (tmp_path / "m.jsonl").write_text(json.dumps(task(11, code=None)) + "\n")
    with pytest.raises(DatasetError, match='no problem of mbpp test has "code"'):
        prepare_mbpp(tmp_path / "none", source=tmp_path / "m.jsonl")
    assert not (tmp_path / "none").exists()


def test_an_unknown_option(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unexpected keyword argument 'levels'"):
        prepare("mbpp", out=tmp_path, levels=2)


@pytest.mark.parametrize("form", ["array", "lines", "humaneval"])
def test_convert_makes_the_same_of_every_form(tmp_path: Path, form: str) -> None:
    rows = [task(1), task(2)]
    if form == "humaneval":
        stub = {"prompt": "def f():\n", "canonical_solution": "    return 1\n", "test": "def check(c): pass"}
        rows = [{**stub, "task_id": f"mine/{i}", "entry_point": "f"} for i in range(2)]
    text = json.dumps(rows) if form == "array" else "\n".join(map(json.dumps, rows))
    (tmp_path / "custom_raw.json").write_text(text)
    report = convert_raw_to_bin(tmp_path / "custom_raw.json", tmp_path / "custom.bin")
    tokenizer = Tokenizer.load("default")
    file = TokenFile(report.path)
    for i, problem in enumerate(load_problems(rows)):
        tokens, prompt_len = encode_example(tokenizer, problem, num_tests=1)
        assert (file[i][0].tolist(), file[i][1]) == (tokens, prompt_len)
    assert (report.problems, report.tokens, report.up_to_date) == (2, file.num_tokens, False)
    assert file.metadata["source"] == "custom_raw.json"
    assert convert_raw_to_bin(tmp_path / "custom_raw.json", tmp_path / "custom.bin").up_to_date


def test_convert_takes_rows_in_memory(tmp_path: Path) -> None:
    assert convert_raw_to_bin([task(1)], tmp_path / "x.bin", tokenizer="byte", prompt_tests=0).problems == 1
    assert peek(tmp_path / "x.bin") == ["<|boq|>Write a function to add 1.<|eoq|>def f1(x):\n    return x + 1<|eoa|>"]


def test_convert_refuses_rows_that_cannot_be_trained_on(tmp_path: Path) -> None:
    (tmp_path / "raw.json").write_text(json.dumps([{"text": "t", "test_list": []}]))
    with pytest.raises(DatasetError, match=r'^row 1 has no "code"'):
        convert_raw_to_bin(tmp_path / "raw.json", tmp_path / "x.bin")
    assert not (tmp_path / "x.bin").exists()
    with pytest.raises(UsageError, match="the same file"):
        convert_raw_to_bin(tmp_path / "raw.json", tmp_path / "." / "raw.json")


def test_describe_and_peek(mbpp: Path, tmp_path: Path) -> None:
    prepare_mbpp(tmp_path / "out", source=mbpp, splits=["train"], tokenizer="byte")
    facts = describe(tmp_path / "out" / "train.bin")
    file = TokenFile(tmp_path / "out" / "train.bin")
    lengths = sorted(len(file[i][0]) for i in range(3))
    assert json.loads(json.dumps(facts)) == facts
    assert (facts["kind"], facts["documents"], facts["tokens"]) == ("token file", 3, sum(lengths))
    assert facts["prompt_tokens"] == sum(file[i][1] for i in range(3))
    assert (facts["document_length"]["p50"], facts["document_length"]["max"]) == (lengths[1], lengths[2])
    assert (facts["vocab_size"], facts["dtype"], facts["prompt_tests"], facts["split"]) == (264, "uint16", 1, "train")
    assert "tokenizer" not in facts
    shown = peek(tmp_path / "out" / "train.bin", 2)
    assert len(shown) == 2
    assert shown[0].startswith("<|boq|>Write a function to add 601.\nassert")
    assert len(peek(tmp_path / "out" / "train.bin", 99)) == 3


def test_describe_and_peek_of_problems(mbpp: Path) -> None:
    facts = describe(mbpp)
    assert (facts["kind"], facts["problems"], facts["with_code"], facts["tests"]) == ("problems", 9, 9, 27)
    assert peek(mbpp, 1) == [
        "Write a function to add 1.\nassert f1(0) == 1\nassert f1(1) == 2\nassert f1(2) == 3\n\n"
        "def f1(x):\n    return x + 1"
    ]
    with pytest.raises(UsageError, match="cannot show -1"):
        peek(mbpp, -1)


def test_describe_and_peek_of_a_raw_stream(tmp_path: Path) -> None:
    (tmp_path / "gpt.bin").write_bytes(bytes([1, 0]) * 40)
    facts = describe(tmp_path / "gpt.bin")
    assert (facts["kind"], facts["documents"], facts["tokens"]) == ("raw token stream", 1, 40)
    assert peek(tmp_path / "gpt.bin", 5) == [" ".join("1" * 32), " ".join("1" * 8)]


def test_describe_of_an_empty_token_file(tmp_path: Path) -> None:
    hc.data.write_token_file(tmp_path / "x.bin", [], tokenizer=Tokenizer.load("byte"), metadata={})
    facts = describe(tmp_path / "x.bin")
    assert (facts["documents"], facts["tokens"]) == (0, 0)
    assert "document_length" not in facts
