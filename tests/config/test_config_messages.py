"""Every message about a file, byte for byte, in YAML and in Python."""

from __future__ import annotations

from pathlib import Path

import pytest

from hrm_codegen.config import load
from hrm_codegen.errors import ConfigError, HRMCodeGenError

MODEL = "model:\n  vocab_size: 64\n  hidden_dim: 16\n  num_heads: 2\n"
TRAIN = "train:\n  num_steps: 3\n"
GOOD = MODEL + TRAIN


@pytest.fixture
def say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Loads a text as a file in the working folder and returns what the front door prints."""
    monkeypatch.chdir(tmp_path)

    def _say(text: str, name: str = "f.yaml", overrides: tuple[str, ...] = ()) -> list[str]:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError) as caught:
            load(name, overrides)
        assert isinstance(caught.value, HRMCodeGenError)
        assert caught.value.exit_code == 2
        lines = caught.value.render().split("\n")
        assert lines == [f"ConfigError: {line}" for line in str(caught.value).split("\n")]
        return lines

    return _say


def test_missing_field_names_the_line_of_its_section(say):
    text = "# comment\n" * 11 + "model:\n  vocab_size: 64\n  num_heads: 2\n" + TRAIN
    assert say(text, "configs/mbpp.yaml") == ['ConfigError: missing field "model.hidden_dim" (configs/mbpp.yaml:12)']


@pytest.mark.parametrize("ending", ["", "\n"])
def test_missing_section_names_the_last_line(say, ending):
    assert say((MODEL + "# the end").rstrip() + ending) == ['ConfigError: missing field "train.num_steps" (f.yaml:5)']


def test_empty_file_misses_every_required_field(say):
    assert say("") == [
        f'ConfigError: missing field "{path}" (f.yaml:1)'
        for path in ("model.vocab_size", "model.hidden_dim", "model.num_heads", "train.num_steps")
    ]


def test_section_with_nothing_in_it_is_the_parent(say):
    assert say(MODEL + "train:\n  # num_steps: 3\n") == ['ConfigError: missing field "train.num_steps" (f.yaml:5)']


def test_path_in_the_message_is_as_given(say):
    assert say(MODEL, "./sub/../f.yaml")[0].endswith("(./sub/../f.yaml:4)")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("model: {hiden_dim: 4}", 'unknown field "model.hiden_dim" (f.yaml:1) — did you mean "model.hidden_dim"?'),
        ("model: {num_steps: 4}", 'unknown field "model.num_steps" (f.yaml:1) — did you mean "train.num_steps"?'),
        ("hidden_dim: 4", 'unknown field "hidden_dim" (f.yaml:1) — did you mean "model.hidden_dim"?'),
        ("batch_size: 4", 'unknown field "batch_size" (f.yaml:1) — did you mean "train.batch_size"?'),
        ("optim: {clip: 4}", 'unknown field "optim.clip" (f.yaml:1) — did you mean "optim.clip_norm"?'),
        ("modle: {hidden_dim: 4}", 'unknown field "modle" (f.yaml:1) — did you mean "model"?'),
        ("optim: {zzqqxx: 4}", 'unknown field "optim.zzqqxx" (f.yaml:1)'),
        ("12: 4", 'unknown field "12" (f.yaml:1)'),
        ('train: {num_steps: "ten"}', 'field "train.num_steps" must be an integer, got "ten" (f.yaml:1)'),
        ("train: {num_steps: true}", 'field "train.num_steps" must be an integer, got true (f.yaml:1)'),
        ("train: {num_steps: 1.5}", 'field "train.num_steps" must be an integer, got 1.5 (f.yaml:1)'),
        ("train: {num_steps: null}", 'field "train.num_steps" must be an integer, got null (f.yaml:1)'),
        ("train: {num_steps: {a: 1}}", 'field "train.num_steps" must be an integer, got a mapping (f.yaml:1)'),
        ("train: {num_steps: 1_000}", 'field "train.num_steps" must be an integer, got "1_000" (f.yaml:1)'),
        (f"train: {{seed: {2**63}}}", f'field "train.seed" must be an integer below 2**63, got {2**63} (f.yaml:1)'),
        ("train: {bp_min: x}", 'field "train.bp_min" must be an integer or null, got "x" (f.yaml:1)'),
        ("data: {packing: on}", 'field "data.packing" must be true or false, got "on" (f.yaml:1)'),
        ("data: {train: 3}", 'field "data.train" must be a string or null, got 3 (f.yaml:1)'),
        ("optim: {lr: yes}", 'field "optim.lr" must be a number, got "yes" (f.yaml:1)'),
        ("optim: {lr: .nan}", 'field "optim.lr" must be finite, got nan (f.yaml:1)'),
        ("optim: {lr: -.inf}", 'field "optim.lr" must be finite, got -inf (f.yaml:1)'),
        ("optim: {lr: -1}", 'field "optim.lr" must be above 0, got -1.0 (f.yaml:1)'),
        ("eval: {k: [1, x]}", 'field "eval.k" must be an integer or a list of integers, got [1, "x"] (f.yaml:1)'),
        ("eval: {k: {}}", 'field "eval.k" must be an integer or a list of integers, got a mapping (f.yaml:1)'),
        ("eval: {k: []}", 'field "eval.k" must be one or more integers of at least 1, got [] (f.yaml:1)'),
        ("eval: 3", 'field "eval" must be a mapping, got 3 (f.yaml:1)'),
        ("eval: [[[[1]]]]", 'field "eval" must be a mapping, got [[[]]] (f.yaml:1)'),
        (
            "model: {core: hmr}",
            'field "model.core" must be one of hrm, trm, looped, transformer, got "hmr" (f.yaml:1)',
        ),
        ("optim: {lr: 1, lr: 2}", 'duplicate field "optim.lr" (f.yaml:1), first given at f.yaml:1'),
        ("train: {lr: 1, lr: 2}", 'duplicate field "optim.lr" (f.yaml:1), first given at f.yaml:1'),
        ("data: {}\ndata: {}", 'duplicate field "data" (f.yaml:2), first given at f.yaml:1'),
    ],
)
def test_wrong_entry(say, line, message):
    assert f"ConfigError: {message}" in say(line)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model:\n  a: b: c\n", "not valid YAML: mapping values are not allowed here (f.yaml:2)"),
        ("model:\n\tx: 1\n", "not valid YAML: found character '\\t' that cannot start any token (f.yaml:2)"),
        ("a: 1\n---\nb: 2\n", "not valid YAML: but found another document (f.yaml:2)"),
        ("a: *b\n", "not valid YAML: found undefined alias 'b' (f.yaml:1)"),
        ("a: 1\nb: \x01\n", "not valid YAML: character '\\x01' is not allowed (f.yaml:2)"),
        ("[" * 700, "not valid YAML: nested too deeply (f.yaml:1)"),
        ("\n- 1\n", "a configuration is a mapping of sections (f.yaml:2)"),
        ("model: !!python/name:os.system x\n", "the tag tag:yaml.org,2002:python/name:os.system is not supported"
         " (f.yaml:1)"),
        ("? [a]\n: 1\n", "a field's name must be a word (f.yaml:1)"),
    ],
)  # fmt: skip
def test_bad_syntax(say, text, message):
    assert say(text) == [f"ConfigError: {message}"]


def test_not_text(say, tmp_path):
    (tmp_path / "g.yaml").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ConfigError, match=r"cannot read the file: it is not UTF-8 text \(g\.yaml\)"):
        load("g.yaml")


def test_all_errors_come_at_once_in_the_order_of_the_lines(say):
    text = """\
model:
  vocab_size: 64
  hiden_dim: 16
  num_heads: 0
train: {num_steps: ten}
optim: {lr: 0}
"""
    assert say(text, overrides=("mesh.data=-1", "mesh.fsdp=-1", "x.y=2")) == [
        'ConfigError: missing field "model.hidden_dim" (f.yaml:1)',
        'ConfigError: unknown field "model.hiden_dim" (f.yaml:3) — did you mean "model.hidden_dim"?',
        'ConfigError: field "model.num_heads" must be at least 1, got 0 (f.yaml:4)',
        'ConfigError: field "train.num_steps" must be an integer, got "ten" (f.yaml:5)',
        'ConfigError: field "optim.lr" must be above 0, got 0.0 (f.yaml:6)',
        'ConfigError: unknown field "x.y" (--set x.y=2)',
        'ConfigError: field "mesh.fsdp" must not be -1 too: one mesh axis at most, got -1 (--set mesh.fsdp=-1)',
    ]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return ConfigDict({\n'model': {'hidden_dim': 4}})", 'missing field "model.vocab_size" (f.py:4)'),
        ("return ConfigDict(dict(\nmodel=dict(hiden_dim=4)))",
         'unknown field "model.hiden_dim" (f.py:4) — did you mean "model.hidden_dim"?'),
        ("c = ConfigDict()\n  c.model = ConfigDict()\n  c.model.num_heads = 'x'\n  return c",
         'field "model.num_heads" must be an integer, got "x" (f.py:5)'),
        ("c = ConfigDict()\n  c.model = ConfigDict()\n  c.model.num_heads = 'x'\n  return c",
         'missing field "model.hidden_dim" (f.py:4)'),
        ("model = ConfigDict()\n  model.core = 'x'\n  return dict(model=model)",
         'field "model.core" must be one of hrm, trm, looped, transformer, got "x" (f.py:4)'),
        ("c = {'optim': {}}\n  c['optim']['lr'] = 0\n  return c", 'field "optim.lr" must be above 0, got 0.0 (f.py:4)'),
        ("return {'optim': dict([('lr', -1)])}", 'field "optim.lr" must be above 0, got -1.0 (f.py:2)'),
        ("return ConfigDict()", 'missing field "train.num_steps" (f.py:2)'),
        ("c = ConfigDict({'model': {}})\n  c.model.num_heads = config_dict.required_placeholder(int)\n  return c",
         'missing field "model.num_heads" (f.py:3)'),
    ],
)  # fmt: skip
def test_python_entries_have_their_lines(say, body, message):
    text = f"from ml_collections import ConfigDict, config_dict\ndef get_config():\n  {body}\n"
    assert f"ConfigError: {message}" in say(text, "f.py")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\ny = (\n", "not valid Python: '(' was never closed (f.py:2)"),
        ("x = '\0'", "not valid Python: source code string cannot contain null bytes (f.py:1)"),
        ("x = 1\n", "no function get_config() (f.py:1)"),
        ("\ny = 1 / 0\n", "get_config() failed: ZeroDivisionError: division by zero (f.py:2)"),
        ("def f():\n  raise ValueError('two\\nlines')\ndef get_config():\n  f()\n",
         "get_config() failed: ValueError: two lines (f.py:2)"),
        ("\ndef get_config(size):\n  pass\n", "get_config() failed: TypeError: get_config() missing 1 required"
         " positional argument: 'size' (f.py:2)"),
        ("\n\ndef get_config():\n  pass\n", "get_config() must return a ConfigDict or a dict, got NoneType (f.py:3)"),
    ],
)  # fmt: skip
def test_python_that_does_not_run(say, text, message):
    assert say(text, "f.py") == [f"ConfigError: {message}"]


def test_error_raised_by_a_config_keeps_its_words(say):
    text = "from hrm_codegen.errors import ConfigError\ndef get_config():\n  raise ConfigError('mine')\n"
    assert say(text, "f.py") == ["ConfigError: mine"]
