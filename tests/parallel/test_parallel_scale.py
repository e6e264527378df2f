"""Meshes of eight virtual devices: losses of many steps, bytes a device, and the collectives of the compiled step."""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections.abc import Iterator

import jax
import numpy as np
import pytest

from hrm_codegen import config as configs
from hrm_codegen.config import Config, MeshConfig, ModelConfig, OptimConfig, TrainConfig
from hrm_codegen.model import abstract, init
from hrm_codegen.parallel import make_mesh, put_batch, shardings
from hrm_codegen.training import create_state, make_optimizer, make_train_step
from hrm_codegen.typing import Batch

STEPS = 20
MESHES = [(8, 1, 1), (1, 8, 1), (2, 2, 2), (1, 2, 4)]
CONFIG = Config(
    model=ModelConfig(
        vocab_size=64, hidden_dim=16, num_heads=4, intermediate_dim=32, layers_per_stack=2, h_cycles=2, l_cycles=2
    ),
    optim=OptimConfig(name="adamw", warmup_steps=5, lr=3e-3),
    train=TrainConfig(num_steps=STEPS, batch_size=8),
)
# Three steps of more meshes are in test_parallel_step.py; here 20, of all cores when asked for.
RUNS = [
    pytest.param(sizes, core, marks=[] if core == "hrm" and sizes in ((1, 8, 1), (1, 2, 4)) else [pytest.mark.slow])
    for core in ("hrm", "trm", "looped", "transformer")
    for sizes in MESHES
]


def batch_of(seed: int, rows: int = 8, length: int = 16) -> Batch:
    """Rows with different numbers of tokens that count, so that a mean of means would show."""
    rng = np.random.default_rng(seed)
    tokens = rng.integers(0, 64, (rows, length), dtype=np.int32)
    lengths = rng.integers(6, length + 1, (rows, 1))
    positions = np.broadcast_to(np.arange(length, dtype=np.int32), (rows, length))
    return Batch(
        tokens=tokens,
        targets=np.roll(tokens, -1, axis=1),
        positions=positions,
        segment_ids=(positions < lengths).astype(np.int32),
        prefix_mask=positions < 3,
        loss_mask=(positions >= 3) & (positions < lengths),
    )


def setup(config: Config, sizes: tuple[int, int, int]):
    mesh = make_mesh(MeshConfig(data=sizes[0], fsdp=sizes[1], tensor=sizes[2]))
    graphdef, params = init(config.model, jax.random.key(0))
    tx, schedule = make_optimizer(config.optim, STEPS, params)
    create = functools.partial(create_state, tx=tx, ema=True)
    placement = shardings(jax.eval_shape(create, params), mesh)
    state = jax.jit(create, out_shardings=placement)(jax.device_put(params, shardings(params, mesh)))
    return mesh, state, make_train_step(graphdef, tx, schedule, config, state_shardings=placement)


@functools.cache
def losses(core: str, sizes: tuple[int, int, int]) -> list[float]:
    config = dataclasses.replace(CONFIG, model=dataclasses.replace(CONFIG.model, core=core))
    mesh, state, step = setup(config, sizes)
    passes = None if core in ("looped", "transformer") else 4
    out = []
    for number in range(STEPS):
        state, metrics = step(state, put_batch(batch_of(number), mesh), bp_passes=passes)
        out.append(float(metrics["loss"]))
    return out


@pytest.mark.parametrize(("sizes", "core"), RUNS)
def test_twenty_steps_lose_the_same_on_every_mesh(sizes, core) -> None:
    expected = losses(core, (1, 1, 1))
    assert expected[-1] < expected[0] - 0.01
    np.testing.assert_allclose(losses(core, sizes), expected, rtol=1e-5)


def bytes_of(tree, of_one_device: bool) -> int:
    shape = (lambda leaf: leaf.sharding.shard_shape(leaf.shape)) if of_one_device else (lambda leaf: leaf.shape)
    return sum(math.prod(shape(leaf)) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize("name", ["mbpp_dev", "hrm_27m"])
@pytest.mark.parametrize("optimizer", ["adam_atan2", "adamw", "muon"])
def test_fsdp_keeps_an_eighth_of_everything(name, optimizer) -> None:
    config = configs.load(name, [f"optim.name={optimizer}"])
    mesh = make_mesh(MeshConfig(data=1, fsdp=8, tensor=1))
    _, params = abstract(config.model)
    tx, _ = make_optimizer(config.optim, STEPS, params)
    state = jax.eval_shape(functools.partial(create_state, tx=tx, ema=True), params)
    placed = jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        state,
        shardings(state, mesh),
    )
    for part in (placed.params, placed.opt_state, placed.ema):
        assert bytes_of(part, of_one_device=True) <= (1 / 8 + 0.02) * bytes_of(part, of_one_device=False)


def collectives(text: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yields the kind and the shape of each array that a compiled program sends."""
    kinds = "all-gather|all-reduce|reduce-scatter|all-to-all|collective-permute"
    for match in re.finditer(rf"= (.*?) ({kinds})(?:-start)?\(", text):
        for shape in re.findall(r"\w+\[([\d,]*)\]", match[1]):
            yield match[2], tuple(int(size) for size in shape.split(",") if size)


@functools.cache
def compiled(sizes: tuple[int, int, int]) -> list[tuple[str, tuple[int, ...]]]:
    mesh, state, step = setup(CONFIG, sizes)
    text = step.lower(state, put_batch(batch_of(0), mesh), bp_passes=4).compile().as_text()
    return list(collectives(text))


def test_data_parallel_steps_only_sum() -> None:
    assert {kind for kind, _ in compiled((8, 1, 1))} == {"all-reduce"}


def test_fsdp_gathers_each_weight_once_and_never_the_optimizer() -> None:
    """16 weights of the stacks, embedding and head; moments and averages stay where they are."""
    gathered = [math.prod(shape) for kind, shape in compiled((1, 8, 1)) if kind == "all-gather"]
    params = [leaf.size for leaf in jax.tree.leaves(abstract(CONFIG.model)[1]) if leaf.ndim > 1]
    assert sorted(gathered) == sorted(params)
    assert not any(kind in ("all-to-all", "collective-permute") for kind, _ in compiled((1, 8, 1)))


@pytest.mark.parametrize("sizes", MESHES)
def test_activations_of_the_whole_batch_are_never_sent(sizes) -> None:
    rows = 8 // (sizes[0] * sizes[1])
    for kind, shape in compiled(sizes):
        assert not (len(shape) >= 3 and shape[1] == 16 and shape[0] > rows), (kind, shape)


def test_heads_stay_on_their_device() -> None:
    """With `tensor`, activations are summed after the two products of a block, and nothing is moved."""
    kinds = {kind for kind, _ in compiled((1, 2, 4))}
    assert kinds == {"all-reduce", "all-gather"}
