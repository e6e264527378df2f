"""Ranges and agreements between fields: each rule is broken once and kept once."""

from __future__ import annotations

import dataclasses

import pytest

from hrm_codegen.config import Config, ModelConfig, TrainConfig, from_dict, validate
from hrm_codegen.config.checks import AGREEMENTS, RANGES, flatten
from hrm_codegen.errors import ConfigError

BASE = {"model": {"vocab_size": 64, "hidden_dim": 16, "num_heads": 2}, "train": {"num_steps": 3}}

BROKEN = [
    ("model.vocab_size=0", "must be at least 1, got 0"),
    ("model.hidden_dim=-4", "must be at least 1, got -4"),
    ("model.num_heads=3", "must divide model.hidden_dim = 16 (or set model.head_dim), got 3"),
    ("model.num_heads=16",
     "must give an even head size, model.hidden_dim / model.num_heads = 1 is odd, got 16"),
    ("model.head_dim=5", "must be an even number of at least 2, got 5"),
    ("model.intermediate_dim=0", "must be at least 1, got 0"),
    ("model.layers_per_stack=0", "must be at least 1, got 0"),
    ("model.h_cycles=0", "must be at least 1, got 0"),
    ("model.l_cycles=0", "must be at least 1, got 0"),
    ("model.rope_theta=0", "must be above 0, got 0.0"),
    ("model.norm_eps=-1", "must be above 0, got -1.0"),
    ("model.max_seq_len=100", None),
    ("data.seq_len=1", "must be at least 2, got 1"),
    ("data.seq_len=513", "must be at most model.max_seq_len = 512, got 513"),
    ("data.prompt_tests=-1", "must be at least 0, got -1"),
    ("data.loss_on_prompt=true", "must be false unless model.mask is causal, got true"),
    ("data.tokenizer=\"\"", 'must not be empty, got ""'),
    ("optim.warmup_steps=-1", "must be at least 0, got -1"),
    ("optim.min_lr_ratio=1.5", "must be in [0, 1], got 1.5"),
    ("optim.b1=1", "must be in [0, 1), got 1.0"),
    ("optim.b2=-0.1", "must be in [0, 1), got -0.1"),
    ("optim.weight_decay=-1", "must be at least 0, got -1.0"),
    ("optim.clip_norm=0", "must be above 0, got 0.0"),
    ("optim.ema_decay=1", "must be in [0, 1), got 1.0"),
    ("mesh.tensor=0", "must be at least 1, or -1 for all devices that are left, got 0"),
    ("mesh.tensor=-1", "must not be -1 too: one mesh axis at most, got -1"),
    ("train.batch_size=0", "must be at least 1, got 0"),
    ("train.grad_accum=5", None),
    ("train.bp_min=9", None),
    ("train.bp_min=1", "must be at least 2 with model.core hrm, so that both roles get gradients, got 1"),
    ("train.bp_min=6", "must be at most train.bp_max = 5 (its default), got 6"),
    ("train.bp_max=1", "must be at least 2 with model.core hrm, so that both roles get gradients, got 1"),
    ("train.bp_max=9", "must be at most h_cycles * (l_cycles + 1) = 8, got 9"),
    ("train.bp_warmup_ratio=2", "must be in [0, 1], got 2.0"),
    ("train.seed=-1", "must be in [0, 2**32), got -1"),
    ("train.eval_batches=0", "must be at least 1, got 0"),
    ("train.time_limit_minutes=0", "must be above 0, got 0.0"),
    ("train.run_name=a/b", 'must be a file name, without / or \\, got "a/b"'),
    ("train.run_name=..", 'must be a file name, without / or \\, got ".."'),
    ("eval.k=[0, 1]", "must be one or more integers of at least 1, got [0, 1]"),
    ("eval.num_samples=9", "must be at least max(eval.k) = 10, got 9"),
    ("eval.timeout=0", "must be above 0, got 0.0"),
    ("sample.temperature=-0.5", "must be at least 0, got -0.5"),
    ("sample.top_p=0", "must be in (0, 1], got 0.0"),
    ("sample.top_p=1.01", "must be in (0, 1], got 1.01"),
    ("sample.top_k=-1", "must be at least 0, got -1"),
]  # fmt: skip


@pytest.mark.parametrize(("override", "requirement"), [pair for pair in BROKEN if pair[1]])
def test_broken_rule(override, requirement):
    with pytest.raises(ConfigError) as caught:
        from_dict(BASE, overrides=[override])
    path = override.partition("=")[0]
    assert str(caught.value) == f'field "{path}" {requirement} (--set {override})'


@pytest.mark.parametrize(
    ("override", "message"),
    [  # The blamed field is a default: the place is that of the field which was given.
        ("model.max_seq_len=100", 'field "data.seq_len" must be at most model.max_seq_len = 100, got 256'),
        ("train.grad_accum=5", 'field "train.batch_size" must be divisible by train.grad_accum = 5, got 32'),
    ],
)
def test_broken_default_is_placed_at_the_related_field(override, message):
    with pytest.raises(ConfigError) as caught:
        from_dict(BASE, overrides=[override])
    assert str(caught.value) == f"{message} (--set {override})"


def test_two_rules_can_blame_one_field():
    with pytest.raises(ConfigError) as caught:
        from_dict(BASE, overrides=["train.bp_min=9"])
    assert [line.split(" must ")[1].split(",")[0] for line in str(caught.value).split("\n")] == [
        "be at most h_cycles * (l_cycles + 1) = 8",
        "be at most train.bp_max = 5 (its default)",
    ]


@pytest.mark.parametrize(
    "overrides",
    [
        ["model.head_dim=6", "model.num_heads=3"],
        ["model.hidden_dim=15", "model.num_heads=4", "model.head_dim=8"],
        ["data.seq_len=512"],
        ["data.loss_on_prompt=true", "model.mask=causal"],
        ["mesh.data=2", "mesh.fsdp=-1"],
        ["train.batch_size=2304", "train.grad_accum=9"],
        ["train.bp_min=2", "train.bp_max=2"],
        ["train.bp_min=8", "train.bp_max=8"],
        ["train.bp_max=2"],
        ["model.core=transformer", "train.bp_min=1", "train.bp_max=1"],
        ["model.core=looped", "model.h_cycles=3", "model.l_cycles=3"],
        ["model.h_cycles=3", "model.l_cycles=2"],
        ["eval.num_samples=10"],
        ["eval.k=100"],
        ["sample.top_p=1", "sample.temperature=0"],
        ["optim.ema_decay=0", "optim.weight_decay=0", "optim.min_lr_ratio=1", "optim.warmup_steps=0"],
    ],
)
def test_kept_rule(overrides):
    assert isinstance(from_dict(BASE, overrides=overrides), Config)


def test_looped_needs_an_even_number_of_passes():
    with pytest.raises(ConfigError) as caught:
        from_dict(BASE, overrides=["model.core=looped", "model.h_cycles=3", "model.l_cycles=2"])
    assert str(caught.value) == (
        'field "model.core" must not be looped with h_cycles * (l_cycles + 1) = 9, which must be even, got "looped"'
        " (--set model.core=looped)"
    )


def test_validate_collects_and_has_no_places():
    config = Config(
        model=ModelConfig(vocab_size=64, hidden_dim=16, num_heads=3), train=TrainConfig(num_steps=0, batch_size=0)
    )
    with pytest.raises(ConfigError) as caught:
        validate(config)
    assert set(caught.value.args) == {
        'field "train.num_steps" must be at least 1, got 0',
        'field "train.batch_size" must be at least 1, got 0',
        'field "model.num_heads" must divide model.hidden_dim = 16 (or set model.head_dim), got 3',
    }
    good = dataclasses.replace(
        config, model=dataclasses.replace(config.model, num_heads=2), train=TrainConfig(num_steps=1)
    )
    validate(good)


def test_every_number_has_a_range_and_every_rule_a_field():
    fields = flatten(from_dict(BASE))
    ranged = {rule.path for rule in RANGES}
    numbers = {path for path, value in fields.items() if type(value) in (int, float)}
    assert numbers <= ranged
    assert {path for rule in (*RANGES, *AGREEMENTS) for path in (rule.path, *rule.related)} <= set(fields)
