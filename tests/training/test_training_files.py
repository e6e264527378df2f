"""Checkpoints, run folders and metric writers."""

from __future__ import annotations

import json
import math
import shutil

import grain
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hrm_codegen.config import Config, ModelConfig, TrainConfig
from hrm_codegen.errors import CheckpointError
from hrm_codegen.training import CheckpointStore, ConsoleWriter, JsonlWriter, MetricWriters
from hrm_codegen.training.metrics import LateMetrics, Meter, format_duration
from hrm_codegen.training.runs import find_run, new_run

STATE = {"weights": np.arange(6.0, dtype=np.float32).reshape(2, 3), "step": np.int32(4)}


def numbers():
    return iter(grain.MapDataset.range(100).seed(0).shuffle().repeat().to_iter_dataset())


def as_arrays(scale: int):
    return jax.tree.map(lambda leaf: jnp.asarray(leaf * scale, leaf.dtype), STATE)


def abstract():
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), as_arrays(1))


@pytest.fixture
def store(tmp_path):
    with CheckpointStore(tmp_path / "state", keep=2) as store:
        data = numbers()
        for step in (1, 2, 3):
            next(data)
            store.save(step, as_arrays(step), data, {"progress": {"best": None, "step": step}})
    return tmp_path / "state"


def test_the_latest_checkpoints_are_kept_and_the_last_is_restored(store):
    with CheckpointStore(store, keep=2) as again:
        assert again.steps == [2, 3]
        assert again.latest == 3
        data, expected = numbers(), numbers()
        step, state, info = again.restore(abstract(), data)
        assert (step, info) == (3, {"progress": {"best": None, "step": 3}})
        jax.tree.map(np.testing.assert_array_equal, state, as_arrays(3))
        [next(expected) for _ in range(3)]
        assert [next(data) for _ in range(5)] == [next(expected) for _ in range(5)]


def test_relative_paths_are_resolved(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with CheckpointStore("state", keep=1) as store:
        store.save(1, as_arrays(1), numbers(), {"a": 1})
    assert (tmp_path / "state" / "1").is_dir()


def test_a_saved_buffer_may_be_donated_at_once(tmp_path):
    donate = jax.jit(lambda x: x * 0, donate_argnums=0)
    with CheckpointStore(tmp_path, keep=1) as store:
        weights = jnp.ones((256, 256))
        store.save(1, {"weights": weights}, numbers(), {"a": 1})
        donate(weights)
        store.wait()
        shape = jax.ShapeDtypeStruct((256, 256), jnp.float32, sharding=jnp.ones(1).sharding)
        assert float(store.restore({"weights": shape}, numbers()).state["weights"].min()) == 1.0


@pytest.mark.parametrize("damage", ["state/manifest.ocdbt", "state/d", "_CHECKPOINT_METADATA", "state"])
def test_a_damaged_checkpoint_is_skipped_with_a_warning(store, damage, caplog):
    path = store / "3" / damage
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with CheckpointStore(store, keep=2) as again:
        assert again.restore(abstract(), numbers()).step == 2
    assert "checkpoint 3" in caplog.text


def test_without_a_readable_checkpoint_the_way_out_is_named(tmp_path):
    with CheckpointStore(tmp_path / "state", keep=1) as store, pytest.raises(CheckpointError, match="without --resume"):
        store.restore(abstract(), numbers())


def test_a_check_that_fails_is_no_damage(store):
    def refuse(info):
        raise CheckpointError("another model")

    with CheckpointStore(store, keep=2) as again, pytest.raises(CheckpointError, match="another model"):
        again.restore(abstract(), numbers(), check=refuse)


def config(**train) -> Config:
    model = ModelConfig(vocab_size=8, hidden_dim=8, num_heads=2)
    return Config(name="mbpp", model=model, train=TrainConfig(num_steps=1, **train))


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_runs_are_numbered(here):
    assert str(new_run(config()).run_dir) == "checkpoints/mbpp-1"
    for name in ("mbpp-1", "mbpp-7", "mbpp-dev-9", "mbpp-x"):
        (here / "checkpoints" / name).mkdir(parents=True)
    assert str(new_run(config()).run_dir) == "checkpoints/mbpp-8"
    assert str(new_run(config()).published) == "checkpoints/best.pt"


def test_resume_finds_the_newest_run_with_a_checkpoint(here):
    for number in (2, 10):
        (here / f"checkpoints/mbpp-{number}/state/5").mkdir(parents=True)
    (here / "checkpoints/mbpp-11").mkdir()
    assert str(find_run(config(), True).run_dir) == "checkpoints/mbpp-10"
    assert str(find_run(config(run_name="mbpp-2"), True).run_dir) == "checkpoints/mbpp-2"


@pytest.mark.parametrize("inside", ["", "best.pt", "state", "state/5"])
def test_resume_takes_the_folder_or_anything_in_it(here, inside):
    (here / "elsewhere/state/5").mkdir(parents=True)
    paths = find_run(config(), f"elsewhere/{inside}")
    assert paths.run_dir == here / "elsewhere"
    assert paths.published is None
    assert paths.last_step() == 5


@pytest.mark.parametrize("resume", [True, "nowhere"])
def test_nothing_to_resume_is_an_error(here, resume):
    with pytest.raises(CheckpointError, match=r"nothing to resume: .*train without --resume"):
        find_run(config(), resume)


def test_a_folder_with_a_run_is_not_overwritten(here):
    (here / "out/state/7").mkdir(parents=True)
    with pytest.raises(CheckpointError, match="holds a run at step 7: --resume continues it, or choose another --out"):
        new_run(config(out_dir="out"))


def test_best_is_published_as_a_copy(here):
    paths = new_run(config())
    paths.run_dir.mkdir(parents=True)
    paths.best.write_bytes(b"weights")
    paths.publish()
    assert (here / "checkpoints/best.pt").read_bytes() == b"weights"


METRICS = {"loss": 2.0, "accuracy": 0.5, "grad_norm": 1.0, "lr": 0.1, "num_tokens": 10.0, "num_targets": 4.0}


def test_jsonl_is_appended_and_valid(tmp_path):
    for step in (1, 2):
        writer = JsonlWriter(tmp_path / "run" / "metrics.jsonl")
        writer.write(step, {"loss": 1.5 / step, "odd": math.inf})
        writer.close()
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [(row["step"], row["loss"], row["odd"]) for row in rows] == [(1, 1.5, None), (2, 0.75, None)]


def test_console_lines_are_plain(caplog):
    with caplog.at_level("INFO", logger="hrm_codegen.training"):
        writers = MetricWriters([ConsoleWriter(num_steps=100)])
        writers.write(50, {**METRICS, "tokens_per_sec": 12345.6})
        writers.write(50, {"eval_loss": 1.25})
        writers.close()
    first, second = (record.getMessage() for record in caplog.records)
    assert first.startswith("step 50/100  loss 2.0000  accuracy 0.500  12,346 tokens/s  lr 1.00e-01")
    assert first.endswith("0s left")
    assert second == "step 50/100  eval_loss 1.2500"
    assert caplog.records[0].step == 50
    assert "\x1b" not in caplog.text


def test_late_metrics_come_one_step_late():
    late = LateMetrics()
    assert late.push(1, {"loss": jnp.float32(3.0)}) is None
    assert late.push(2, {"loss": jnp.float32(2.0)}) == (1, {"loss": 3.0})
    assert late.flush() == (2, {"loss": 2.0})
    assert late.flush() is None


def test_a_meter_weighs_by_targets_and_leaves_compilation_out():
    meter = Meter()
    meter.add({**METRICS, "num_tokens": 100.0}, seconds=50.0, timed=False)
    assert meter.tokens_per_sec == 2.0  # nothing better is known yet
    meter.add({**METRICS, "loss": 4.0, "num_targets": 12.0}, seconds=2.0, timed=True)
    assert meter.tokens_per_sec == 5.0
    assert meter.summary()["loss"] == pytest.approx((2.0 * 4 + 4.0 * 12) / 16)
    assert meter.summary()["num_tokens"] == 110.0


@pytest.mark.parametrize(("seconds", "text"), [(5.4, "5s"), (125.0, "2m 05s"), (7500.0, "2h 05m")])
def test_durations(seconds, text):
    assert format_duration(seconds) == text
