"""The bundled configurations, how they are found, and the presets."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hrm_codegen.config import PRESETS, ModelConfig, bundled_names, from_dict, load, names, resolve_path
from hrm_codegen.errors import ConfigError

NAMES = ["basics_dev", "hrm_27m", "mbpp", "mbpp_dev", "smoke"]
CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def _params(model: ModelConfig) -> int:
    """`hrm`'s parameters: two stacks of gated attention (5 matrices) and SwiGLU (3), embedding, head."""
    width = model.num_heads * model.resolved_head_dim
    block = 5 * model.hidden_dim * width + 3 * model.hidden_dim * model.resolved_intermediate_dim
    return 2 * model.layers_per_stack * block + 2 * model.vocab_size * model.hidden_dim


def test_bundled_names():
    assert bundled_names() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_yaml_and_python_are_equal(name):
    config = load(f"{name}.yaml")
    assert load(f"{name}.py") == config
    assert load(name) == config
    assert config.name == name


@pytest.mark.parametrize("name", NAMES)
def test_both_files_say_what_it_costs_and_how_to_run_it(name):
    comment = "".join(line for line in (CONFIGS / f"{name}.yaml").read_text().splitlines() if line.startswith("#"))
    docstring = ast.get_docstring(ast.parse((CONFIGS / f"{name}.py").read_text()))
    assert docstring is not None
    assert "Cost:" in comment
    assert "Cost:" in docstring
    assert f"hrm-codegen train -c {name}" in comment
    assert f"python -m hrm_codegen.main --config=configs/{name}.py" in docstring


@pytest.mark.parametrize("name", [name for name in NAMES if name != "hrm_27m"])
def test_vocabulary_is_that_of_the_bundled_tokenizer(name):
    assert load(name).model.vocab_size == 1024


def test_hrm_27m():
    config = load("hrm_27m")
    assert round(_params(config.model) / 1e6, 1) == 27.3
    assert (config.train.batch_size, config.data.seq_len, config.model.dtype) == (2304, 1024, "auto")
    assert config.model.gradient_checkpointing
    assert 2304 % (8 * config.train.grad_accum) == 0


@pytest.mark.parametrize(
    ("name", "millions"), [("smoke", 0.2), ("tiny", 1.4), ("dev", 4.0), ("27m", 27.3), ("hrm-text-1b", 1182.8)]
)
def test_presets_are_valid_and_of_their_size(name, millions):
    model = from_dict({"model": PRESETS[name], "train": {"num_steps": 1}}).model
    assert round(_params(model) / 1e6, 1) == millions
    assert model.num_heads * model.resolved_head_dim == model.hidden_dim


@pytest.mark.parametrize("name", ["mbpp_dev", "mbpp_dev.yaml", "configs/mbpp_dev.yaml", "configs/mbpp_dev"])
def test_bundled_file_is_found_from_anywhere(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert resolve_path(name) == CONFIGS / "mbpp_dev.yaml"


def test_python_variant_is_asked_for_by_suffix(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert resolve_path("mbpp_dev.py") == CONFIGS / "mbpp_dev.py"


def test_a_file_of_the_user_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "smoke").mkdir()  # A folder is no configuration.
    assert resolve_path("smoke") == CONFIGS / "smoke.yaml"
    shutil.copy(CONFIGS / "mbpp.yaml", "smoke.yaml")
    assert resolve_path("smoke.yaml") == Path("smoke.yaml")
    assert load("smoke.yaml").train.num_steps == load("mbpp").train.num_steps


def test_the_wheels_folder_comes_first(tmp_path, monkeypatch):
    wheel = tmp_path / "_bundled" / "configs"
    wheel.mkdir(parents=True)
    shutil.copy(CONFIGS / "smoke.yaml", wheel)
    monkeypatch.setattr(names, "_FOLDERS", (wheel, CONFIGS))
    assert bundled_names() == ["smoke"]
    assert resolve_path("smoke") == wheel / "smoke.yaml"
    monkeypatch.setattr(names, "_FOLDERS", (tmp_path / "none",))
    assert bundled_names() == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mbpp_dv", f'no configuration "mbpp_dv": no such file, and the bundled ones are {", ".join(NAMES)} — did you'
         ' mean "mbpp_dev"?'),
        ("elsewhere/qqq.yaml", f'no configuration "elsewhere/qqq.yaml": no such file, and the bundled ones are'
         f' {", ".join(NAMES)}'),
        ("hf://user/repo", "configurations are not loaded from URLs: download hf://user/repo and give the path"),
        ("https://x.org/c.yaml", "configurations are not loaded from URLs: download https://x.org/c.yaml and give the"
         " path"),
    ],
)  # fmt: skip
def test_unknown_names(name, message):
    with pytest.raises(ConfigError) as caught:
        load(name)
    assert str(caught.value) == message


def test_path_elsewhere_does_not_fall_back_to_a_bundled_name(tmp_path):
    with pytest.raises(ConfigError, match="no configuration"):
        load(tmp_path / "smoke.yaml")


def test_other_suffixes_are_refused(tmp_path):
    (tmp_path / "c.toml").write_text("")
    with pytest.raises(ConfigError, match=r"a configuration is a \.yaml, \.yml, \.py file"):
        load(tmp_path / "c.toml")


def test_the_package_imports_nothing_heavy():
    code = """
import sys
from hrm_codegen import config
config.load("mbpp_dev")
for name in ("jax", "numpy", "flax", "ml_collections"):
    assert name not in sys.modules, name
config.load("mbpp_dev.py")
for name in ("jax", "numpy", "flax"):
    assert name not in sys.modules, name
"""
    environment = os.environ | {"PYTHONPATH": str(CONFIGS.parent)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
