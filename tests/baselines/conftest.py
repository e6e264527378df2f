"""Folders with small models."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from small_models import ADD, CHAT_TEMPLATE, byte_tokenizer, memorize, random_model, save


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Models this small are slower with more."""
    torch = sys.modules.get("torch")
    threads = None if torch is None else torch.get_num_threads()
    if torch is not None:
        torch.set_num_threads(1)
    yield
    if torch is not None:
        torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def gpt2_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """GPT-2's architecture with random weights; it has no chat template."""
    return save(tmp_path_factory.mktemp("models") / "tiny-gpt2", random_model("gpt2"), byte_tokenizer())


@pytest.fixture(scope="session")
def llama_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Llama's architecture with random weights."""
    return save(tmp_path_factory.mktemp("models") / "tiny-llama", random_model("llama"), byte_tokenizer())


@pytest.fixture(scope="session")
def knowing_gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GPT-2 that answers ADD, and then goes on as base models do."""
    from hrm_codegen.baselines.protocols import completion_prompt

    model, tokenizer = random_model("gpt2"), byte_tokenizer()
    text = completion_prompt(ADD)[0] + "def add(a, b):\n    return a + b\n\n\nprint(add(1, 2))\nprint(add(3, 4))\n"
    memorize(model, tokenizer(text)["input_ids"])
    return save(tmp_path_factory.mktemp("models") / "knowing-gpt2", model, tokenizer)


@pytest.fixture(scope="session")
def knowing_chat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama with a chat template that answers ADD in a block, and then explains."""
    from hrm_codegen.baselines.protocols import chat_message

    model, tokenizer = random_model("llama"), byte_tokenizer(CHAT_TEMPLATE)
    text = (
        f"<|user|>{chat_message(ADD)}<|end|><|assistant|>```python\ndef add(a, b):\n    return a + b\n```\n"
        "This adds them.<|end|>"
    )
    memorize(model, tokenizer(text)["input_ids"])
    return save(tmp_path_factory.mktemp("models") / "knowing-chat", model, tokenizer)
