"""`eval`, `gen` and `benchmark` with models of Transformers, and GGUF files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.extras
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from small_models import ADD, LLAMA, byte_tokenizer  # noqa: E402

from hrm_codegen.baselines import BaselineModel  # noqa: E402
from hrm_codegen.cli import main  # noqa: E402
from hrm_codegen.errors import CheckpointError  # noqa: E402

ANSWER = "def add(a, b):\n    return a + b\n"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    row = {"task_id": 1, "text": ADD.split("\n")[0], "code": ANSWER, "test_list": ["assert add(1, 2) == 3"]}
    Path("data.json").write_text(json.dumps([row]))
    return tmp_path


def last_json(capsys: pytest.CaptureFixture[str]) -> dict:
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_eval_is_one_command(knowing_gpt2: Path, knowing_chat: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--data", "data.json", "--k", "1", "--temperature", "0", "--out", "results"]
    assert main(["eval", "--ckpt", f"hf:{knowing_gpt2}", f"hf:{knowing_chat}", *words, "--json"]) == 0
    results = [json.loads(line) for line in capsys.readouterr().out.splitlines()[-2:]]
    assert [result["metrics"]["pass@1"] for result in results] == [1.0, 1.0]
    assert [result["model"]["name"] for result in results] == ["knowing-gpt2 (completion)", "knowing-chat (chat)"]
    assert results[0]["settings"]["max_tokens"] == 512
    assert {path.name for path in Path("results").iterdir()} == {"1-knowing-gpt2", "2-knowing-chat"}
    assert main(["eval", "--ckpt", f"hf:{knowing_gpt2}", "--data", "data.json", "--k", "1"]) == 0
    assert "knowing-gpt2" in capsys.readouterr().out


def test_a_wrong_name_is_known_before_the_first_model_is_scored(
    knowing_gpt2: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["eval", "--ckpt", f"hf:{knowing_gpt2}", "hf:./nothing", "--data", "data.json"]) == 1
    told = capsys.readouterr()
    assert "ModelNotFoundError: path './nothing' not found" in told.err
    assert "Traceback" not in told.err
    assert told.out == ""


def test_gen_writes_code(knowing_chat: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gen", "--ckpt", f"hf:{knowing_chat}", "--prompt", ADD, "--temperature", "0"]) == 0
    assert capsys.readouterr().out == ANSWER
    assert main(["gen", "--ckpt", f"hf:{knowing_chat}", "--prompt", ADD, "--beams", "2", "--max", "60"]) == 0
    assert capsys.readouterr().out == ANSWER


def test_benchmark_measures_decoding(llama_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--ckpt", f"hf:{llama_folder}", "--seq-len", "16", "--batch", "2", "--json"]
    assert main(["benchmark", "gen", *words]) == 0
    measured = last_json(capsys)
    assert set(measured) == {"gen_tokens_per_sec", "gen_ms_per_token"}
    assert measured["gen_tokens_per_sec"] == pytest.approx(2e3 / measured["gen_ms_per_token"])
    assert main(["benchmark", *words]) == 0
    told = capsys.readouterr()
    assert "gen_tokens_per_sec" in told.out
    assert "tiny-llama (completion) is not trained here" in told.err
    assert main(["benchmark", "train", *words]) == 2
    assert "UsageError: tiny-llama (completion) is not trained here" in capsys.readouterr().err
    assert main(["benchmark", "gen", *words[:2], "--seq-len", "2000"]) == 2
    assert "context of 1024" in capsys.readouterr().err


def write_gguf(path: Path, model) -> None:
    """Writes a Llama as llama.cpp's converter does, with a byte tokenizer."""
    import gguf

    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_block_count(LLAMA["num_hidden_layers"])
    writer.add_context_length(LLAMA["max_position_embeddings"])
    writer.add_embedding_length(LLAMA["hidden_size"])
    writer.add_feed_forward_length(LLAMA["intermediate_size"])
    writer.add_head_count(LLAMA["num_attention_heads"])
    writer.add_head_count_kv(LLAMA["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(model.config.rms_norm_eps)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(258)
    vocab = sorted(byte_tokenizer().get_vocab().items(), key=lambda item: item[1])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([token for token, _ in vocab])
    writer.add_token_types([3] + [1] * 257)
    writer.add_token_merges(["d e"])
    writer.add_eos_token_id(0)
    writer.add_bos_token_id(0)
    names = {
        "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    }  # fmt: skip
    outer = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
    for name, tensor in model.state_dict().items():
        key = name.removesuffix(".weight")
        if key in outer:
            to = outer[key]
        else:
            _, _, layer, rest = key.split(".", 3)
            to = f"blk.{layer}.{names[rest]}"
        array = tensor.numpy().astype(np.float32)
        if to.endswith(("attn_q", "attn_k")):  # llama.cpp pairs the halves of a head in another order
            heads = LLAMA["num_attention_heads" if to.endswith("attn_q") else "num_key_value_heads"]
            array = array.reshape(heads, 2, -1, array.shape[1]).swapaxes(1, 2).reshape(array.shape)
        writer.add_tensor(f"{to}.weight", np.ascontiguousarray(array))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_a_gguf_file_is_the_model_it_was_made_from(llama_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("gguf")
    pytest.importorskip("accelerate")
    write_gguf(Path("tiny.gguf"), transformers.AutoModelForCausalLM.from_pretrained(llama_folder))
    read, plain = BaselineModel.from_pretrained("tiny.gguf"), BaselineModel.from_pretrained(llama_folder)
    prompts = ["Add two numbers.", "Reverse."]
    assert read.protocol.ask(prompts[0]).tokens == plain.protocol.ask(prompts[0]).tokens
    assert read.generate(prompts, max_tokens=20) == plain.generate(prompts, max_tokens=20)
    assert read.num_params == plain.num_params
    assert main(["eval", "--ckpt", "tiny.gguf", "--data", "data.json", "--k", "1", "--max", "8", "--json"]) == 0
    assert last_json(capsys)["model"]["name"] == "tiny (completion)"


def test_a_gguf_file_that_is_none() -> None:
    pytest.importorskip("gguf")
    pytest.importorskip("accelerate")
    Path("bad.gguf").write_bytes(b"nothing of the kind")
    with pytest.raises(CheckpointError, match=r"bad\.gguf cannot be loaded by Transformers"):
        BaselineModel.from_pretrained("hf:bad.gguf")


def test_a_repository_of_the_hub(knowing_chat: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "interop"))
    standin = pytest.importorskip("hub_standin")
    with standin.HubStandin() as server:
        server.add("org/knowing", {path.name: path.read_bytes() for path in knowing_chat.iterdir()})
        server.faults.append(standin.Fault("additional_chat_templates", "status", times=9, value=404))  # as the Hub
        home = {"HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1"}
        words = ["--prompt", ADD, "--temperature", "0"]
        code = (
            "import sys; from hrm_codegen.cli import main\n"
            "for name in ('hf:org/knowing@main', 'hf:org/nothing'):\n"
            f"    status = main(['gen', '--ckpt', name, *{words!r}])\n"
            "sys.exit(status)"
        )
        told = subprocess.run(
            [sys.executable, "-c", code], env=os.environ | home, capture_output=True, text=True, check=False
        )
    assert told.stdout == ANSWER, told.stderr
    assert told.returncode == 1
    assert "ModelNotFoundError: no folder or file 'org/nothing' here" in told.stderr
    assert "Traceback" not in told.stderr
