"""A model of eight bits writes the same alone, where it reads bytes, as together with others, where it does not."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from tiny import TINY

from hrm_codegen import jobs
from hrm_codegen.cli import main
from hrm_codegen.codegen import HRMCodeGen
from hrm_codegen.evaluator.harness import _identity
from hrm_codegen.generation import generate
from hrm_codegen.loading import load_model
from hrm_codegen.model import slabs
from hrm_codegen.model.rounding import round_matrices

PROMPTS, SEEDS = ["add two numbers", "sort"], [4, 5]


@pytest.fixture
def model(monkeypatch):
    monkeypatch.setattr(slabs, "LEAST_BYTES", 0)
    model = HRMCodeGen.from_config(TINY, seed=3)
    model.quantize()
    return model


@pytest.mark.parametrize("temperature", [0.0, 0.9])
@pytest.mark.parametrize("num_devices", [1, 2])
def test_alone_or_together(model, temperature, num_devices) -> None:
    model.spread(num_devices)
    options = {"max_tokens": 12, "temperature": temperature}
    together = model.generate(PROMPTS, seeds=SEEDS, **options)
    alone = [model.generate([prompt], seeds=[seed], **options)[0] for prompt, seed in zip(PROMPTS, SEEDS, strict=True)]
    assert alone == together
    assert not slabs.is_for_one(model._laid_out(2))


@pytest.mark.skipif(not slabs.loop_exists(), reason="this XLA makes no such loop")
def test_one_sequence_reads_bytes_and_no_drafts(model, monkeypatch) -> None:
    read = []
    monkeypatch.setattr(
        "hrm_codegen.codegen.generate",
        lambda *args, **options: read.append(options["laid_out"]) or generate(*args, **options),
    )
    monkeypatch.setattr("hrm_codegen.generation.layouts.drafts_pay", lambda params: True)
    monkeypatch.setattr("hrm_codegen.generation.sample.drafts_pay", lambda params: True)
    model.generate(PROMPTS[:1], max_tokens=4)
    assert slabs.is_for_one(read[0])
    assert model._laid_out(1) is read[0]  # made once


def test_layouts_of_other_parameters_are_let_go(model) -> None:
    model._laid_out(2)
    model.spread(2)
    model._laid_out(1)
    assert [*model._layouts._made] == ([slabs.lay_out_for_one] if slabs.loop_exists() else [])


def test_a_file_keeps_the_rounded_weights(model, tmp_path) -> None:
    path = str(tmp_path / "rounded.pt")
    model.save_checkpoint(path)
    again = HRMCodeGen.from_pretrained(path)
    assert (model.weights, again.weights) == ("int8", "float32")
    assert again.sha256 == model.sha256
    again.quantize()
    for before, after in zip(jax.tree.leaves(model.params), jax.tree.leaves(again.params), strict=True):
        np.testing.assert_allclose(after, before, rtol=1e-6)


def test_the_front_doors_round_on_request(tmp_path, capsys, monkeypatch) -> None:
    path = str(tmp_path / "best.pt")
    plain = HRMCodeGen.from_config(TINY)
    plain.save_checkpoint(path)
    rounded = load_model(path, weights="int8", num_devices=1)
    expected = jax.tree.leaves(round_matrices(plain.params))
    for ours, theirs in zip(jax.tree.leaves(rounded.params), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert _identity(rounded)["weights"] == "int8"
    asked = []
    monkeypatch.setattr(jobs, "generate", lambda **options: asked.append(options["weights"]) or ["x = 1"])
    monkeypatch.setattr(jobs, "measure", lambda **options: asked.append(options["weights"]) or {})
    monkeypatch.setattr(jobs, "sweep", lambda **options: asked.append(options["weights"]) or [])
    main(["gen", "--prompt", "add", "--weights", "int8"])
    main(["benchmark", "gen", "--weights", "int8"])
    main(["eval", "--ckpt", path, "--weights", "int8"])
    assert asked == ["int8"] * 3
