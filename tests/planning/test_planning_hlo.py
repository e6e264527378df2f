"""What is read out of compiled modules: real ones of eight CPU devices, and fragments of TPUs' and GPUs' text."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from hrm_codegen.planning.hlo import Collective, group_size, read_traffic, shape_bytes

MESH = Mesh(np.array(jax.devices("cpu")[:8]).reshape(4, 2), ("a", "b"))


def compiled(function, *args, out: P | None = None):
    return jax.jit(function, out_shardings=NamedSharding(MESH, out or P())).lower(*args).compile().as_text()


def shape(dims: tuple[int, ...], spec: P | None = None) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(dims, jnp.float32, sharding=NamedSharding(MESH, spec or P()))


def test_elementwise_work_reads_and_writes_once():
    text = (
        jax.jit(lambda x: jnp.sin(x) * x + 1).lower(jax.ShapeDtypeStruct((512, 256), jnp.float32)).compile().as_text()
    )
    assert read_traffic(text, num_devices=1).memory_bytes == 2 * 512 * 256 * 4


def test_a_sum_over_devices_in_a_loop_counts_each_round():
    def program(x, w):
        def body(w, _):
            return w - 0.1 * jnp.einsum("bi,bo->io", x, x @ w), None

        return jax.lax.scan(body, w, None, length=5)[0]

    text = compiled(program, shape((64, 32), P("a")), shape((32, 32)))
    traffic = read_traffic(text, num_devices=8)
    assert traffic.collectives == (Collective("all-reduce", 4, 32 * 32 * 4, 5.0),)
    assert traffic.collectives[0].sent_bytes == pytest.approx(2 * 3 / 4 * 5 * 4096)
    assert traffic.unknown_loops == 0
    assert traffic.memory_bytes >= 5 * 2 * 16 * 32 * 4  # x is read twice a round


def test_gathering_shards():
    traffic = read_traffic(compiled(lambda x: x * 2, shape((64, 16), P(("a", "b")))), num_devices=8)
    assert [(item.op, item.devices, item.num_bytes, item.times) for item in traffic.collectives] == [
        ("all-gather", 8, 64 * 16 * 4, 1.0)
    ]
    assert traffic.collectives[0].sent_bytes == 7 / 8 * 4096


def test_a_loop_of_unknown_length_is_counted_as_told():
    def program(x, limit):
        return jax.lax.while_loop(lambda c: c[0] < limit, lambda c: (c[0] + 1, jnp.tanh(c[1]) @ c[1]), (0, x))[1]

    text = jax.jit(program).lower(jnp.zeros((64, 64)), 3).compile().as_text()
    one, ten = (read_traffic(text, num_devices=1, while_trips=trips) for trips in (1, 10))
    assert one.unknown_loops == 1
    assert ten.memory_bytes - one.memory_bytes >= 9 * 3 * 64 * 64 * 4


def test_a_slice_of_stacked_weights_costs_the_slice():
    def program(x, weights):
        return jax.lax.scan(lambda x, w: (x @ w, None), x, weights)[0]

    text = (
        jax.jit(program)
        .lower(jax.ShapeDtypeStruct((8, 64), jnp.float32), jax.ShapeDtypeStruct((50, 64, 64), jnp.float32))
        .compile()
        .as_text()
    )
    stack = 50 * 64 * 64 * 4
    assert stack <= read_traffic(text, num_devices=1).memory_bytes < 5 * stack  # not 50 times


LOOP = """
HloModule m

%fused (p.0: f32[10,64]) -> f32[1,64] {
  %p.0 = f32[10,64]{1,0:T(8,128)} parameter(0)
  %z = s32[] constant(0)
  ROOT %ds = f32[1,64]{1,0:T(8,128)} dynamic-slice(%p.0, %z, %z), dynamic_slice_sizes={1,64}
}

%cond (c: (s32[], f32[10,64])) -> pred[] {
  %n = s32[]{:T(128)} constant(10)
  %c = (s32[]{:T(128)}, f32[10,64]{1,0:T(8,128)}) parameter(0)
  %i = s32[]{:T(128)} get-tuple-element(%c), index=0
  ROOT %lt = pred[]{:T(512)} compare(%i, %n), direction=LT, metadata={op_name="while/cond/lt"}
}

%body (b: (s32[], f32[10,64])) -> (s32[], f32[10,64]) {
  %b = (s32[]{:T(128)}, f32[10,64]{1,0:T(8,128)}) parameter(0)
  %j = s32[]{:T(128)} get-tuple-element(%b), index=0
  %x = f32[10,64]{1,0:T(8,128)} get-tuple-element(%b), index=1
  %row = f32[1,64]{1,0:T(8,128)S(1)} fusion(%x), kind=kLoop, calls=%fused
  %sum = f32[1,64]{1,0:T(8,128)} all-reduce(%row), channel_id=1, replica_groups=[2,4]<=[8], to_apply=%add
  ROOT %t = (s32[]{:T(128)}, f32[10,64]{1,0:T(8,128)}) tuple(%j, %x)
}

ENTRY %main (a: f32[10,64]) -> f32[10,64] {
  %a = f32[10,64]{1,0:T(8,128)} parameter(0)
  %start = (f32[10,64]{1,0:S(1)}, f32[10,64]{1,0}, u32[]{:S(2)}) copy-start(%a), backend_config={"dma_priority":1}
  %done = f32[10,64]{1,0:S(1)} copy-done(%start)
  %zero = s32[] constant(0)
  %init = (s32[]{:T(128)}, f32[10,64]{1,0:T(8,128)}) tuple(%zero, %a)
  %loop = (s32[]{:T(128)}, f32[10,64]{1,0:T(8,128)}) while(%init), condition=%cond, body=%body
  ROOT %out = f32[10,64]{1,0:T(8,128)} get-tuple-element(%loop), index=1
}
"""


def test_tpu_text_loops_by_their_condition_and_vector_memory():
    traffic = read_traffic(LOOP, num_devices=8)
    assert traffic.unknown_loops == 0
    assert traffic.collectives == (Collective("all-reduce", 4, 256, 10.0),)
    # Copied to vector memory: one read of 2560 bytes. Each round: a row is sliced, and the sum of rows is written.
    assert traffic.memory_bytes == 2560 + 10 * (256 + 256)


FUSED = """
HloModule m

%start (p.0: bf16[32,4]) -> bf16[256,4] {
  %p.0 = bf16[32,4]{1,0} parameter(0)
  ROOT %g.0 = bf16[256,4]{1,0} all-gather(%p.0), channel_id=3, replica_groups=[1,8]<=[8], dimensions={0}
}

%done (p.1: bf16[32,4]) -> bf16[256,4] {
  %p.1 = bf16[32,4]{1,0} parameter(0)
  ROOT %g.1 = bf16[256,4]{1,0} all-gather(%p.1), channel_id=3, replica_groups=[1,8]<=[8], dimensions={0}
}

%all-reduce-scatter.1 (p.2: bf16[256,4]) -> bf16[32,4] {
  %p.2 = bf16[256,4]{1,0} parameter(0)
  %r = bf16[256,4]{1,0} all-reduce(%p.2), channel_id=4, replica_groups=[1,8]<=[8], to_apply=%add
  %id = u32[] partition-id()
  ROOT %d = bf16[32,4]{1,0} dynamic-slice(%r, %id, %id), dynamic_slice_sizes={32,4}
}

ENTRY %main (a: bf16[32,4]) -> bf16[32,4] {
  %a = bf16[32,4]{1,0} parameter(0)
  %async-collective-start = bf16[256,4]{1,0} fusion(%a), kind=kCustom, calls=%start
  %async-collective-done = bf16[256,4]{1,0} fusion(%a), kind=kCustom, calls=%done
  ROOT %s = bf16[32,4]{1,0} fusion(%async-collective-done), kind=kCustom, calls=%all-reduce-scatter.1
}
"""


def test_tpu_fusions_hide_collectives():
    gather, scatter = read_traffic(FUSED, num_devices=8).collectives
    assert gather == Collective("all-gather", 8, 2048, 1.0)  # one channel, however many fusions it is spread over
    assert scatter == Collective("reduce-scatter", 8, 2048, 1.0)
    assert gather.sent_bytes == scatter.sent_bytes == 7 / 8 * 2048


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("f32[]", 4),
        ("bf16[2,3]{1,0:T(8,128)(2,1)}", 12),
        ("(bf16[4]{0}, /*index=1*/s8[3], pred[2])", 13),
        ("s4[6]{0}", 3),
        ("f8e4m3fn[8]", 8),
        ("token[]", 0),
        ("(f32[2]{0:S(1)}, f32[2]{0})", 16),
    ],
)
def test_shape_bytes(text: str, size: int):
    assert shape_bytes(text) == size


def test_vector_memory_is_not_main_memory():
    assert shape_bytes("(f32[2]{0:T(128)S(1)}, f32[2]{0})", main_memory_only=True) == 8


@pytest.mark.parametrize(
    ("attributes", "size"),
    [
        (", replica_groups={{0,1,2,3},{4,5,6,7}}, to_apply=%add", 4),
        (", replica_groups=[4,2]<=[2,4]T(1,0)", 2),
        (", replica_groups=mesh['axis_0'=4,'axis_1'=2,'axis_2'=1] {'axis_0','axis_1'}, x", 8),
        (", replica_groups={}, to_apply=%add", 8),
    ],
)
def test_group_size(attributes: str, size: int):
    assert group_size(attributes, 8) == size
