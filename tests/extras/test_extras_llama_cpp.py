"""The recipe of docs/llama-cpp.md, run: llama.cpp's converter takes our folder, its server writes our greedy text.

Needs llama.cpp's source, named by LLAMA_CPP; with `build/bin/llama-server` in it, the text is compared too.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from hrm_codegen.codegen import HRMCodeGen
from hrm_codegen.config import Config, DataConfig, ModelConfig, TrainConfig
from hrm_codegen.data import encode_prompt

pytestmark = [pytest.mark.extras, pytest.mark.slow]
DOCUMENT = Path(__file__).parents[2] / "docs" / "llama-cpp.md"
PROMPTS = [f"Write a function number {i} that adds {i} to x.\nassert add(1) == {i + 1}" for i in range(10)]


@pytest.fixture(scope="module")
def llama_cpp() -> Path:
    place = os.environ.get("LLAMA_CPP")
    if not place:
        pytest.skip("LLAMA_CPP does not name llama.cpp's source")
    return Path(place).resolve()


@pytest.fixture(scope="module")
def model() -> HRMCodeGen:
    network = ModelConfig(
        vocab_size=1024, hidden_dim=64, num_heads=2, layers_per_stack=2, h_cycles=2, l_cycles=2, mask="causal",
        max_seq_len=256,
    )  # fmt: skip
    return HRMCodeGen.from_config(Config(model=network, data=DataConfig(seq_len=64), train=TrainConfig(num_steps=1)))


@pytest.fixture(scope="module")
def gguf(model: HRMCodeGen, llama_cpp: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("llama")
    model.export_hf(folder / "my-model")
    [script] = re.findall(r"```python\n(import sys.*?)```", DOCUMENT.read_text(), re.DOTALL)
    (folder / "to_gguf.py").write_text(script)
    out = folder / "my-model.gguf"
    command = [sys.executable, "to_gguf.py", str(llama_cpp), "my-model", "--outfile", str(out), "--outtype", "f32"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return out


def test_the_converter_takes_the_folder_as_it_is(gguf: Path) -> None:
    assert gguf.read_bytes()[:4] == b"GGUF"


def test_the_server_writes_the_same_greedy_text(model: HRMCodeGen, gguf: Path, llama_cpp: Path) -> None:
    server = llama_cpp / "build" / "bin" / "llama-server"
    if not server.is_file():
        pytest.skip(f"no {server}")
    ours = [answers[0] for answers in model.generate(PROMPTS, temperature=0, max_tokens=64)]
    with running(server, gguf) as url:
        theirs = [complete(url, encode_prompt(model.tokenizer, prompt)) for prompt in PROMPTS]
    assert theirs == ours


@contextlib.contextmanager
def running(server: Path, gguf: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    exact = ["-ctk", "f32", "-ctv", "f32", "-fa", "off", "-c", "512", "-np", "1", "-t", "2"]
    process = subprocess.Popen(
        [str(server), "-m", str(gguf), "--host", "127.0.0.1", "--port", str(port), *exact],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(120):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health"):
                break
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def complete(url: str, ids: list[int]) -> str:
    body = {"prompt": ids, "n_predict": 64, "temperature": 0, "top_k": 1, "cache_prompt": False}
    request = urllib.request.Request(
        f"{url}/completion", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)["content"]
