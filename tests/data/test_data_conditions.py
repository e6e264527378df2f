"""Condition tokens: from the configuration into prompts, token files, training, generation and reports."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from tiny import TINY

from hrm_codegen import evaluator, jobs
from hrm_codegen.codegen import HRMCodeGen
from hrm_codegen.config import Config, SampleConfig
from hrm_codegen.data import Problem, TokenFile, Tokenizer, convert_raw_to_bin, encode_prompt, prepare
from hrm_codegen.errors import ConfigError, DatasetError, UsageError
from hrm_codegen.loading import load_model
from hrm_codegen.training.sources import open_train

BYTES = Tokenizer.load("byte")
TASK = Problem(task_id="t/1", text="add one", code="def f(x):\n    return x + 1\n", test_list=("assert f(1) == 2",))
CONFIG = dataclasses.replace(
    TINY, name="run", model=dataclasses.replace(TINY.model, max_seq_len=64), sample=SampleConfig()
)


def with_condition(condition: str) -> Config:
    return dataclasses.replace(CONFIG, data=dataclasses.replace(CONFIG.data, condition=condition))


def test_a_prompt_begins_with_its_conditions_in_order() -> None:
    ids = encode_prompt(BYTES, "x", condition="synth, cot")
    assert BYTES.decode(ids, keep_special=True) == "<|boq|><|synth|><|cot|>x<|eoq|>"
    assert encode_prompt(BYTES, "x", condition="") == encode_prompt(BYTES, "x")


@pytest.mark.parametrize("name", ["nope", "boq", "direct,pad"])
def test_what_is_no_condition_lists_those_there_are(name: str) -> None:
    with pytest.raises(ConfigError, match=r"no condition .*: this tokenizer has direct, cot, synth, noisy$"):
        BYTES.condition_ids(name)


def test_token_files_say_which_they_have(tmp_path: Path) -> None:
    convert_raw_to_bin([TASK], tmp_path / "x.bin", tokenizer="byte", condition="cot")
    file = TokenFile(tmp_path / "x.bin")
    assert file.metadata["condition"] == "cot"
    tokens, prompt_len = file[0]
    assert list(tokens[:3]) == encode_prompt(BYTES, "add one", condition="cot")[:3]
    assert prompt_len == len("add one\nassert f(1) == 2") + 3
    prepare("basics", out=tmp_path, splits=["test"], tokenizer="byte", condition="cot", train_size=10)
    assert TokenFile(tmp_path / "test.bin").metadata["condition"] == "cot"


@pytest.mark.parametrize(("written", "wanted"), [("", "cot"), ("cot", ""), ("cot", "direct")])
def test_training_refuses_prompts_of_another_condition(written, wanted, tmp_path: Path) -> None:
    convert_raw_to_bin([TASK], tmp_path / "x.bin", tokenizer="byte", condition=written)
    with pytest.raises(DatasetError, match=rf"begin with the condition '{written}', data.condition is '{wanted}'"):
        open_train(tmp_path / "x.bin", with_condition(wanted), BYTES, tmp_path / "run")


def test_raw_problems_get_the_condition_of_the_configuration(tmp_path: Path) -> None:
    file = open_train([TASK], with_condition("noisy"), BYTES, tmp_path)
    assert BYTES.decode(file[0][0][:2], keep_special=True) == "<|boq|><|noisy|>"


def test_a_model_is_asked_with_its_condition_or_another(tmp_path: Path) -> None:
    HRMCodeGen.from_config(with_condition("cot")).save_checkpoint(tmp_path / "best.pt")
    path = str(tmp_path / "best.pt")
    assert load_model(path)._encode(["x"], None)[0] == [encode_prompt(BYTES, "x", condition="cot")]
    assert load_model(path, condition="")._encode(["x"], None)[0] == [encode_prompt(BYTES, "x")]
    with pytest.raises(ConfigError, match="no condition 'nope'"):
        jobs.generate(ckpt=path, prompts=["x"], condition="nope")


def test_baselines_have_no_condition() -> None:
    with pytest.raises(UsageError, match="is asked in its own way"):
        load_model("hf:gpt2", condition="cot")


def test_a_report_says_how_the_model_was_asked() -> None:
    model = HRMCodeGen.from_config(with_condition("synth,cot"))
    result = evaluator.evaluate(model, [TASK], k=1, max_tokens=2)
    assert result.settings["condition"] == "synth,cot"
