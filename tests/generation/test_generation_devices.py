"""Decoding on several devices draws what one device draws, and sends nothing between them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import TINY

from hrm_codegen import loading
from hrm_codegen.codegen import HRMCodeGen
from hrm_codegen.errors import DeviceError, UsageError
from hrm_codegen.generation import sample
from hrm_codegen.generation.sample import Rows, chunks, decode
from hrm_codegen.loading import load_model
from hrm_codegen.model.tiles import lay_out

PROMPTS = ["add", "a longer prompt, in another bucket of shapes", "y = 3", "z", "sort", "q", "w"]


@pytest.mark.parametrize(("prompts", "num_samples", "batch_size"), [(7, 1, 64), (1, 11, 64)])
def test_devices_change_nothing(prompts: int, num_samples: int, batch_size: int) -> None:
    model = HRMCodeGen.from_config(TINY)
    options = {"num_samples": num_samples, "batch_size": batch_size}
    alone = model.generate(PROMPTS[:prompts], **options)
    model.spread(4)
    assert len(jax.tree.leaves(model.params)[0].devices()) == 4
    assert model.generate(PROMPTS[:prompts], **options) == alone
    model.spread(1)
    assert len(jax.tree.leaves(model.params)[0].devices()) == 1


@pytest.mark.parametrize("num_devices", [1, 3, 8])
@pytest.mark.parametrize("num_prompts", [1, 2, 9])
@pytest.mark.parametrize(("num_samples", "batch_size"), [(1, 4), (7, 4), (8, 4), (20, 64), (5, 1)])
def test_every_sample_is_drawn_once(num_prompts, num_samples, batch_size, num_devices) -> None:
    drawn = []
    for pieces, rows, count in chunks(list(range(num_prompts)), num_samples, batch_size, num_devices):
        assert len(pieces) <= rows
        assert rows % num_devices == 0
        assert rows // num_devices * count <= batch_size
        drawn += [(prompt, first + sample) for prompt, first in pieces for sample in range(count)]
    assert sorted(drawn) == [(prompt, sample) for prompt in range(num_prompts) for sample in range(num_samples)]


def test_one_prompt_keeps_every_device_busy() -> None:
    [(pieces, rows, count)] = chunks([0], 16, 64, 8)
    assert (len(pieces), rows, count) == (8, 8, 2)


def test_nothing_is_sent_between_devices() -> None:
    model = HRMCodeGen.from_config(TINY)
    model.spread(8)
    rows = Rows(
        prompts=np.ones((8, 32), np.int32), prompt_lens=np.full(8, 4, np.int32), active=np.ones(8, bool),
        keys=jax.vmap(jax.random.key)(jnp.arange(8)), first_sample=np.zeros(8, np.int32),
    )  # fmt: skip
    text = decode.lower(
        model.graphdef, model.params, lay_out(model.params), rows, 5, 1.0, 1.0, num_samples=2, capacity=32, eoa_id=3,
        mesh=model._mesh, greedy=True, top_k=0, nucleus=False,
    ).compile().as_text()  # fmt: skip
    assert "while" in text
    assert not any(kind in text for kind in ("all-gather", "all-reduce", "collective-permute", "all-to-all"))


def test_devices_of_a_cpu_share_one_copy_of_the_weights() -> None:
    model = HRMCodeGen.from_config(TINY)
    model.spread(3)
    trees = [model.params, model._laid_out(2)]
    model.quantize()
    for tree in (*trees, model.params):
        for leaf in jax.tree.leaves(tree):
            assert len({shard.data.unsafe_buffer_pointer() for shard in leaf.addressable_shards}) == 1


def test_one_sequence_is_drawn_on_one_device(monkeypatch) -> None:
    model = HRMCodeGen.from_config(TINY)
    alone = model.generate(["add"], max_tokens=4)
    model.spread(3)
    meshes = []
    monkeypatch.setattr(
        sample, "decode", lambda *args, mesh, **static: meshes.append(mesh) or decode(*args, mesh=mesh, **static)
    )
    assert model.generate(["add"], max_tokens=4) == alone
    assert meshes == [None]


def test_more_devices_than_there_are() -> None:
    with pytest.raises(DeviceError, match="9 devices wanted, this process has 8 of kind 'cpu'"):
        HRMCodeGen.from_config(TINY).spread(9)


def test_a_model_is_loaded_onto_the_devices_asked_for(tmp_path, monkeypatch) -> None:
    path = str(tmp_path / "best.pt")
    HRMCodeGen.from_config(TINY).save_checkpoint(path)
    for cores, devices in ((3, 3), (100, 8), (1, 1)):  # of 8
        monkeypatch.setattr(loading, "cores", lambda cores=cores: cores)
        assert len(jax.tree.leaves(load_model(path).params)[0].devices()) == devices
    assert len(jax.tree.leaves(load_model(path, num_devices=2).params)[0].devices()) == 2
    with pytest.raises(UsageError, match="--num-devices is for HRM checkpoints"):
        load_model("hf:gpt2", num_devices=2)
    with pytest.raises(UsageError, match="--weights is for HRM checkpoints"):
        load_model("hf:gpt2", weights="int8")
