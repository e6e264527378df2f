"""FLOPs against XLA's count and against the formula; and that programs do not grow with the cycles."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import pytest

from hrm_codegen.config import Config, DataConfig, ModelConfig, OptimConfig, TrainConfig
from hrm_codegen.model.schedule import bp_schedule, num_passes
from hrm_codegen.planning.compile import abstract_train_step
from hrm_codegen.planning.flops import matmul_flops
from hrm_codegen.planning.hlo import read_traffic

MODEL = ModelConfig(
    vocab_size=256, hidden_dim=64, num_heads=2, intermediate_dim=128, layers_per_stack=2, h_cycles=2, l_cycles=3
)
CONFIG = Config(
    model=MODEL,
    data=DataConfig(seq_len=32),
    optim=OptimConfig(ema_decay=0.9),
    train=TrainConfig(num_steps=10, batch_size=4),
)


def with_model(**changes) -> Config:
    return dataclasses.replace(CONFIG, model=dataclasses.replace(MODEL, **changes))


def traced_flops(config: Config) -> float:
    step, state, batch = abstract_train_step(config, None)
    return matmul_flops(step, state, batch, bp_passes=bp_schedule(config.model, config.train)[-1][1])


def formula(config: Config, graded: int) -> float:
    """2 a multiply-add: every pass forward, `graded` of them backward (twice), and again where they are recomputed."""
    model, tokens = config.model, config.train.batch_size * config.data.seq_len
    dim, inner = model.hidden_dim, model.resolved_intermediate_dim
    width = model.num_heads * model.resolved_head_dim
    layer = 4 * dim * width + width * dim + 3 * dim * inner + 2 * config.data.seq_len * width
    layers = model.layers_per_stack * (1 if model.core in ("hrm", "trm") else 2)
    # The last product of a block is not recomputed: nobody needs its result.
    again = layer - inner * dim if model.gradient_checkpointing else 0
    # The backward pass of attention computes the scores once more.
    backward = 2 * layer + config.data.seq_len * width
    stack = layers * (num_passes(model) * layer + graded * (backward + again))
    return 2.0 * tokens * (stack + 3 * dim * model.vocab_size)


def test_products_and_their_gradients_are_exact():
    function = jax.jit(jax.grad(lambda w, x: jnp.sum(jnp.tanh(x @ w) ** 2)))
    flops = matmul_flops(function, jax.ShapeDtypeStruct((8, 16), "float32"), jax.ShapeDtypeStruct((4, 8), "float32"))
    assert flops == 2 * (2 * 4 * 8 * 16)


def test_loops_count_their_length():
    def program(x):
        x = jax.lax.scan(lambda x, _: (x @ x, None), x, None, length=7)[0]
        return jax.lax.while_loop(lambda x: x[0, 0] < 1, lambda x: x @ x, x)

    square = jax.ShapeDtypeStruct((8, 8), "float32")
    assert matmul_flops(jax.jit(program), square, while_trips=3) == (7 + 3) * 2 * 8**3


@pytest.mark.parametrize("core", ["hrm", "trm", "looped", "transformer"])
@pytest.mark.parametrize("remat", [False, True])
def test_the_train_step_agrees_with_the_formula(core: str, remat: bool):
    config = with_model(core=core, gradient_checkpointing=remat)
    graded = bp_schedule(config.model, config.train)[-1][1] or num_passes(config.model)
    assert traced_flops(config) == pytest.approx(formula(config, graded), rel=2e-3)


def test_accumulation_changes_nothing():
    config = dataclasses.replace(CONFIG, train=dataclasses.replace(CONFIG.train, grad_accum=2))
    assert traced_flops(config) == traced_flops(CONFIG)


def test_flops_and_bytes_agree_with_xla_where_there_are_no_loops():
    config = with_model(core="transformer", layers_per_stack=1)
    step, state, batch = abstract_train_step(config, None)
    compiled = step.lower(state, batch, bp_passes=None).compile()
    cost = compiled.cost_analysis()
    assert 0.85 < traced_flops(config) / cost["flops"] <= 1.0  # XLA adds the elementwise work.
    traffic = read_traffic(compiled.as_text(), num_devices=1)
    # Where part of an array is read behind a reshape, XLA counts the whole: here 6 % of all.
    assert 0.93 < traffic.memory_bytes / cost["bytes accessed"] <= 1.0


@pytest.mark.parametrize("core", ["hrm", "trm", "looped", "transformer"])
def test_the_program_does_not_grow_with_the_cycles(core: str):
    sizes = []
    for cycles in (2, 8):
        config = with_model(core=core, h_cycles=cycles, l_cycles=cycles)
        step, state, batch = abstract_train_step(config, None)
        last = bp_schedule(config.model, config.train)[-1][1]
        sizes.append(len(step.lower(state, batch, bp_passes=last).as_text()))
    assert sizes[1] < 1.3 * sizes[0]  # At the last K; while K grows, a cycle that is graded in part adds a group.
