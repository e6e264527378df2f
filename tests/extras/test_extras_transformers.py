"""`hrm_text` of Transformers is the reference: logits, gradients and greedy text agree in both directions."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hrm_codegen.codegen import HRMCodeGen
from hrm_codegen.config import Config, DataConfig, ModelConfig, SampleConfig, TrainConfig
from hrm_codegen.data import Tokenizer
from hrm_codegen.interop import to_state_dict
from hrm_codegen.interop.hf_tokenizer import tokenizer_files
from hrm_codegen.model import init, merge

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.extras

# hidden size, heads, head size, feed-forward, layers a stack, H cycles, L cycles
SHAPES = {"paper": (48, 3, 16, 80, 2, 2, 3), "wide-heads": (32, 2, 24, 64, 1, 1, 2), "deep": (64, 4, 16, 96, 3, 3, 1)}
VOCAB = 320  # more than the tokenizer has, as HRM-Text's is padded
ROWS = [(17, 9), (12, 12), (20, 1)]  # length and prompt of each row
PROMPTS = ["Write a function to add.", "x", "sort the list [3, 1]\nassert f([2, 1]) == [1, 2]", "é\n\n  z"]


def shape_of(name: str) -> ModelConfig:
    dim, heads, head_dim, inner, layers, h_cycles, l_cycles = SHAPES[name]
    return ModelConfig(
        vocab_size=VOCAB, hidden_dim=dim, num_heads=heads, head_dim=head_dim, intermediate_dim=inner,
        layers_per_stack=layers, h_cycles=h_cycles, l_cycles=l_cycles, max_seq_len=128,
    )  # fmt: skip


def config_of(name: str, mask: str) -> Config:
    return Config(
        name=name,
        model=dataclasses.replace(shape_of(name), mask=mask),
        data=DataConfig(tokenizer="byte", seq_len=64),
        train=TrainConfig(num_steps=1),
        sample=SampleConfig(max_tokens=64, temperature=0.0),
    )


def make_ours(name: str, mask: str) -> HRMCodeGen:
    config = config_of(name, mask)
    _, params = init(config.model, jax.random.key(3))
    return HRMCodeGen(config=config, tokenizer=Tokenizer.load("byte"), params=params)


def make_theirs(name: str, mask: str) -> transformers.PreTrainedModel:
    """A model that Transformers made, with its own scale of the embedding and a state to start from."""
    model = shape_of(name)
    torch.manual_seed(5)
    config = transformers.HrmTextConfig(
        vocab_size=VOCAB, hidden_size=model.hidden_dim, intermediate_size=model.intermediate_dim,
        num_hidden_layers=model.layers_per_stack, num_attention_heads=model.num_heads, head_dim=model.head_dim,
        H_cycles=model.h_cycles, L_cycles=model.l_cycles, max_position_embeddings=128, prefix_lm=mask == "prefix_lm",
        initializer_range=0.08, pad_token_id=0, bos_token_id=1, eos_token_id=3,
    )  # fmt: skip
    net = transformers.HrmTextForCausalLM(config).eval()
    with torch.no_grad():
        net.model.z_L_init.normal_()
    return net


def save_theirs(net: transformers.PreTrainedModel, folder: Path, layout: str) -> HRMCodeGen:
    """Saves a model as Transformers does, packed or as it is in memory, with our tokenizer beside it."""
    if layout == "sharded":
        net.save_pretrained(folder, max_shard_size="40KB")
    else:
        net.save_pretrained(folder)
    if layout == "split":
        from safetensors.torch import save_file

        save_file({k: v.contiguous() for k, v in net.state_dict().items()}, folder / "model.safetensors")
    if layout == "torch":
        (folder / "model.safetensors").unlink()
        torch.save(net.state_dict(), folder / "pytorch_model.bin")
    add_tokenizer(folder, net.config.prefix_lm)
    return HRMCodeGen.from_pretrained(folder)


def add_tokenizer(folder: Path, prefix_lm: bool) -> None:
    config = config_of("paper", "prefix_lm" if prefix_lm else "causal")
    for name, tree in tokenizer_files(Tokenizer.load("byte"), config).items():
        (folder / name).write_text(json.dumps(tree))


def ragged() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    width = max(length for length, _ in ROWS)
    tokens = rng.integers(4, VOCAB, (len(ROWS), width))
    real = np.arange(width)[None] < np.array([[length] for length, _ in ROWS])
    prefix = np.arange(width)[None] < np.array([[prompt] for _, prompt in ROWS])
    return np.where(real, tokens, 0), real, prefix


def their_logits(net: transformers.PreTrainedModel) -> np.ndarray:
    tokens, real, prefix = ragged()
    types = {"token_type_ids": torch.tensor(prefix).long()} if net.config.prefix_lm else {}
    with torch.no_grad():
        out = net(input_ids=torch.tensor(tokens), attention_mask=torch.tensor(real).long(), **types)
    return out.logits.float().numpy()


def assert_same_logits(ours: HRMCodeGen, net: transformers.PreTrainedModel) -> None:
    tokens, real, prefix = ragged()
    logits = np.asarray(ours.logits(tokens, prefix.sum(axis=1)))
    np.testing.assert_allclose(logits[real], their_logits(net)[real], atol=1e-4)


@pytest.mark.parametrize("mask", ["prefix_lm", "causal"])
@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("layout", ["packed", "split", "sharded", "torch"])
def test_their_checkpoints_compute_the_same_here(layout, name, mask, tmp_path: Path) -> None:
    net = make_theirs(name, mask)
    ours = save_theirs(net, tmp_path, layout)
    assert (ours.config.model.mask, ours.config.model.layers_per_stack) == (mask, shape_of(name).layers_per_stack)
    assert_same_logits(ours, net)


def test_their_sharded_checkpoint_really_is_in_shards(tmp_path: Path) -> None:
    save_theirs(make_theirs("paper", "causal"), tmp_path, "sharded")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 2


def test_their_bfloat16_is_read_as_its_values(tmp_path: Path) -> None:
    net = make_theirs("paper", "prefix_lm").to(torch.bfloat16)
    assert_same_logits(save_theirs(net, tmp_path, "packed"), net.float())


@pytest.mark.parametrize("mask", ["prefix_lm", "causal"])
@pytest.mark.parametrize("name", SHAPES)
def test_our_exports_compute_the_same_there(name, mask, tmp_path: Path) -> None:
    ours = make_ours(name, mask)
    ours.export_hf(tmp_path / "f")
    net, report = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "f", output_loading_info=True)
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert_same_logits(ours, net.eval())


def test_best_pt_feeds_their_model_directly(tmp_path: Path) -> None:
    ours = make_ours("paper", "prefix_lm")
    ours.save_checkpoint(tmp_path / "best.pt")
    ours.export_hf(tmp_path / "f")
    state_dict = torch.load(tmp_path / "best.pt", weights_only=True, mmap=True)["state_dict"]
    config = transformers.AutoConfig.from_pretrained(tmp_path / "f")
    net = transformers.HrmTextForCausalLM.from_pretrained(None, config=config, state_dict=state_dict)
    assert_same_logits(ours, net.eval())


@pytest.mark.parametrize("direction", ["ours", "theirs"])
@pytest.mark.parametrize("mask", ["prefix_lm", "causal"])
def test_gradients_agree_at_the_last_truncation(mask, direction, tmp_path: Path) -> None:
    """K = 5 of H2 L3, the loss on the answers only; the reference has no gradient for its frozen state."""
    if direction == "ours":
        ours = make_ours("paper", mask)
        ours.export_hf(tmp_path / "f")
        net = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "f")
    else:
        net = make_theirs("paper", mask)
        net.model.L_bp_cycles_padded = [0, 3]  # its default is not the paper's
        ours = save_theirs(net, tmp_path, "packed")
    net.train()
    tokens, real, prefix = ragged()
    targets = np.roll(tokens, -1, axis=1)
    answers = real & np.roll(real, -1, axis=1) & (np.arange(tokens.shape[1])[None] >= prefix.sum(1, keepdims=True) - 1)
    answers[:, -1] = False

    types = {"token_type_ids": torch.tensor(prefix).long()} if mask == "prefix_lm" else {}
    logits = net(input_ids=torch.tensor(tokens), attention_mask=torch.tensor(real).long(), **types).logits
    loss = torch.nn.functional.cross_entropy(logits[torch.tensor(answers)], torch.tensor(targets[answers]))
    loss.backward()
    reference = {name: p.grad.numpy() for name, p in net.named_parameters() if p.grad is not None}

    def our_loss(params):
        out = merge(ours.graphdef, params)(
            jnp.asarray(tokens), prefix_mask=jnp.asarray(prefix), segment_ids=jnp.asarray(real).astype(jnp.int32),
            bp_passes=5,
        )  # fmt: skip
        log_probs = jnp.take_along_axis(jax.nn.log_softmax(out), jnp.asarray(targets)[..., None], axis=-1)[..., 0]
        return -jnp.sum(log_probs * answers) / answers.sum()

    value, grads = jax.value_and_grad(our_loss)(ours.params)
    assert float(value) == pytest.approx(loss.item(), abs=1e-5)
    packed = to_state_dict(ours.config.model, grads)
    # The embedding is scaled differently in a checkpoint of theirs, and its padding row never has a gradient.
    factor = net.config.embedding_scale / ours.config.model.hidden_dim**0.5
    embedding = packed.pop("model.embed_tokens.weight")[1:] * np.float32(factor)
    compare(embedding, reference.pop("model.embed_tokens.weight")[1:])
    assert not np.any(packed.pop("model.z_L_init"))
    for name, gradient in packed.items():
        if "gqkv" in name:
            base = name.replace("attn.gqkv_proj", "self_attn.{}_proj")
            parts = [reference[base.format(part)] for part in ("gate", "q", "k", "v")]
        elif "gate_up" in name:
            parts = [reference[name.replace("gate_up", part)] for part in ("gate", "up")]
        else:
            parts = [reference[name.replace(".attn.o_proj", ".self_attn.o_proj")]]
        compare(gradient, np.concatenate(parts))


def compare(ours: np.ndarray, theirs: np.ndarray) -> None:
    assert np.abs(ours - theirs).max() <= 1e-4 * np.abs(theirs).max()


@pytest.mark.parametrize("direction", ["ours", "theirs"])
@pytest.mark.parametrize("mask", ["prefix_lm", "causal"])
@pytest.mark.parametrize("name", SHAPES)
def test_greedy_continuations_are_identical(name, mask, direction, tmp_path: Path) -> None:
    """64 tokens, unless an answer ends before; the tokenizer comes from `AutoTokenizer`, padded to the left."""
    if direction == "ours":
        ours = make_ours(name, mask)
        ours.export_hf(tmp_path / "f")
        net = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "f").eval()
    else:
        net = make_theirs(name, mask)
        ours = save_theirs(net, tmp_path / "f", "packed")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "f")
    inputs = tokenizer(PROMPTS, return_tensors="pt", padding=True)
    assert ("token_type_ids" in inputs) == (mask == "prefix_lm")
    written = net.generate(**inputs, max_new_tokens=64, do_sample=False)[:, inputs["input_ids"].shape[1] :]
    theirs = [tokenizer.decode(row, skip_special_tokens=True) for row in written]
    here = [answers[0] for answers in ours.generate(PROMPTS, max_tokens=64, temperature=0.0)]
    assert here == theirs
    assert sum(len(row) for row in written) > 64


def test_the_chat_template_of_a_causal_model_is_the_prompt_protocol(tmp_path: Path) -> None:
    make_ours("paper", "causal").export_hf(tmp_path / "f")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "f")
    chat = [{"role": "user", "content": "add 2 and 3"}]
    assert tokenizer.apply_chat_template(chat)["input_ids"] == tokenizer("add 2 and 3")["input_ids"]


def test_their_trainer_gets_the_answer_as_what_is_causal(tmp_path: Path) -> None:
    make_ours("paper", "prefix_lm").export_hf(tmp_path / "f")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "f")
    example = tokenizer("add", "def f(): pass")
    assert tokenizer.decode(example["input_ids"]) == "<|boq|>add<|eoq|>def f(): pass<|eoa|>"
    assert sum(example["token_type_ids"]) == len(tokenizer("add")["input_ids"])
