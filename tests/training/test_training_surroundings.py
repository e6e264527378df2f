"""Data sources, W&B, signals, advice on memory: what surrounds the loop."""

from __future__ import annotations

import dataclasses
import json
import signal
import sys
import threading
import types

import jax
import numpy as np
import pytest

from hrm_codegen.config import Config, DataConfig, MeshConfig, ModelConfig, TrainConfig
from hrm_codegen.data import TokenFile, Tokenizer, encode_example, load_problems, write_token_file
from hrm_codegen.errors import ConfigError, DatasetError
from hrm_codegen.training import memory
from hrm_codegen.training.sources import find_tokenizer, open_eval, open_train
from hrm_codegen.training.stop import StopRequest
from hrm_codegen.training.wandb_writer import WandbWriter, choose_mode, open_wandb

ROWS = [{"text": "one", "code": "def one():\n    return 1", "test_list": ["assert one() == 1"]}]
CONFIG = Config(
    model=ModelConfig(vocab_size=264, hidden_dim=8, num_heads=2),
    data=DataConfig(tokenizer="byte"),
    train=TrainConfig(num_steps=1, batch_size=8),
)
BYTES = Tokenizer.load("byte")
DEFAULT = dataclasses.replace(CONFIG, model=dataclasses.replace(CONFIG.model, vocab_size=1024))


def written(path, *, tokenizer=BYTES, prompt_tests=1):
    examples = [encode_example(tokenizer, problem, num_tests=prompt_tests) for problem in load_problems(ROWS)]
    write_token_file(path, examples, tokenizer=tokenizer, metadata={"prompt_tests": str(prompt_tests)})
    return path


@pytest.mark.parametrize("form", ["rows", "json", "jsonl", "bin", "token_file", "config"])
def test_every_form_of_data_gives_the_same_tokens(form, tmp_path):
    (tmp_path / "rows.json").write_text(json.dumps(ROWS))
    (tmp_path / "rows.jsonl").write_text(json.dumps(ROWS[0]))
    path = written(tmp_path / "data.bin")
    config = dataclasses.replace(CONFIG, data=dataclasses.replace(CONFIG.data, train=str(path)))
    source = {
        "rows": ROWS, "json": str(tmp_path / "rows.json"), "jsonl": tmp_path / "rows.jsonl", "bin": path,
        "token_file": TokenFile(path), "config": None,
    }[form]  # fmt: skip
    assert find_tokenizer(source, config).sha256 == BYTES.sha256
    np.testing.assert_array_equal(open_train(source, config, BYTES, tmp_path)[0][0], TokenFile(path)[0][0])


def test_a_token_file_brings_its_tokenizer(tmp_path):
    path = written(tmp_path / "data.bin", tokenizer=Tokenizer.load("default"))
    assert find_tokenizer(path, CONFIG).sha256 == Tokenizer.load("default").sha256


def test_no_validation_data_is_no_error(tmp_path):
    assert open_eval(None, CONFIG, BYTES, tmp_path) is None


@pytest.mark.parametrize(
    ("path", "command"),
    [
        ("data/mbpp/train.bin", "hrm-codegen data mbpp --split train"),
        ("my.bin", "hrm-codegen data convert PROBLEMS.json my.bin"),
    ],
)
def test_a_missing_file_names_the_command_that_makes_it(path, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DatasetError) as error:
        find_tokenizer(path, CONFIG)
    assert str(error.value) == f'no file "{path}": make it with `{command}`'


def test_another_tokenizer_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="was made with another tokenizer"):
        open_train(written(tmp_path / "data.bin", tokenizer=Tokenizer.load("default")), DEFAULT, BYTES, tmp_path)


def test_another_prompt_protocol_is_refused(tmp_path):
    with pytest.raises(
        DatasetError, match=r"shows 2 tests in its prompts, data\.prompt_tests is 1: set data\.prompt_tests=2"
    ):
        open_train(written(tmp_path / "data.bin", prompt_tests=2), CONFIG, BYTES, tmp_path)


def test_a_vocabulary_smaller_than_the_tokenizer_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"set model\.vocab_size=1024"):
        open_train(ROWS, CONFIG, Tokenizer.load("default"), tmp_path)


def test_a_raw_stream_has_to_fit_the_vocabulary(tmp_path):
    np.array([1, 2, 263], "<u2").tofile(tmp_path / "good.bin")
    np.array([1, 2, 264], "<u2").tofile(tmp_path / "bad.bin")
    assert open_train(tmp_path / "good.bin", CONFIG, BYTES, tmp_path).is_stream
    with pytest.raises(DatasetError, match=r"has token 264, model\.vocab_size is 264"):
        open_train(tmp_path / "bad.bin", CONFIG, BYTES, tmp_path)


def test_rows_without_code_are_refused(tmp_path):
    with pytest.raises(DatasetError, match='row 1 has no "code"'):
        open_train([{"text": "x", "test_list": []}], CONFIG, BYTES, tmp_path)


@pytest.mark.parametrize(
    ("requested", "environ", "mode"),
    [
        ("auto", {}, "offline"),
        ("auto", {"WANDB_API_KEY": "k"}, "online"),
        ("auto", {"WANDB_API_KEY": "k", "WANDB_MODE": "offline"}, "offline"),
        ("auto", {"WANDB_API_KEY": "k", "WANDB_DISABLED": "true"}, "disabled"),
        ("auto", {"WANDB_MODE": "dryrun"}, "offline"),
        ("online", {}, "online"),
        ("online", {"WANDB_MODE": "disabled"}, "disabled"),
        ("disabled", {"WANDB_MODE": "online", "WANDB_API_KEY": "k"}, "disabled"),
    ],
)
def test_how_wandb_runs(requested, environ, mode, tmp_path):
    assert choose_mode(requested, environ, home=tmp_path).mode == mode


def test_a_login_is_found_in_netrc(tmp_path):
    (tmp_path / ".netrc").write_text("machine api.wandb.ai login user password key\n")
    assert choose_mode("auto", {}, home=tmp_path).mode == "online"
    (tmp_path / ".netrc").write_text("machine elsewhere login user password key\n")
    assert choose_mode("auto", {}, home=tmp_path).mode == "offline"


class FakeRun:
    id = "abc123"
    dir = "wandb/offline-run-abc123/files"
    url = "https://wandb.example/runs/abc123"

    def __init__(self):
        self.calls = []

    def log(self, metrics, step):
        if metrics.get("loss") == 13:
            raise ConnectionError("no network")
        self.calls.append((step, metrics))

    def finish(self):
        self.calls.append("finish")


@pytest.fixture
def wandb(monkeypatch):
    """A fake `wandb` module in offline mode."""
    module = types.ModuleType("wandb")
    module.__spec__ = types.SimpleNamespace(name="wandb")
    module.run, module.arguments = FakeRun(), {}
    module.init = lambda **arguments: module.arguments.update(arguments) or module.run
    monkeypatch.setitem(sys.modules, "wandb", module)
    monkeypatch.setenv("WANDB_MODE", "offline")
    return module


def test_a_wandb_run_is_continued_by_its_id(wandb, caplog):
    with caplog.at_level("INFO", logger="hrm_codegen.training"):
        writer = open_wandb(CONFIG, run_name="mbpp-1", run_id="abc123")
    assert (wandb.arguments["id"], wandb.arguments["resume"], wandb.arguments["mode"]) == ("abc123", "allow", "offline")
    assert wandb.arguments["config"]["model"]["hidden_dim"] == 8
    assert writer.run_id == "abc123"
    assert len(caplog.records) == 1
    assert "`wandb sync wandb/offline-run-abc123`" in caplog.text
    assert "--no-wandb" in caplog.text
    writer.write(3, {"loss": 1.0})
    writer.close()
    assert wandb.run.calls == [(3, {"loss": 1.0}), "finish"]


def test_an_online_wandb_run_says_where(wandb, caplog, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "online")
    with caplog.at_level("INFO", logger="hrm_codegen.training"):
        open_wandb(CONFIG, run_name="mbpp-1", run_id=None)
    assert "live at https://wandb.example/runs/abc123" in caplog.text


def test_a_broken_wandb_never_stops_training(wandb, caplog):
    writer = WandbWriter(wandb.run)
    for loss in (13.0, 1.0):
        writer.write(1, {"loss": loss})
    writer.close()
    assert wandb.run.calls == []
    assert caplog.text.count("training goes on") == 1

    def fail(**_):
        raise RuntimeError("no server")

    wandb.init = fail
    assert open_wandb(CONFIG, run_name="x", run_id=None) is None
    assert "could not start" in caplog.text


def test_without_wandb_one_line_says_so(monkeypatch, caplog):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with caplog.at_level("INFO", logger="hrm_codegen.training"):
        assert open_wandb(CONFIG, run_name="x", run_id=None) is None
    assert 'pip install "hrm-codegen[wandb]"' in caplog.text


def test_a_disabled_wandb_is_not_imported(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)  # an import would fail
    config = dataclasses.replace(CONFIG, train=dataclasses.replace(CONFIG.train, wandb="disabled"))
    assert open_wandb(config, run_name="x", run_id=None) is None


def test_a_time_limit_is_a_reason():
    now = [0.0]
    with StopRequest(time_limit_minutes=2.0, clock=lambda: now[0]) as stop:
        assert stop.reason is None
        now[0] = 121.0
        assert stop.reason == "time limit"


def test_signals_are_answered_once_and_handlers_come_back():
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with StopRequest() as stop:
        signal.raise_signal(signal.SIGTERM)
        assert stop.reason == "SIGTERM"
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_other_threads_install_no_handlers():
    before, found = signal.getsignal(signal.SIGTERM), []

    def work():
        with StopRequest() as stop:
            found.append((signal.getsignal(signal.SIGTERM), stop.reason))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [(before, None)]


def test_advice_keeps_the_global_batch_and_the_mesh():
    assert memory.smaller_microbatch(CONFIG).train.grad_accum == 2
    assert memory.smaller_microbatch(dataclasses.replace(CONFIG, mesh=MeshConfig(data=8))) is None
    odd = dataclasses.replace(CONFIG, train=dataclasses.replace(CONFIG.train, batch_size=7))
    assert memory.smaller_microbatch(odd) is None
    saving = dataclasses.replace(odd, model=dataclasses.replace(odd.model, gradient_checkpointing=True))
    assert "--set data.seq_len=128" in str(memory.out_of_memory(saving))


def test_only_exhausted_resources_are_out_of_memory():
    with pytest.raises(jax.errors.JaxRuntimeError) as error:
        jax.block_until_ready(jax.jit(lambda: jax.numpy.ones(1 << 42))())
    assert memory.is_out_of_memory(error.value)
    assert not memory.is_out_of_memory(jax.errors.JaxRuntimeError("INVALID_ARGUMENT: shapes"))
