"""The PyTorch mirror: equal to JAX for every core, cached and plain, and direct to load from a checkpoint."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hrm_codegen.config.schema import ModelConfig
from hrm_codegen.interop import save_torch, to_state_dict
from hrm_codegen.model import init, merge, num_passes

pytestmark = pytest.mark.extras
torch = pytest.importorskip("torch")

from hrm_codegen.interop.torch_model import TorchHRM, num_slots, num_stack_passes  # noqa: E402 (needs torch)

HRM = ModelConfig(
    vocab_size=61,
    hidden_dim=24,
    num_heads=3,
    head_dim=10,
    intermediate_dim=20,
    layers_per_stack=1,
    l_cycles=2,
    dtype="float32",
)
KINDS = {
    "hrm": HRM,
    "trm": dataclasses.replace(HRM, core="trm"),
    "looped": dataclasses.replace(HRM, core="looped"),
    "transformer": dataclasses.replace(HRM, core="transformer"),
    "injected": dataclasses.replace(HRM, x_inject=True),
    "looped injected": dataclasses.replace(HRM, core="looped", x_inject=True),
    "causal": dataclasses.replace(HRM, mask="causal"),
    "other numbers": dataclasses.replace(
        HRM, rope_theta=300.0, norm_eps=1e-3, head_dim=None, layers_per_stack=2, scan_layers=True
    ),
}
LENGTHS = np.array([0, 1, 9, 23])


@functools.cache
def weights(config: ModelConfig):
    return init(config, jax.random.key(0))


def pair(config: ModelConfig):
    graphdef, params = weights(config)
    return merge(graphdef, params), TorchHRM.from_state_dict(config, to_state_dict(config, params))


def draw(config: ModelConfig, rows: int = 4, length: int = 23) -> np.ndarray:
    return np.random.default_rng(0).integers(0, config.vocab_size, (rows, length))


def to_int(array: np.ndarray):
    return torch.as_tensor(np.asarray(array).astype(np.int64))


@pytest.mark.parametrize("kind", KINDS)
def test_logits_equal_those_of_jax(kind):
    config = KINDS[kind]
    reference, model = pair(config)
    tokens = draw(config)
    expected = reference(jnp.asarray(tokens), prefix_mask=jnp.arange(23)[None, :] < LENGTHS[:, None])
    np.testing.assert_allclose(model.logits(tokens, LENGTHS), expected, atol=1e-5, rtol=1e-5)


def test_without_prefix_lengths_there_is_no_prompt():
    _, model = pair(HRM)
    tokens = draw(HRM)
    assert torch.equal(model.logits(tokens), model.logits(tokens, np.zeros(4, int)))
    assert torch.equal(model.logits(tokens), model(to_int(tokens)))
    assert not torch.equal(model.logits(tokens), model.logits(tokens, LENGTHS))


@pytest.mark.parametrize("kind", KINDS)
def test_number_of_slots_is_that_of_the_cache(kind):
    config = KINDS[kind]
    reference, model = pair(config)
    prefill = functools.partial(reference.prefill, cache_len=23)
    _, cache = jax.eval_shape(prefill, jnp.zeros((4, 23), int), jnp.zeros(4, int))
    assert num_stack_passes(config) == num_passes(config) == len(cache)
    assert num_slots(config) == sum(map(len, cache)) == len(model.empty_past(4))


@pytest.mark.parametrize("kind", ["hrm", "looped injected", "causal"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_prefill_and_steps_equal_the_plain_forward(kind, side):
    config = KINDS[kind]
    _, model = pair(config)
    tokens, lens = draw(config), np.array([2, 1, 9, 14])
    expected = model.logits(tokens, lens)
    width = lens.max()
    index = np.arange(width)[None, :] - (width - lens if side == "left" else np.zeros(4, int))[:, None]
    mask = (index >= 0) & (index < lens[:, None])
    ids = np.where(mask, np.take_along_axis(tokens, np.clip(index, 0, 22), 1), 7)
    past = model.empty_past(4)
    types = to_int(mask)
    with torch.no_grad():
        for step in range(5):
            logits, past = model(to_int(ids), to_int(mask), types, past=past)
            assert logits.isfinite().all()
            columns = np.arange(mask.shape[1])[-ids.shape[1] :]
            for row, length in enumerate(lens):
                last = mask[row, columns].nonzero()[0].max()
                wanted = expected[row, length - 1 + step]
                np.testing.assert_allclose(logits[row, last], wanted, atol=1e-5, rtol=1e-5)
            ids = tokens[np.arange(4), lens + step][:, None]
            mask = np.concatenate([mask, np.ones((4, 1), bool)], axis=1)
            types = torch.zeros(4, 1, dtype=torch.int64)
    assert past[0][0].shape == (4, 3, width + 4, 10)


def test_keys_and_values_are_those_of_jax_slot_by_slot():
    reference, model = pair(HRM)
    tokens = draw(HRM)
    _, cache = reference.prefill(jnp.asarray(tokens), jnp.full(4, 23), cache_len=23)
    with torch.no_grad():
        _, kept = model(to_int(tokens), token_type_ids=to_int(np.ones_like(tokens)), past=model.empty_past(4))
    flat = [slot for layers in cache for slot in layers]
    for (k, v), expected in zip(kept, flat, strict=True):
        np.testing.assert_allclose(k.flatten(0, 1), expected.k, atol=1e-4)
        np.testing.assert_allclose(v.flatten(0, 1), expected.v, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_carry_the_packed_names(kind):
    config = KINDS[kind]
    state_dict = to_state_dict(config, weights(config)[1])
    model = TorchHRM(config)
    assert {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()} == {
        name: array.shape for name, array in state_dict.items()
    }


def test_a_checkpoint_file_loads_with_torch_alone(tmp_path, key):
    state_dict = to_state_dict(HRM, weights(HRM)[1])
    save_torch(tmp_path / "best.pt", {"state_dict": state_dict})
    model = TorchHRM(HRM)
    model.load_state_dict(torch.load(tmp_path / "best.pt", weights_only=True)["state_dict"])
    tokens = draw(HRM)
    expected = TorchHRM.from_state_dict(HRM, state_dict).logits(tokens, LENGTHS)
    torch.testing.assert_close(model.logits(tokens, LENGTHS), expected)


def test_tensors_of_another_model_do_not_load():
    state_dict = to_state_dict(HRM, weights(HRM)[1])
    del state_dict["lm_head.weight"]
    with pytest.raises(RuntimeError, match=r"lm_head\.weight"):
        TorchHRM.from_state_dict(HRM, state_dict)


def test_read_only_arrays_are_copied_and_half_precision_is_widened():
    array = {name: value.astype(np.float16) for name, value in to_state_dict(HRM, weights(HRM)[1]).items()}
    for value in array.values():
        value.flags.writeable = False
    model = TorchHRM.from_state_dict(HRM, array)
    with torch.no_grad():
        model.lm_head.weight += 1
    assert {tensor.dtype for tensor in model.state_dict().values()} == {torch.float32}
    assert abs(array["lm_head.weight"]).max() < 1
