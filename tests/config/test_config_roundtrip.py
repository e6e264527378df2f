"""Any valid configuration survives `to_dict`, JSON and YAML."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from hrm_codegen.config import from_dict, load, to_dict, to_yaml
from hrm_codegen.config.fields import FIELDS, WrongType
from hrm_codegen.config.files import atomic_write

# Field values that keep every rule whatever the others are; the rest of the schema is drawn by type.
_FIXED = {
    "model.hidden_dim": st.integers(1, 64).map(lambda heads: 12 * heads),
    "model.num_heads": st.sampled_from([1, 2, 3, 6]),
    "model.head_dim": st.none() | st.integers(1, 64).map(lambda half: 2 * half),
    "model.h_cycles": st.integers(1, 4).map(lambda cycles: 2 * cycles),
    "model.max_seq_len": st.integers(1000, 5000),
    "data.seq_len": st.integers(2, 1000),
    "data.loss_on_prompt": st.just(False),
    "mesh.data": st.integers(-1, 8).filter(bool),
    "train.batch_size": st.integers(1, 20).map(lambda rows: 12 * rows),
    "train.grad_accum": st.sampled_from([1, 2, 3, 4, 6, 12]),
    "train.bp_min": st.none() | st.just(2),
    "train.bp_max": st.none() | st.integers(3, 4),
    "eval.k": st.lists(st.integers(1, 50), min_size=1).map(tuple),
    "eval.num_samples": st.none() | st.integers(50, 99),
}
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1) | st.sampled_from(
    ["1e4", "012", "0o17", "on", "null", "~", "true", ".inf", "1_0", "a: b", "# c", "- x", " x ", "\x85", "2020-01-01"]
)
_NAME = _TEXT.filter(lambda text: text.strip(". ") and not set(text) & set("/\\\0\n"))
_UNIT = st.floats(0.001, 0.999)


def _values(path: str) -> st.SearchStrategy[Any]:
    field = FIELDS[path]
    if path in _FIXED:
        return _FIXED[path]
    if field.choices:
        drawn: st.SearchStrategy[Any] = st.sampled_from(field.choices)
    elif path in ("name", "train.run_name"):
        drawn = _NAME
    else:
        drawn = {bool: st.booleans(), int: st.integers(1, 10**6), float: _UNIT, str: _TEXT}[field.kind]
    return st.none() | drawn if field.optional else drawn


@st.composite
def _trees(draw: st.DrawFn) -> dict[str, Any]:
    tree: dict[str, Any] = {"name": draw(_values("name"))}
    for path in FIELDS:
        section, _, leaf = path.rpartition(".")
        if section and (FIELDS[path].required or draw(st.booleans())):
            tree.setdefault(section, {})[leaf] = draw(_values(path))
    tree["model"] |= {"max_seq_len": draw(_FIXED["model.max_seq_len"]), "h_cycles": draw(_FIXED["model.h_cycles"])}
    tree["train"] |= {"batch_size": draw(_FIXED["train.batch_size"])}
    tree.setdefault("eval", {})["k"] = draw(_FIXED["eval.k"])
    return tree


@settings(max_examples=50, deadline=None)
@given(_trees())
def test_round_trip(tmp_path_factory, drawn):
    config = from_dict(drawn)
    tree = to_dict(config)
    assert from_dict(tree) == config
    assert from_dict(json.loads(json.dumps(tree))) == config
    path = tmp_path_factory.mktemp("round") / "c.yaml"
    with atomic_write(path) as file:
        file.write(to_yaml(config))
    assert load(path) == config


@settings(max_examples=50, deadline=None)
@given(_trees())
def test_to_dict_is_the_dataclass_with_plain_values(drawn):
    config = from_dict(drawn)
    expected = dataclasses.asdict(config)
    expected["eval"]["k"] = list(expected["eval"]["k"])
    assert to_dict(config) == expected


@settings(max_examples=50, deadline=None)
@given(_TEXT)
def test_written_strings_read_back_in_yaml_1_1_too(text):
    config = from_dict(
        {
            "model": {"vocab_size": 8, "hidden_dim": 8, "num_heads": 1},
            "train": {"num_steps": 1},
            "data": {"train": text},
        }
    )
    assert yaml.safe_load(to_yaml(config))["data"]["train"] == text


@settings(max_examples=50, deadline=None)
@given(
    st.sampled_from(sorted(FIELDS)),
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers() | st.none()),
)
def test_convert_gives_the_fields_type_or_says_what_it_must_be(path, value):
    field = FIELDS[path]
    try:
        converted = field.convert(value)
    except WrongType as error:
        requirement = str(error)
    else:
        requirement = field.describe()
        assert type(converted) is field.kind or (converted is None and field.optional)
    assert requirement.startswith(field.describe())
