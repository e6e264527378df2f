"""Small models of Transformers, with a token a byte: random ones, and ones that know a text by heart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

ADD = "Write a function to add two numbers.\nassert add(1, 2) == 3"
CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SIZES = {"gpt2": {"n_layer": 2, "n_embd": 64, "n_head": 2, "n_positions": 1024}}
LLAMA = {
    "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "max_position_embeddings": 1024,
}  # fmt: skip


def byte_tokenizer(chat_template: str | None = None) -> Any:
    """A tokenizer of Transformers with a token a byte, one merge (a GGUF file must have some), and `<|end|>`."""
    import tokenizers
    import transformers

    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    backend = tokenizers.Tokenizer(
        tokenizers.models.BPE(
            vocab={token: index for index, token in enumerate(["<|end|>", *alphabet, "de"])}, merges=[("d", "e")]
        )
    )
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = tokenizers.decoders.ByteLevel()
    made = transformers.PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|end|>")
    made.chat_template = chat_template
    return made


def random_model(kind: str) -> Any:
    import torch
    import transformers

    torch.manual_seed(0)
    ends = {"vocab_size": 258, "eos_token_id": 0, "bos_token_id": 0}
    if kind == "gpt2":
        return transformers.GPT2LMHeadModel(transformers.GPT2Config(**SIZES["gpt2"], **ends))
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**LLAMA, **ends))


def memorize(model: Any, ids: list[int]) -> None:
    """Trains until the model goes on as the text does."""
    import torch

    batch = torch.tensor([ids])
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    model.train()
    for _ in range(300):
        loss = model(input_ids=batch, labels=batch).loss
        if loss.item() < 0.01:
            break
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()


def save(folder: Path, model: Any, tokenizer: Any) -> Path:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
