"""The model card: README.md of a repository, for the Hub's front matter and for people.

Why: a score without how it was measured, or a model without how to prompt it, is of no use to anyone. Every number
comes from the model's configuration, its metadata or a report; what is not known is left out. Not a template to fill
in: people edit the file afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath
from typing import Any

from hrm_codegen.config.schema import Config
from hrm_codegen.version import __version__

PAPER = "[HRM-Text](https://arxiv.org/abs/2605.20613)"
_CORES = {
    "hrm": f"two recurrent stacks, a slow one (H) and a fast one (L), as in {PAPER}",
    "trm": "one recurrent stack that plays both the slow and the fast role",
    "looped": "one stack, applied again and again",
    "transformer": "a plain Transformer: one pass, for comparison",
}
_HUB_DATASETS = {"mbpp": "google-research-datasets/mbpp", "humaneval": "openai/openai_humaneval", "basics": "basics"}
_PROMPT = "Write a function to add two numbers.\\nassert add(2, 3) == 5"


def model_card(
    config: Config,
    metadata: Mapping[str, Any],
    *,
    num_params: int,
    repo_id: str | None = None,
    report: Mapping[str, Any] | None = None,
    license: str = "apache-2.0",
    exports_to_transformers: bool,
) -> str:
    """Writes a model card.

    Args:
      config: Of the model.
      metadata: Facts of the checkpoint: `step`, `tokens`, `train_loss`, `eval_loss`, `weights`, `base_model`.
      num_params: Trainable parameters.
      repo_id: The name that the examples use; None: a folder's.
      report: What `report.json` of an evaluation of this model has.
      license: Of the weights, as the Hub spells it.
      exports_to_transformers: Whether the repository is an `hrm_text` model that Transformers loads.

    Returns:
      The text of README.md, with front matter.
    """
    from huggingface_hub import ModelCard, ModelCardData

    name = PurePath(repo_id).name if repo_id else "hrm-codegen-model"
    trained_on = _trained_on(config, metadata)
    data = ModelCardData(
        language=["en", "code"],
        license=license,
        library_name="transformers" if exports_to_transformers else "hrm-codegen",
        pipeline_tag="text-generation",
        tags=["hrm-codegen", config.model.core, *(["hrm_text"] if exports_to_transformers else []), "code", "python"],
        datasets=[_HUB_DATASETS[known] for known in trained_on] or None,
        base_model=metadata.get("base_model"),
        model_name=name,
        eval_results=_eval_results(report or {}),
    )
    sections = [
        f"# {name}",
        f"A model of {_count(num_params)} parameters that writes Python. Written by HRM-CodeGen {__version__}.",
        _architecture(config, num_params),
        _usage(config, repo_id or "path/to/this/folder", transformers=exports_to_transformers),
        _evaluation(report or {}),
        _training(config, metadata, trained_on),
        _limits(),
    ]
    body = "\n\n".join(section for section in sections if section)
    return str(ModelCard(f"---\n{data.to_yaml()}\n---\n\n{body}\n"))


def _eval_results(report: Mapping[str, Any]) -> list[Any] | None:
    from huggingface_hub import EvalResult

    dataset = _dataset_name(report)
    return [
        EvalResult(
            task_type="text-generation",
            task_name="Code generation",
            dataset_type=_HUB_DATASETS.get(_known(dataset), dataset),
            dataset_name=dataset,
            metric_type=f"pass@{k}",
            metric_name=f"pass@{k}",
            metric_value=round(value, 6),
            verified=False,
        )
        for k, value in _passes(report)
    ] or None


def _passes(report: Mapping[str, Any]) -> list[tuple[int, float]]:
    metrics = report.get("metrics", {})
    ks = sorted(int(match[1]) for name in metrics if (match := re.fullmatch(r"pass@(\d+)", name)))
    return [(k, float(metrics[f"pass@{k}"])) for k in ks]


def _dataset_name(report: Mapping[str, Any]) -> str:
    return Path(str(report.get("dataset", {}).get("name") or "unnamed")).name  # where it lay is nobody's business


def _trained_on(config: Config, metadata: Mapping[str, Any]) -> list[str]:
    """Returns the known data set in the path of the training data, if this configuration did train the model."""
    path = config.data.train if metadata.get("step") else None
    return [known] if path and (known := _known(path)) else []


def _known(path: str) -> str:
    words = re.split(r"[^a-z0-9]+", path.lower())
    return next((name for name in _HUB_DATASETS if name in words), "")


def _architecture(config: Config, num_params: int) -> str:
    model = config.model
    rows = [
        ("parameters", f"{num_params:,}"),
        ("core", f"`{model.core}`: {_CORES.get(model.core, '')}".removesuffix(": ")),
        ("width D", model.hidden_dim),
        ("attention heads", model.num_heads),
        ("layers in a stack", model.layers_per_stack),
    ]
    if model.core != "transformer":
        rows.append(("cycles", f"{model.h_cycles} slow, each with {model.l_cycles} fast"))
    rows += [
        ("mask", f"`{model.mask}`" + (": tokens of the prompt see each other" if model.mask == "prefix_lm" else "")),
        ("vocabulary", f"{model.vocab_size:,} tokens"),
        ("longest sequence", f"{model.max_seq_len:,} tokens"),
    ]
    return "## Architecture\n\n" + _table(("", ""), rows)


def _usage(config: Config, place: str, *, transformers: bool) -> str:
    parts = [
        "## Use",
        "A prompt is a description, and best an assert that shows the function's name. With HRM-CodeGen:",
        f"""```python
from hrm_codegen import HRMCodeGen

model = HRMCodeGen.from_pretrained("{place}")
print(model.generate_code("{_PROMPT}"))
```""",
    ]
    if transformers:
        parts += [
            "With Transformers, in a release that has `hrm_text`:",
            f"""```python
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("{place}")
model = AutoModelForCausalLM.from_pretrained("{place}")
inputs = tokenizer("{_PROMPT}", return_tensors="pt")
tokens = model.generate(**inputs, max_new_tokens={config.sample.max_tokens})
print(tokenizer.decode(tokens[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
```""",
        ]
        if config.model.mask == "prefix_lm":
            parts.append(
                "Pass all of `inputs` on: the tokenizer gives `token_type_ids` of 1, which let the prompt's tokens "
                "see each other, as in training. Without them the prompt is read from left to right only."
            )
    return "\n\n".join(parts)


def _evaluation(report: Mapping[str, Any]) -> str:
    passes = _passes(report)
    if not passes:
        return ""
    metrics, settings, sandbox = (report.get(part, {}) for part in ("metrics", "settings", "sandbox"))
    rows = []
    for k, value in passes:
        low, high = metrics.get(f"pass@{k}_low"), metrics.get(f"pass@{k}_high")
        rows.append(
            (f"pass@{k}", _percent(value), "" if None in (low, high) else f"{_percent(low)} to {_percent(high)}")
        )
    problems = report.get("dataset", {}).get("problems")
    on = f"`{_dataset_name(report)}`" + (f", {problems} problems" if problems else "")
    how = _facts(
        ("samples a problem (n)", settings.get("num_samples")),
        ("k", ", ".join(str(k) for k, _ in passes)),
        ("temperature", settings.get("temperature")),
        ("top-p", settings.get("top_p")),
        ("longest answer", _with_unit(settings.get("max_tokens"), "tokens")),
        ("seed", settings.get("seed")),
        ("asserts shown in the prompt", settings.get("prompt_tests")),
        ("time limit", _with_unit(settings.get("timeout"), "s of CPU time")),
        ("sandbox tier", " ".join(str(x) for x in (sandbox.get("tier"), _brackets(sandbox.get("isolation"))) if x)),
        ("Python", sandbox.get("python")),
    )
    return (
        f"## Evaluation\n\nOn {on}; a sample counts if the problem's tests pass. The estimate of pass@k is the "
        f"unbiased one, the interval is over problems.\n\n{_table(('metric', 'value', '95 % interval'), rows)}\n\n"
        f"How it was measured:\n\n{how}"
    )


def _training(config: Config, metadata: Mapping[str, Any], trained_on: Iterable[str]) -> str:
    if not metadata.get("step"):
        return ""
    facts = _facts(
        ("data", ", ".join(f"`{name}`" for name in trained_on)),
        ("steps", metadata.get("step")),
        ("tokens", metadata.get("tokens")),
        ("rows a step", f"{config.train.batch_size}, of up to {config.data.seq_len} tokens"),
        ("training loss", metadata.get("train_loss")),
        ("validation loss", metadata.get("eval_loss")),
        ("weights", {"ema": "moving average", "raw": "as trained"}.get(str(metadata.get("weights")), "")),
    )
    return f"## Training\n\n{facts}"


def _limits() -> str:
    return """## Intended use and limits

For research and teaching. It does not chat; it answers any prompt, also one it cannot solve, and does best on short,
self-contained functions of the kind it was trained on.

What it writes is untrusted code: read it, or run it in a sandbox, as `hrm-codegen eval` does. A function that passes
the tests shown may still be wrong."""


def _facts(*pairs: tuple[str, Any]) -> str:
    lines = [f"- {name}: {_text(value)}" for name, value in pairs if value is not None and value != ""]
    return "\n".join(lines)


def _table(header: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> str:
    lines = [header, ("---",) * len(header), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


def _text(value: Any) -> str:
    if isinstance(value, bool | str):
        return str(value)
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def _with_unit(value: Any, unit: str) -> str:
    return "" if value is None else f"{_text(value)} {unit}"


def _brackets(value: Any) -> str:
    return f"({value})" if value else ""


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _count(number: int) -> str:
    for size, unit in ((1e9, " billion"), (1e6, " million")):
        if number >= size:
            return f"{number / size:.1f}{unit}"
    return f"{number:,}"
