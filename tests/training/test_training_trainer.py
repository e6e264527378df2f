"""The trainer from end to end, on a handful of problems and a model of a few thousand parameters."""

from __future__ import annotations

import dataclasses
import json
import os
import signal

import jax
import numpy as np
import pytest

from hrm_codegen.codegen import HRMCodeGen
from hrm_codegen.config import Config, DataConfig, MeshConfig, ModelConfig, OptimConfig, TrainConfig, load, to_dict
from hrm_codegen.data import Tokenizer
from hrm_codegen.errors import CheckpointError, ConfigError, DatasetError, OutOfMemoryError, TrainingError
from hrm_codegen.training import CheckpointStore, Trainer
from hrm_codegen.training import trainer as trainer_module

ROWS = [
    {"text": f"add {n}", "code": f"def add(a):\n    return a + {n}", "test_list": [f"assert add(1) == {n + 1}"]}
    for n in range(12)
]
EVAL_ROWS = ROWS[:3]
# The trainer does not know the core; the cheapest to compile stands for all but where passes matter.
CONFIG = Config(
    name="tiny",
    model=ModelConfig(
        core="transformer", vocab_size=264, hidden_dim=16, num_heads=2, intermediate_dim=32, layers_per_stack=1,
        max_seq_len=128,
    ),
    data=DataConfig(tokenizer="byte", seq_len=96),
    optim=OptimConfig(lr=1e-2, warmup_steps=2, ema_decay=0.9),
    mesh=MeshConfig(data=1),
    train=TrainConfig(
        num_steps=6, batch_size=2, bp_warmup_ratio=0.5, log_every=2, eval_every=3, checkpoint_every=100,
        wandb="disabled",
    ),
)  # fmt: skip
HRM = dataclasses.replace(CONFIG, model=dataclasses.replace(CONFIG.model, core="hrm", h_cycles=1, l_cycles=2))


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def with_train(config: Config = CONFIG, **fields) -> Config:
    return dataclasses.replace(config, train=dataclasses.replace(config.train, **fields))


def with_section(section: str, **fields) -> Config:
    return dataclasses.replace(CONFIG, **{section: dataclasses.replace(getattr(CONFIG, section), **fields)})


class Spy:
    """A callback that does something at one step and remembers what it saw."""

    def __init__(self, action=lambda: None, *, at: int = 3):
        self.action, self.at, self.seen = action, at, []

    def on_eval(self, step, model, metrics):
        self.seen.append((step, model, dict(metrics)))
        if step == self.at:
            self.action()
        return {"answer": 42}


def lines(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def latest_state(run_dir, trainer):
    """Reads the newest full-state checkpoint of a run."""
    setup = trainer_module.make_setup(trainer.config, trainer._train_file, None)
    with CheckpointStore(run_dir / "state", keep=2) as store:
        return store.restore(setup.abstract_state, iter(setup.train_data))


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)


def test_a_run_returns_floats_and_leaves_its_files(tmp_path):
    spy = Spy()
    trainer = Trainer(None, ROWS, EVAL_ROWS, with_train(out_dir="out"), callbacks=[spy])
    first = jax.tree.map(np.array, trainer.model.params)
    metrics = trainer.fit()
    assert all(type(value) is float for value in metrics.values())
    assert {"train_loss", "eval_loss", "best_loss", "best_step", "tokens", "tokens_per_sec"} <= set(metrics)
    assert metrics["steps"] == 6.0
    assert metrics["eval_loss"] < np.log(264)
    assert load(tmp_path / "out" / "config.yaml") == trainer.config
    logged = lines(tmp_path / "out" / "metrics.jsonl")
    assert [line["step"] for line in logged if "loss" in line] == [2, 4, 6]
    assert [line["eval_loss"] for line in logged if "eval_loss" in line][-1] == metrics["eval_loss"]
    assert logged[-1]["answer"] == 42
    assert [step for step, _, _ in spy.seen] == [3, 6]
    # Afterwards the model is the best one, and so is the file.
    again = HRMCodeGen.from_pretrained(tmp_path / "out" / "best.pt")
    assert again.metadata["step"] == metrics["best_step"] == trainer.model.metadata["step"]
    jax.tree.map(np.testing.assert_array_equal, again.params, trainer.model.params)
    assert not np.array_equal(again.params["embed"][...], first["embed"][...])
    # What a callback gets is the averaged model of its moment, which is the best one here.
    jax.tree.map(np.testing.assert_array_equal, spy.seen[-1][1].params, trainer.model.params)


def test_resuming_is_bitwise_the_same_as_not_stopping(tmp_path):
    # The number of passes grows from 2 to 3 at the step where the first part stops.
    whole = Trainer(None, ROWS, EVAL_ROWS, with_train(HRM, bp_min=2, bp_max=3, out_dir="whole"))
    expected = whole.fit()
    first = Trainer(
        None, ROWS, EVAL_ROWS, with_train(HRM, bp_min=2, bp_max=3, out_dir="parts"), callbacks=[Spy(terminate)]
    )
    handler = signal.getsignal(signal.SIGTERM)
    assert first.fit()["steps"] == 4.0  # the signal came after step 3, before step 4
    assert signal.getsignal(signal.SIGTERM) is handler
    assert (tmp_path / "parts" / "best.pt").exists()
    metrics = Trainer(None, ROWS, EVAL_ROWS, with_train(HRM, bp_min=2, bp_max=3, out_dir="parts")).fit(resume=True)
    for name in ("train_loss", "eval_loss", "best_loss", "tokens", "steps"):
        assert metrics[name] == expected[name], name
    one, two = latest_state(tmp_path / "whole", whole), latest_state(tmp_path / "parts", whole)
    assert one.step == two.step == 6
    for path, leaf in jax.tree.leaves_with_path(one.state):
        other = dict(jax.tree.leaves_with_path(two.state))[path]
        np.testing.assert_array_equal(leaf, other, err_msg=jax.tree_util.keystr(path))


def test_a_checkpoint_resumes_on_another_mesh(tmp_path):
    Trainer(None, ROWS, None, with_train(out_dir="out", num_steps=2)).fit()
    wide = dataclasses.replace(with_train(out_dir="out", num_steps=3), mesh=MeshConfig(data=1, fsdp=2))
    assert Trainer(None, ROWS, None, wide).fit(resume="out")["steps"] == 3.0


def test_default_runs_are_numbered_and_publish_their_best(tmp_path):
    config = with_train(num_steps=1)
    Trainer(None, ROWS, None, config).fit()
    Trainer(None, ROWS, None, config).fit()
    runs = tmp_path / "checkpoints"
    assert sorted(path.name for path in runs.iterdir()) == ["best.pt", "tiny-1", "tiny-2"]
    assert (runs / "best.pt").read_bytes() == (runs / "tiny-2" / "best.pt").read_bytes()
    assert Trainer(None, ROWS, None, with_train(num_steps=2)).fit(resume=True)["steps"] == 2.0
    assert lines(runs / "tiny-2" / "metrics.jsonl")[-1]["step"] == 2


def test_the_wandb_run_survives_a_restart(monkeypatch):
    ids = []

    class Writer:
        run_id = "abc123"

        def write(self, step, metrics):
            pass

        def close(self):
            pass

    monkeypatch.setattr(
        trainer_module, "open_wandb", lambda config, *, run_name, run_id: ids.append(run_id) or Writer()
    )
    Trainer(None, ROWS, None, with_train(out_dir="out", num_steps=1)).fit()
    Trainer(None, ROWS, None, with_train(out_dir="out", num_steps=2)).fit(resume=True)
    assert ids == [None, "abc123"]


def test_a_loss_that_is_not_finite_names_the_step():
    trainer = Trainer(None, ROWS, None, with_train(out_dir="out"))
    trainer.model.params["head"][...] = trainer.model.params["head"][...].at[0, 0].set(np.nan)
    with pytest.raises(TrainingError, match=r"loss is not finite at step 1 .*\ntry: --set optim.lr=0.005"):
        trainer.fit()


def test_a_second_fresh_run_into_one_folder_is_refused():
    config = with_train(out_dir="out", num_steps=1)
    Trainer(None, ROWS, None, config).fit()
    with pytest.raises(CheckpointError, match='"out" holds a run at step 1: --resume continues it'):
        Trainer(None, ROWS, None, config).fit()


@pytest.mark.parametrize(
    ("section", "fields", "message"),
    [
        ("model", {"hidden_dim": 32}, "another model .*hidden_dim is 16, not 32"),
        ("optim", {"name": "adamw"}, "optim.name=adam_atan2"),
        ("optim", {"ema_decay": 0.0}, "optim.ema_decay=0.9"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(section, fields, message):
    Trainer(None, ROWS, None, with_train(out_dir="out", num_steps=1)).fit()
    other = with_train(with_section(section, **fields), out_dir="out")
    with pytest.raises(CheckpointError, match=message):
        Trainer(None, ROWS, None, other).fit(resume=True)


def test_a_given_model_is_fine_tuned_from_its_weights():
    config = with_train(out_dir="out", num_steps=1)
    config = dataclasses.replace(config, optim=dataclasses.replace(config.optim, lr=1e-9, ema_decay=0.0))
    model = HRMCodeGen.from_config(config, Tokenizer.load("byte"), seed=7)
    before = jax.tree.map(np.array, model.params)
    trainer = Trainer(model, ROWS, None, config)
    trainer.fit()
    assert trainer.model is model
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), jax.tree.map(np.array, model.params), before)
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(model.params))


def test_a_given_model_of_another_size_is_refused():
    model = HRMCodeGen.from_config(with_section("model", hidden_dim=32), Tokenizer.load("byte"))
    with pytest.raises(ConfigError, match=r"model\.hidden_dim is 32, not 16"):
        Trainer(model, ROWS, None, CONFIG)


def test_a_given_model_may_be_trained_with_more_cycles(caplog):
    model = HRMCodeGen.from_config(HRM, Tokenizer.load("byte"))
    more = dataclasses.replace(HRM, model=dataclasses.replace(HRM.model, h_cycles=2))
    Trainer(model, ROWS, None, more)
    assert "model.h_cycles is 1, not 2" in caplog.text


def test_configurations_come_in_four_forms(tmp_path):
    ml_collections = pytest.importorskip("ml_collections")
    tree = to_dict(CONFIG)
    (tmp_path / "tiny.yaml").write_text(json.dumps(tree))
    forms = (CONFIG, tree, ml_collections.ConfigDict(tree), tmp_path / "tiny.yaml", "tiny.yaml")
    for form in forms:
        assert Trainer(None, ROWS, None, form).config.model == CONFIG.model


@pytest.mark.parametrize("fallback", ["suggest", "auto"])
def test_running_out_of_memory(fallback, monkeypatch, caplog):
    rows = []

    def allocate(config, train_file, eval_file):
        rows.append(config.train.batch_size // config.train.grad_accum)
        if rows[-1] > 1:
            jax.block_until_ready(jax.jit(lambda: jax.numpy.ones(1 << 42))())  # 16 TiB: a genuine error of XLA
        return make_setup(config, train_file, eval_file)

    make_setup = trainer_module.make_setup
    monkeypatch.setattr(trainer_module, "make_setup", allocate)
    trainer = Trainer(None, ROWS, None, with_train(out_dir="out", num_steps=1, batch_size=4, oom_fallback=fallback))
    if fallback == "auto":
        assert trainer.fit()["steps"] == 1.0
        assert rows == [4, 2, 1]
        assert "retrying with train.grad_accum=4" in caplog.text
        return
    with pytest.raises(OutOfMemoryError) as error:
        trainer.fit()
    first, second, third = str(error.value).splitlines()
    assert first == "reduce batch_size or enable gradient_checkpointing"
    assert second == ("try: --set train.grad_accum=2 (microbatches of 2 rows instead of 4, same global batch of 4)")
    assert "--set model.gradient_checkpointing=true" in third


def test_a_time_limit_stops_and_saves(monkeypatch):
    metrics = Trainer(None, ROWS, None, with_train(out_dir="out", time_limit_minutes=1e-6)).fit()
    assert metrics["steps"] == 0.0
    assert Trainer(None, ROWS, None, with_train(out_dir="out", num_steps=1)).fit(resume=True)["steps"] == 1.0


def test_a_time_limit_leaves_time_for_the_last_validation(monkeypatch):
    from hrm_codegen.training.stop import StopRequest

    reasons = iter([None, None, "time limit"])  # before the first step, after it, after the second
    monkeypatch.setattr(StopRequest, "reason", property(lambda _: next(reasons)))
    metrics = Trainer(None, ROWS, EVAL_ROWS, with_train(out_dir="out")).fit()
    assert (metrics["steps"], metrics["best_step"]) == (2.0, 2.0)
    assert metrics["best_loss"] == metrics["eval_loss"]


def test_the_first_interrupt_saves_and_the_second_aborts():
    interrupt = lambda: os.kill(os.getpid(), signal.SIGINT)  # noqa: E731
    metrics = Trainer(None, ROWS, EVAL_ROWS, with_train(out_dir="one"), callbacks=[Spy(interrupt)]).fit()
    assert metrics["steps"] == 4.0

    def twice():
        interrupt()
        interrupt()

    with pytest.raises(KeyboardInterrupt):
        Trainer(None, ROWS, EVAL_ROWS, with_train(out_dir="two"), callbacks=[Spy(twice)]).fit()


def test_data_errors_are_raised_before_anything_is_made(tmp_path):
    with pytest.raises(DatasetError, match="no training data"):
        Trainer(None, None, None, CONFIG)
    assert list(tmp_path.iterdir()) == []
