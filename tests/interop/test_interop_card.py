"""The model card: front matter that the Hub reads, and no number that nobody measured."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard

from hrm_codegen import config as configs
from hrm_codegen.interop.card import model_card

CONFIG = configs.load("basics_dev")
FACTS = {
    "step": 1500,
    "weights": "ema",
    "train_loss": 0.51234,
    "eval_loss": 0.4321,
    "tokens": 1234567,
    "path": "/home/me",
}
REPORT = {
    "metrics": {
        "pass@1": 0.3126,
        "pass@1_low": 0.27,
        "pass@1_high": 0.36,
        "pass@10": 0.5,
        "pass^1": 0.2,
        "n_errors": 3.0,
    },
    "dataset": {"name": "/home/me/data/basics/test_raw.json", "problems": 200},
    "model": {"path": "/home/me/best.pt"},
    "sandbox": {"tier": "A", "isolation": "namespaces and seccomp", "python": "3.11.7"},
    "settings": {"k": [1, 10], "num_samples": 20, "temperature": 0.8, "timeout": 5.0, "seed": 7},
}


def card(config: configs.Config = CONFIG, metadata: Any = None, **kwargs: Any) -> ModelCard:
    given = {"num_params": 700_123, "exports_to_transformers": True} | kwargs
    return ModelCard(model_card(config, FACTS if metadata is None else metadata, **given))


def test_front_matter(tmp_path) -> None:
    path = tmp_path / "README.md"
    path.write_text(model_card(CONFIG, FACTS, num_params=1, report=REPORT, exports_to_transformers=True))
    data = ModelCard.load(path).data.to_dict()
    assert data["library_name"] == "transformers"
    assert data["pipeline_tag"] == "text-generation"
    assert data["license"] == "apache-2.0"
    assert data["language"] == ["en", "code"]
    assert data["datasets"] == ["basics"]
    assert {"hrm-codegen", "hrm_text", "hrm", "code"} <= set(data["tags"])
    assert "base_model" not in data


def test_front_matter_of_other_models() -> None:
    data = card(exports_to_transformers=False, license="mit", metadata=FACTS | {"base_model": "org/base"}).data
    assert data.library_name == "hrm-codegen"
    assert data.license == "mit"
    assert data.base_model == "org/base"
    assert "hrm_text" not in data.tags


def test_model_index() -> None:
    text = card(report=REPORT, repo_id="me/tiny").content
    (model,) = yaml.safe_load(text.split("---")[1])["model-index"]
    assert model["name"] == "tiny"
    (result,) = model["results"]
    assert result["task"]["type"] == "text-generation"
    assert result["dataset"]["name"] == "test_raw.json"
    assert result["metrics"] == [
        {"type": "pass@1", "name": "pass@1", "value": 0.3126, "verified": False},
        {"type": "pass@10", "name": "pass@10", "value": 0.5, "verified": False},
    ]


def test_known_data_sets_have_the_hubs_names() -> None:
    results = card(report=REPORT | {"dataset": {"name": "mbpp", "problems": 500}}).data.eval_results
    assert {(result.dataset_type, result.dataset_name) for result in results} == {
        ("google-research-datasets/mbpp", "mbpp")
    }


def test_how_the_score_was_measured() -> None:
    text = card(report=REPORT).text
    for part in (
        "| pass@1 | 31.3 % | 27.0 % to 36.0 % |",
        "| pass@10 | 50.0 % |  |",
        "200 problems",
        "samples a problem (n): 20",
        "k: 1, 10",
        "temperature: 0.8",
        "time limit: 5 s of CPU time",
        "sandbox tier: A (namespaces and seccomp)",
    ):
        assert part in text


def test_architecture_and_training() -> None:
    text = card().text
    for part in ("| parameters | 700,123 |", "| width D | 128 |", "2 slow, each with 1 fast", "steps: 1,500"):
        assert part in text
    for part in ("tokens: 1,234,567", "validation loss: 0.4321", "weights: moving average", "untrusted code"):
        assert part in text


def test_what_is_not_known_is_left_out() -> None:
    made = card(metadata={})
    assert "model-index" not in made.content
    assert made.data.datasets is None
    assert "## Evaluation" not in made.text
    assert "## Training" not in made.text
    assert "None" not in made.content


def test_a_report_with_little_in_it() -> None:
    made = card(report={"metrics": {"pass@1": 0.0}})
    assert "| pass@1 | 0.0 % |  |" in made.text
    assert "None" not in made.content
    assert "temperature" not in made.text


def test_nothing_of_the_machine_is_published() -> None:
    assert "/home/me" not in card(report=REPORT).content


@pytest.mark.parametrize(("mask", "said"), [("prefix_lm", True), ("causal", False)])
def test_the_prompts_token_types(mask: str, said: bool) -> None:
    config = dataclasses.replace(CONFIG, model=dataclasses.replace(CONFIG.model, mask=mask))
    assert ("token_type_ids" in card(config).text) is said


@pytest.mark.parametrize("transformers", [True, False])
def test_examples_are_python_and_name_the_repository(transformers: bool) -> None:
    blocks = re.findall(
        r"```python\n(.*?)```", card(repo_id="me/tiny", exports_to_transformers=transformers).text, re.S
    )
    assert len(blocks) == 1 + transformers
    for block in blocks:
        compile(block, "card", "exec")
        assert '"me/tiny"' in block
    assert ("**inputs" in "".join(blocks)) is transformers


def test_a_plain_transformer_has_no_cycles() -> None:
    config = dataclasses.replace(CONFIG, model=dataclasses.replace(CONFIG.model, core="transformer"))
    assert "cycles" not in card(config, exports_to_transformers=False).text
