"""Cached decoding against the full forward pass; sampling, seeds, batches and beams."""

from __future__ import annotations

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from hrm_codegen import generation
from hrm_codegen import model as hrm_model
from hrm_codegen.config.schema import ModelConfig, SampleConfig
from hrm_codegen.generation.bucket import bucket_length
from hrm_codegen.generation.strategy import draw, first_largest, keep_top_k, keep_top_p

CONFIG = ModelConfig(vocab_size=13, hidden_dim=16, num_heads=2, intermediate_dim=24, layers_per_stack=1, l_cycles=2)
EOA, PAD = 3, 0
PROMPTS = [[1, 5, 6, 2], [1, 7, 2], [1, 4, 8, 9, 10, 2]]


def build(core: str = "hrm", **changes: object) -> tuple[nnx.GraphDef, nnx.State]:
    graphdef, params = hrm_model.init(dataclasses.replace(CONFIG, core=core, **changes), jax.random.key(5))
    params["head"][...] = params["head"][...] * 4  # sharper than a new model, so that greedy ties do not occur
    return graphdef, params


def full_logits(graphdef: nnx.GraphDef, params: nnx.State, tokens: list[int], prefix_len: int) -> np.ndarray:
    """The plain forward of one row, padded to one shape so that it compiles once."""
    padded = jnp.array([tokens + [0] * (64 - len(tokens))])
    position = jnp.arange(64)[None]
    return np.asarray(_forward(graphdef, params, padded, position < prefix_len, (position < len(tokens)).astype(int)))[
        0
    ]


@jax.jit(static_argnames=("graphdef",))
def _forward(graphdef, params, tokens, prefix_mask, segment_ids):
    return hrm_model.merge(graphdef, params)(tokens, prefix_mask=prefix_mask, segment_ids=segment_ids)


def decode(graphdef, params, prompts, *, num_samples=1, batch_size=8, seeds=None, **sampling):
    settings = SampleConfig(**{"max_tokens": 12, "temperature": 0.0, "top_p": 1.0, **sampling})
    return generation.generate(
        graphdef,
        params,
        prompts,
        num_samples=num_samples,
        seeds=seeds or list(range(len(prompts))),
        sampling=settings,
        eoa_id=EOA,
        pad_id=PAD,
        batch_size=batch_size,
    )


def greedy_by_full_forward(graphdef, params, prompt, limit):
    tokens, log_prob = list(prompt), 0.0
    for _ in range(limit):
        logits = full_logits(graphdef, params, tokens, len(prompt))[len(tokens) - 1]
        token = int(logits.argmax())
        log_prob += float(jax.nn.log_softmax(logits)[token])
        if token == EOA:
            break
        tokens.append(token)
    return tuple(tokens[len(prompt) :]), log_prob


@pytest.mark.parametrize(
    ("core", "mask", "scan_layers", "x_inject"),
    [
        ("hrm", "prefix_lm", False, False),
        ("hrm", "causal", True, True),
        ("trm", "prefix_lm", False, False),
        ("looped", "prefix_lm", False, True),
        ("transformer", "causal", False, False),
    ],
)
def test_cached_decode_equals_full_forward(core: str, mask: str, scan_layers: bool, x_inject: bool) -> None:
    graphdef, params = build(core, mask=mask, scan_layers=scan_layers, x_inject=x_inject)
    model = hrm_model.merge(graphdef, params)
    lengths = jnp.array([len(prompt) for prompt in PROMPTS])
    prompts = jnp.array([prompt + [0] * (8 - len(prompt)) for prompt in PROMPTS])
    answers = np.array([[4, 9, 11, 3, 7], [12, 1, 5, 5, 8], [6, 6, 10, 2, 4]])

    @jax.jit
    def run(params):
        model = hrm_model.merge(graphdef, params)
        logits, cache = model.prefill(prompts, lengths, cache_len=16)
        seen = [logits]
        for step in range(5):
            slots = jnp.arange(16)[None]
            key_mask = (slots < lengths[:, None]) | ((slots >= 8) & (slots <= 8 + step))
            logits, cache = model.decode_step(
                jnp.asarray(answers[:, step]), lengths + step, cache, slot=jnp.asarray(8 + step), key_mask=key_mask
            )
            seen.append(logits)
        return jnp.stack(seen, axis=1)

    assert model.config.core == core
    got = np.asarray(run(params))
    for row, prompt in enumerate(PROMPTS):
        full = full_logits(graphdef, params, prompt + list(answers[row]), len(prompt))
        np.testing.assert_allclose(got[row], full[len(prompt) - 1 : len(prompt) + 5], atol=1e-4)


def test_greedy_equals_step_by_step_full_forward() -> None:
    graphdef, params = build()
    for prompt, (answer,) in zip(PROMPTS, decode(graphdef, params, PROMPTS), strict=True):
        tokens, log_prob = greedy_by_full_forward(graphdef, params, prompt, 12)
        assert answer.tokens == tokens
        assert answer.log_prob == pytest.approx(log_prob, abs=1e-3)


def test_a_result_does_not_depend_on_batch_size_order_or_mates() -> None:
    graphdef, params = build()
    options = {"temperature": 1.0, "top_p": 0.9, "top_k": 8}
    together = decode(graphdef, params, PROMPTS, seeds=[11, 12, 13], num_samples=3, **options)
    one_by_one = [
        decode(graphdef, params, [prompt], seeds=[seed], num_samples=3, batch_size=1, **options)[0]
        for prompt, seed in zip(PROMPTS, (11, 12, 13), strict=True)
    ]
    backwards = decode(graphdef, params, PROMPTS[::-1], seeds=[13, 12, 11], num_samples=3, batch_size=4, **options)
    tokens = [[answer.tokens for answer in answers] for answers in together]
    assert tokens == [[answer.tokens for answer in answers] for answers in one_by_one]
    assert tokens == [[answer.tokens for answer in answers] for answers in backwards[::-1]]


def test_seeds_repeat_and_samples_differ() -> None:
    graphdef, params = build()
    first = decode(graphdef, params, PROMPTS[:1], num_samples=6, temperature=1.5, seeds=[7])[0]
    again = decode(graphdef, params, PROMPTS[:1], num_samples=6, temperature=1.5, seeds=[7])[0]
    other = decode(graphdef, params, PROMPTS[:1], num_samples=6, temperature=1.5, seeds=[8])[0]
    assert first == again != other
    assert len({answer.tokens for answer in first}) > 1


def test_decoding_stops_at_the_end_token_or_the_limit() -> None:
    graphdef, params = build()
    params["head"][...] = params["head"][...].at[:, EOA].set(0.0)
    for answer in itertools.chain(*decode(graphdef, params, PROMPTS, num_samples=8, temperature=1.0)):
        assert EOA not in answer.tokens
        assert len(answer.tokens) == 12 if not answer.finished else len(answer.tokens) < 12
    assert [len(answer.tokens) for answer in decode(graphdef, params, PROMPTS[:1], max_tokens=5)[0]] == [5]


def test_sampled_frequencies_follow_the_model() -> None:
    """Chi-square of 4,000 one-token draws against the softmax of the full forward."""
    graphdef, params = build()
    drawn = decode(graphdef, params, PROMPTS[:1], num_samples=4000, batch_size=4000, temperature=2.0, max_tokens=1)[0]
    logits = full_logits(graphdef, params, PROMPTS[0], 4)[3] / 2.0
    expected = np.exp(logits - logits.max())
    expected = expected / expected.sum() * 4000
    counts = np.bincount([answer.tokens[0] if answer.tokens else EOA for answer in drawn], minlength=13)
    assert ((counts - expected) ** 2 / np.maximum(expected, 1)).sum() < 40  # 12 degrees of freedom: p = 7e-5


def test_one_beam_is_greedy() -> None:
    graphdef, params = build()
    for prompt, (greedy,) in zip(PROMPTS, decode(graphdef, params, PROMPTS), strict=True):
        best = generation.beam_search(graphdef, params, prompt, num_beams=1, max_tokens=12, eoa_id=EOA, pad_id=PAD)[0]
        assert best.tokens == greedy.tokens
        assert best.log_prob == pytest.approx(greedy.log_prob, abs=1e-3)


def test_wide_beams_find_the_likeliest_answer() -> None:
    """With more beams than prefixes the search is exhaustive: compare with brute force over every answer."""
    graphdef, params = build(vocab_size=5)
    prompt, limit = [1, 4, 2], 3
    best = generation.beam_search(graphdef, params, prompt, num_beams=25, max_tokens=limit, eoa_id=EOA, pad_id=PAD)
    scores: dict[tuple[int, ...], float] = {}
    for answer in itertools.product(range(5), repeat=limit):
        logits = jax.nn.log_softmax(full_logits(graphdef, params, prompt + list(answer), 3)[2:5], axis=-1)
        steps = answer.index(EOA) + 1 if EOA in answer else limit
        scores[answer[:steps]] = float(sum(logits[t, answer[t]] for t in range(steps)))
    answer, score = max(scores.items(), key=lambda item: item[1])
    assert best[0].tokens == tuple(token for token in answer if token != EOA)
    assert best[0].log_prob == pytest.approx(score, abs=1e-3)
    assert [b.log_prob for b in best] == sorted((b.log_prob for b in best), reverse=True)


@settings(max_examples=50, deadline=None)
@given(
    logits=st.lists(st.integers(-50, 50), min_size=7, max_size=7, unique=True),
    top_k=st.integers(1, 9),
    top_p=st.floats(0.05, 1.0),
)
def test_filters_against_their_definitions(logits: list[int], top_k: int, top_p: float) -> None:
    values = np.array(logits) / 10
    order = np.argsort(-values)
    probabilities = np.exp(values[order]) / np.exp(values).sum()
    row = jnp.asarray(values, jnp.float32)[None]
    kept = np.flatnonzero(np.isfinite(keep_top_k(row, top_k=top_k)[0]))
    assert set(kept) == set(order[:top_k])
    nucleus = np.flatnonzero(np.isfinite(keep_top_p(row, top_p=jnp.float32(top_p))[0]))
    cumulative = np.cumsum(probabilities)
    assert set(nucleus) == set(order[: len(nucleus)])
    assert cumulative[len(nucleus) - 1] >= top_p - 1e-5
    assert len(nucleus) == 1 or cumulative[len(nucleus) - 2] < top_p + 1e-5


def test_greedy_draw_needs_no_randomness() -> None:
    keys = jax.random.split(jax.random.key(0), 2)
    logits = jnp.array([[0.0, 3.0, 1.0], [5.0, 0.0, 1.0]])
    options = {"temperature": jnp.float32(1), "top_p": jnp.float32(1), "top_k": 0, "nucleus": False}
    assert draw(logits, keys, greedy=True, **options).tolist() == [1, 0]


@given(st.integers(1, 4096))
def test_buckets_hold_their_prompts_and_are_few(length: int) -> None:
    padded = bucket_length(length)
    assert length <= padded < length + 128
    assert bucket_length(padded) == padded


def test_first_largest_is_argmax():
    x = np.random.default_rng(0).integers(-3, 4, (200, 7)).astype(np.float32)  # ties in most rows
    x[0, :] = -np.inf
    np.testing.assert_array_equal(first_largest(jnp.asarray(x)), x.argmax(axis=-1))
    assert first_largest(jnp.full((1, 7), jnp.nan)).tolist() == [6]  # a token of the vocabulary
