"""Decoding by look-up draws exactly what one token at a time draws, in fewer passes where the text repeats."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from hrm_codegen import model as hrm_model
from hrm_codegen.config import ModelConfig, SampleConfig
from hrm_codegen.generation import generate, lookup
from hrm_codegen.generation.lookup import complete_by_lookup, decode_by_lookup, drafts_pay, guess
from hrm_codegen.model.tiles import lay_out

CONFIG = ModelConfig(vocab_size=16, hidden_dim=16, num_heads=2, intermediate_dim=32, layers_per_stack=1, l_cycles=2)
PAD, EOA = 0, 3


@pytest.fixture(scope="module")
def model():
    graphdef, params = hrm_model.init(CONFIG, jax.random.key(7))
    params["head"][...] = params["head"][...] * 4  # sharper, so that draws repeat and greedy ties do not occur
    return graphdef, params


@pytest.mark.parametrize("eoa_id", [EOA, -1])
@pytest.mark.parametrize(("temperature", "top_k"), [(0.0, 0), (1.0, 0), (0.6, 3)])
@pytest.mark.parametrize("max_tokens", [1, 2, 30])
def test_a_look_up_changes_nothing(model, eoa_id, temperature, top_k, max_tokens) -> None:
    graphdef, params = model
    sampling = SampleConfig(max_tokens=max_tokens, temperature=temperature, top_p=1.0, top_k=top_k)
    for seed, prompt in enumerate([[1], [1, 5, 6, 2], [4, 5, 4, 5, 4], list(range(4, 14)) * 3]):
        options = {"sampling": sampling, "eoa_id": eoa_id, "pad_id": PAD}
        ((plain,),) = generate(graphdef, params, [prompt], num_samples=1, seeds=[seed], batch_size=1, **options)
        drafted = complete_by_lookup(graphdef, params, lay_out(params), prompt, seed=seed, **options)
        assert drafted.tokens == plain.tokens
        assert drafted.finished == plain.finished
        assert drafted.log_prob == pytest.approx(plain.log_prob, abs=1e-4)


def test_text_that_repeats_takes_fewer_passes(model) -> None:
    graphdef, params = model
    _, _, blocks = decode_by_lookup(
        graphdef, params, lay_out(params), jnp.full((1, 32), 4), jnp.asarray(4), jax.random.key(0), jnp.asarray(60),
        jnp.asarray(1.0), jnp.asarray(1.0), capacity=64, eoa_id=-1, greedy=True, top_k=0, nucleus=False,
    )  # fmt: skip
    assert 59 / lookup.BLOCK <= int(blocks) < 40  # a greedy text over 16 tokens soon runs in circles


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ([1, 2, 3, 9, 1, 2], [3, 9, 1]),  # after the last two
        ([5, 2, 7, 1, 8, 4, 1, 2], [7, 1, 8]),  # after the last one
        ([1, 2, 3, 1, 2, 4, 1, 2], [4, 1, 2]),  # the latest of two places
        ([1, 2, 7, 7], [7, 7, 7]),  # a text too short is repeated
        ([6, 1, 2, 1, 2], [1, 2, 1]),
        ([1, 2, 3], [1, 2, 3]),  # nothing found: anything
    ],
)
def test_guesses(text, expected) -> None:
    padded = jnp.asarray(text + [0] * (12 - len(text)))
    assert guess(padded, jnp.asarray(len(text) - 1), length=3).tolist() == expected


def test_drafts_are_for_large_weights_and_single_sequences(model, monkeypatch) -> None:
    graphdef, params = model
    assert not drafts_pay(params)
    assert drafts_pay(nnx.State({"head": jnp.zeros(lookup.LEAST_BYTES // 4)}))
    drafted = []
    monkeypatch.setattr("hrm_codegen.generation.sample.drafts_pay", lambda params: True)
    monkeypatch.setattr(
        "hrm_codegen.generation.sample.complete_by_lookup",
        lambda *args, **options: drafted.append(options["seed"]) or complete_by_lookup(*args, **options),
    )
    options = {"sampling": SampleConfig(max_tokens=4), "eoa_id": EOA, "pad_id": PAD, "batch_size": 4}
    alone = generate(graphdef, params, [[1, 5]], num_samples=1, seeds=[3], **options)
    together = generate(graphdef, params, [[1, 5], [1, 6]], num_samples=1, seeds=[3, 4], **options)
    assert drafted == [3]
    assert alone[0][0].tokens == together[0][0].tokens
