"""The train step on meshes of eight virtual devices computes what one device computes."""

from __future__ import annotations

import dataclasses
import functools

import jax
import numpy as np
import pytest

from hrm_codegen.config import Config, MeshConfig, ModelConfig, OptimConfig, TrainConfig
from hrm_codegen.model import abstract, init
from hrm_codegen.parallel import RULES, batch_sharding, make_mesh, put_batch, shardings
from hrm_codegen.training import create_state, make_optimizer, make_train_step
from hrm_codegen.typing import Batch

CONFIG = Config(
    model=ModelConfig(
        vocab_size=64, hidden_dim=16, num_heads=2, intermediate_dim=32, layers_per_stack=1, h_cycles=1, l_cycles=1
    ),
    optim=OptimConfig(name="adamw", warmup_steps=1, lr=1e-2),
    train=TrainConfig(num_steps=4, batch_size=8),
)
SHAPE = (8, 16)


def make_batch(seed: int) -> Batch:
    rng = np.random.default_rng(seed)
    tokens = rng.integers(0, 64, SHAPE, dtype=np.int32)
    segments = np.ones(SHAPE, np.int32)
    segments[:, 12:] = 0
    return Batch(
        tokens=tokens,
        targets=np.roll(tokens, -1, axis=1),
        positions=np.broadcast_to(np.arange(16, dtype=np.int32), SHAPE),
        segment_ids=segments,
        prefix_mask=np.broadcast_to(np.arange(16) < 4, SHAPE),
        loss_mask=(segments > 0) & (rng.random(SHAPE) < 0.7),
    )


def state_on(mesh, config=CONFIG):
    graphdef, params = init(config.model, jax.random.key(0))
    tx, schedule = make_optimizer(config.optim, 4, params)
    create = functools.partial(create_state, tx=tx, ema=True)
    placement = shardings(jax.eval_shape(create, params), mesh)
    state = jax.jit(create, out_shardings=placement)(jax.device_put(params, shardings(params, mesh)))
    return state, make_train_step(graphdef, tx, schedule, config, state_shardings=placement)


@functools.cache
def run_on(data: int, fsdp: int, tensor: int, grad_accum: int = 1):
    config = dataclasses.replace(CONFIG, train=dataclasses.replace(CONFIG.train, grad_accum=grad_accum))
    mesh = make_mesh(MeshConfig(data=data, fsdp=fsdp, tensor=tensor))
    state, step = state_on(mesh, config)
    losses = []
    for seed in range(3):
        state, metrics = step(state, put_batch(make_batch(seed), mesh), bp_passes=2)
        losses.append(float(metrics["loss"]))
    return losses, state


@pytest.mark.parametrize("sizes", [(8, 1, 1), (1, 8, 1), (2, 2, 2, 2)])
def test_losses_do_not_depend_on_the_mesh(sizes):
    losses, state = run_on(*sizes)
    expected_losses, expected_state = run_on(1, 1, 1)
    assert len(set(expected_losses)) == 3
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-5)
    for leaf, expected in zip(jax.tree.leaves(state.params), jax.tree.leaves(expected_state.params), strict=True):
        np.testing.assert_allclose(leaf, expected, atol=1e-4)


def test_parameters_average_and_moments_are_sharded_alike():
    _, state = run_on(2, 2, 2, 2)
    by_path = {jax.tree_util.keystr(p, simple=True, separator="/"): x for p, x in jax.tree.leaves_with_path(state)}
    checked = 0
    for path, leaf in by_path.items():
        for name in (
            "embed/value",
            "head/value",
            "l_stack/layers/0/attn/gqkv/value",
            "h_stack/layers/0/mlp/down/value",
        ):
            if path.endswith(name):
                assert leaf.sharding == by_path[f"params/{name}"].sharding, path
                assert leaf.addressable_shards[0].data.size == leaf.size // 4, path
                checked += 1
    assert checked == 16  # params, ema, mu, nu


def test_every_matrix_matches_a_rule_of_its_own():
    for core in ("hrm", "trm", "looped", "transformer"):
        for scan_layers in (False, True):
            model = dataclasses.replace(CONFIG.model, core=core, scan_layers=scan_layers)
            mesh = make_mesh(MeshConfig(data=1, fsdp=4, tensor=2))
            shapes = abstract(model)[1]
            for path, sharding in jax.tree.leaves_with_path(shardings(shapes, mesh)):
                wide = "z_l_init" not in jax.tree_util.keystr(path)
                assert (len([axis for axis in sharding.spec if axis]) == 2) == wide, (path, sharding)
    assert RULES[-1][0] == ""


def test_an_axis_that_does_not_divide_is_dropped():
    mesh = make_mesh(MeshConfig(data=1, fsdp=4, tensor=2))
    tree = {"embed": jax.ShapeDtypeStruct((63, 8), np.float32), "head": jax.ShapeDtypeStruct((6, 64), np.float32)}
    specs = jax.tree.map(lambda sharding: tuple(sharding.spec), shardings(tree, mesh))
    assert specs == {"embed": (None, "fsdp"), "head": (None, "tensor")}


def test_a_spec_longer_than_the_shape_replicates():
    mesh = make_mesh(MeshConfig(data=1, fsdp=4, tensor=2))
    assert shardings({"embed": jax.ShapeDtypeStruct((8,), np.float32)}, mesh)["embed"].is_fully_replicated


def test_put_batch_gives_each_device_its_rows():
    mesh = make_mesh(MeshConfig(data=2, fsdp=2, tensor=2))
    rows = np.arange(8, dtype=np.int32)[:, None]
    placed = put_batch({"rows": rows}, mesh)["rows"]
    assert placed.sharding == batch_sharding(mesh)
    np.testing.assert_array_equal(placed, rows)
    assert sorted(shard.data[0, 0].item() for shard in placed.addressable_shards) == [0, 0, 2, 2, 4, 4, 6, 6]
