"""What loads, to what: YAML 1.2 values, precedence, aliases, overrides, Python configurations."""

from __future__ import annotations

import math
import os
from pathlib import Path

import ml_collections
import numpy as np
import pytest

from hrm_codegen.config import Config, Override, from_dict, load
from hrm_codegen.config.from_yaml import get_config
from hrm_codegen.config.yaml_file import plain_scalar
from hrm_codegen.errors import ConfigError

BASE = {"model": {"vocab_size": 64, "hidden_dim": 16, "num_heads": 2}, "train": {"num_steps": 3}}
YAML = "model: {vocab_size: 64, hidden_dim: 16, num_heads: 2}\ntrain: {num_steps: 3}\n"
PYTHON = (
    f"def get_config(steps=3):\n  config = {BASE!r}\n  config['train']['num_steps'] = int(steps)\n  return config\n"
)


def _message(*overrides: str | Override) -> str:
    with pytest.raises(ConfigError) as caught:
        from_dict(BASE, overrides=overrides)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4), ("1E3", 1000.0), (".5", 0.5), ("5.", 5.0), ("-1.5e+2", -150.0), (".inf", math.inf),
        ("-.INF", -math.inf), ("012", 12), ("+3", 3), ("-3", -3), ("0x1F", 31), ("0o17", 15),
        ("true", True), ("FALSE", False), ("null", None), ("~", None), ("", None),
        ("on", "on"), ("yes", "yes"), ("n", "n"), ("1_000", "1_000"), ("12:30", "12:30"), ("2020-01-01", "2020-01-01"),
        ("inf", "inf"), ("nan", "nan"), ("1e", "1e"), (".", "."), ("0b1", "0b1"), ("9" * 4001, float("inf")),
    ],
)  # fmt: skip
def test_plain_scalars_are_those_of_yaml_1_2(text, value):
    resolved = plain_scalar(text)
    assert resolved == value
    assert type(resolved) is type(value)


def test_quoted_and_str_tagged_scalars_stay_strings(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(YAML + "data: {train: '12', eval: !!str 1e4, tokenizer: \"on\"}\n")
    data = load(path).data
    assert (data.train, data.eval, data.tokenizer) == ("12", "1e4", "on")


def test_anchors_work_and_one_that_holds_itself_ends(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("model: &m {vocab_size: 64, hidden_dim: 16, num_heads: &n 2}\ntrain: {num_steps: *n}\n")
    assert load(path).train.num_steps == 2
    path.write_text(YAML + "data: &d {train: *d}\n")
    with pytest.raises(ConfigError, match="got a mapping"):
        load(path)


def test_defaults_then_file_then_overrides(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(YAML + "optim: {lr: 0.5, b1: 0.5}\n")
    config = load(path, ["optim.lr=0.25", "optim.lr=0.125"])
    assert (config.optim.lr, config.optim.b1, config.optim.b2) == (0.125, 0.5, 0.95)
    assert config.name == "c"
    assert load(path, ["name=other"]).name == "other"


def test_an_override_supplies_what_the_file_lacks(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(YAML.replace("num_steps: 3", ""))
    assert load(path, ["train.num_steps=7"]).train.num_steps == 7


def test_an_override_repairs_a_wrong_value(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(YAML.replace("num_steps: 3", "num_steps: ten"))
    assert load(path, ["train.steps=7"]).train.num_steps == 7


@pytest.mark.parametrize("where", ["file", "dict", "override"])
def test_aliases(where, tmp_path):
    aliases = {"train.lr": 0.5, "train.steps": 9, "model.H_cycles": 4, "model.L_cycles": 5}
    if where == "override":
        config = from_dict(BASE, overrides=[f"{path}={value}" for path, value in aliases.items()])
    else:
        tree = {"model": BASE["model"] | {"H_cycles": 4, "L_cycles": 5}, "train": {"lr": 0.5, "steps": 9}}
        path = tmp_path / "c.yaml"
        path.write_text(str(tree))  # A dict's repr is YAML in flow style.
        config = from_dict(tree) if where == "dict" else load(path)
    assert config.optim.lr == 0.5
    assert config.train.num_steps == 9
    assert (config.model.h_cycles, config.model.l_cycles) == (4, 5)


@pytest.mark.parametrize(
    ("override", "section", "field", "value"),
    [
        ("optim.lr=1", "optim", "lr", 1.0),
        ("optim.clip_norm=null", "optim", "clip_norm", None),
        ("data.packing=false", "data", "packing", False),
        ("data.train=123", "data", "train", "123"),
        ("data.train=@x: #y", "data", "train", "@x: #y"),
        ('data.train="null"', "data", "train", "null"),
        ("data.train=a=b", "data", "train", "a=b"),
        ("data.train=null", "data", "train", None),
        ("data.eval=", "data", "eval", None),
        ("eval.k=5", "eval", "k", (5,)),
        ("eval.k=[1, 5]", "eval", "k", (1, 5)),
        (" train.bp_min = 2 ", "train", "bp_min", 2),
    ],
)
def test_override_values(override, section, field, value):
    found = getattr(getattr(from_dict(BASE, overrides=[override]), section), field)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.hiden_dim=3",
         'unknown field "model.hiden_dim" (--set model.hiden_dim=3) — did you mean "model.hidden_dim"?'),
        ("model", "an override is section.field=value (--set model)"),
        ("model=3", '"model" is a section: set its fields, as in model.FIELD=VALUE (--set model=3)'),
        ("train.seed=[", "not valid YAML: expected the node content, but found '<stream end>' (--set train.seed=[)"),
        ("train.seed=!!int 3", "the tag tag:yaml.org,2002:int is not supported (--set train.seed=!!int 3)"),
        ("data.tokenizer=null", 'field "data.tokenizer" must be a string, got null (--set data.tokenizer=null)'),
        ("train.num_steps=1.5", 'field "train.num_steps" must be an integer, got 1.5 (--set train.num_steps=1.5)'),
        (Override(path="data.train", value="", place="--data="),
         'field "data.train" must not be empty, got "" (--data=)'),
    ],
)  # fmt: skip
def test_override_messages(override, message):
    assert _message(override) == message


def test_dotted_names_are_fields_too(tmp_path):
    (tmp_path / "c.yaml").write_text(YAML + "optim.lr: 0.5\n")
    assert load(tmp_path / "c.yaml").optim.lr == from_dict(BASE | {"train.lr": 0.5}).optim.lr == 0.5


def test_without_a_file_there_is_no_place():
    with pytest.raises(ConfigError) as caught:
        from_dict({"model": {"vocab_size": "x", "hidden_dim": 16, "num_heads": 2, "hiden": 1}})
    assert str(caught.value).split("\n") == [
        'missing field "train.num_steps"',
        'unknown field "model.hiden" — did you mean "model.hidden_dim"?',
        'field "model.vocab_size" must be an integer, got "x"',
    ]


def test_values_of_other_libraries():
    tree = BASE | {
        "train": {"num_steps": np.int64(3), "seed": np.uint8(7)},
        "optim": {"lr": np.float32(0.5)},
        "data": {"train": Path("a") / "b"},
    }
    config = from_dict(tree)
    assert type(config.train.num_steps) is int
    assert type(config.optim.lr) is float
    assert config.data.train == os.path.join("a", "b")
    with pytest.raises(ConfigError, match="must be true or false, got a value of type bool"):
        from_dict(BASE | {"data": {"packing": np.True_}})


def test_config_dicts_frozen_ones_and_references():
    tree = ml_collections.ConfigDict(BASE)
    tree.data = {"seq_len": tree.model.get_ref("hidden_dim")}
    tree.optim = {"clip_norm": ml_collections.config_dict.placeholder(float)}
    config = from_dict(tree, name="n")
    assert (config.data.seq_len, config.optim.clip_norm, config.name) == (16, None, "n")
    assert from_dict(ml_collections.FrozenConfigDict(tree), name="n") == config


@pytest.mark.parametrize("tree", [None, [], 3, "model"])
def test_what_is_no_mapping_is_refused(tree):
    with pytest.raises(ConfigError, match="a configuration is a mapping of sections, got "):
        from_dict(tree)


def test_python_file_with_an_argument(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("c.py").write_text(PYTHON)
    assert load("c.py") == from_dict(BASE, name="c")
    assert load("c.py:5", ["optim.b1=0.5"]).train.num_steps == 5


def test_python_and_yaml_agree(tmp_path):
    (tmp_path / "c.yaml").write_text(YAML)
    (tmp_path / "c.py").write_text(PYTHON)
    assert load(tmp_path / "c.py") == load(tmp_path / "c.yaml") == from_dict(BASE, name="c")


def test_running_a_python_file_leaves_nothing_behind(tmp_path):
    (tmp_path / "c.py").write_text(PYTHON)
    load(tmp_path / "c.py")
    assert os.listdir(tmp_path) == ["c.py"]


def test_config_dict_for_flags_has_every_field_with_its_type(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(YAML.replace("num_steps: 3", "num_steps: ten"))
    config = get_config(str(path))
    assert config.model.hidden_dim == 16
    assert config.train.get_type("num_steps") is int  # Wrong in the file, so only a placeholder.
    assert config.train.num_steps is None
    assert config.optim.get_type("clip_norm") is float
    assert config.data.get_type("train") is str
    assert config.eval.k == (1, 10)
    with pytest.raises(TypeError):
        config.train.num_steps = "x"
    config.train.num_steps = 3
    config.name = "c"
    assert from_dict(config) == from_dict(BASE, name="c")
    assert isinstance(from_dict(config), Config)
