"""What values a field may have: ranges of one field, then agreements between several. No arrays, no devices.

Each rule blames one field and says what it must be; `find_problems` runs all of them on whatever could be read, so
that one wrong type does not hide the rest. Types and choices are checked before, in `fields.py`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from hrm_codegen.config.fields import FIELDS, SECTIONS
from hrm_codegen.config.schema import Config
from hrm_codegen.config.tree import Issue, show
from hrm_codegen.errors import ConfigError

Requirement = str | None


class Problem(NamedTuple):
    """A rule that does not hold.

    Attributes:
      path: The field to blame.
      related: Other fields that the rule looked at.
      text: The message, without a place.
    """

    path: str
    related: tuple[str, ...]
    text: str


class Rule(NamedTuple):
    """A test of `path` that also needs the values of `related`; it returns what `path` must be, or None."""

    path: str
    related: tuple[str, ...]
    test: Callable[..., Requirement]


def find_problems(values: Mapping[str, Any]) -> list[Problem]:
    """Runs the rules whose fields are all there; agreements only among fields that are in range.

    Args:
      values: Dotted name to value, of the right types.
    """
    first = {problem.path: problem for problem in reversed(_apply(RANGES, values))}  # NaN is out of two ranges.
    in_range = {path: value for path, value in values.items() if path not in first}
    return [*reversed(first.values()), *_apply(AGREEMENTS, in_range)]


def flatten(config: Config) -> dict[str, Any]:
    """Returns the values of a configuration by dotted name."""
    tops = {path: getattr(config, path) for path in FIELDS if "." not in path}
    sections = {name: getattr(config, name) for name in SECTIONS}
    inner = {f"{name}.{field.name}": getattr(section, field.name) for name, section in sections.items()
             for field in dataclasses.fields(section)}  # fmt: skip
    return tops | inner


def validate(config: Config) -> None:
    """Checks ranges and the agreement of fields.

    Raises:
      ConfigError: With one message for each thing that is wrong.
    """
    problems = find_problems(flatten(config))
    if problems:
        raise ConfigError(*(str(Issue(problem.text)) for problem in problems))


def _apply(rules: tuple[Rule, ...], values: Mapping[str, Any]) -> list[Problem]:
    problems = []
    for rule in rules:
        if rule.path in values and all(path in values for path in rule.related):
            requirement = rule.test(values[rule.path], *(values[path] for path in rule.related))
            if requirement:
                text = f'field "{rule.path}" must {requirement}, got {show(values[rule.path])}'
                problems.append(Problem(rule.path, rule.related, text))
    return problems


def _ranges() -> Iterator[Rule]:
    def each(requirement: str, holds: Callable[[Any], bool], *paths: str) -> Iterator[Rule]:
        for path in paths:
            yield Rule(path, (), lambda value: None if value is None or holds(value) else requirement)

    numbers = [path for path, field in FIELDS.items() if field.kind is float]
    yield from each("be finite", math.isfinite, *numbers)
    yield from each(
        "be at least 1", lambda value: value >= 1,
        "model.vocab_size", "model.hidden_dim", "model.num_heads", "model.intermediate_dim", "model.layers_per_stack",
        "model.h_cycles", "model.l_cycles", "model.max_seq_len",
        "train.num_steps", "train.batch_size", "train.grad_accum", "train.bp_min", "train.bp_max", "train.log_every",
        "train.eval_every", "train.eval_batches", "train.checkpoint_every", "train.keep_checkpoints",
        "eval.num_samples", "eval.workers", "eval.batch_size", "eval.limit", "sample.max_tokens",
    )  # fmt: skip
    yield from each("be at least 2", lambda value: value >= 2, "data.seq_len")
    yield from each("be an even number of at least 2", lambda value: value >= 2 and value % 2 == 0, "model.head_dim")
    yield from each(
        "be at least 0", lambda value: value >= 0,
        "data.prompt_tests", "optim.warmup_steps", "optim.weight_decay", "sample.temperature", "sample.top_k",
    )  # fmt: skip
    yield from each(
        "be above 0", lambda value: value > 0,
        "model.rope_theta", "model.norm_eps", "optim.lr", "optim.clip_norm", "train.time_limit_minutes", "eval.timeout",
    )  # fmt: skip
    yield from each("be in [0, 1)", lambda value: 0 <= value < 1, "optim.b1", "optim.b2", "optim.ema_decay")
    yield from each("be in [0, 1]", lambda value: 0 <= value <= 1, "optim.min_lr_ratio", "train.bp_warmup_ratio")
    yield from each("be in (0, 1]", lambda value: 0 < value <= 1, "sample.top_p")
    yield from each("be in [0, 2**32)", lambda value: 0 <= value < 2**32, "train.seed", "sample.seed")
    yield from each(
        "be at least 1, or -1 for all devices that are left", lambda value: value == -1 or value >= 1,
        *(path for path in FIELDS if path.startswith("mesh.")),
    )  # fmt: skip
    yield from each(
        "be one or more integers of at least 1", lambda value: bool(value) and min(value) >= 1, "eval.k"
    )  # fmt: skip
    yield from each("be a file name, without / or \\", _is_file_name, "name", "train.run_name")
    yield from each("not be empty", bool, "data.train", "data.eval", "data.tokenizer", "train.out_dir")


def _is_file_name(text: str) -> bool:
    return bool(text.strip(". ")) and not set(text) & set("/\\\0\n")


def _head_size_divides(num_heads: int, hidden_dim: int, head_dim: int | None) -> Requirement:
    if head_dim is not None:
        return None
    if hidden_dim % num_heads:
        return f"divide model.hidden_dim = {hidden_dim} (or set model.head_dim)"
    if hidden_dim // num_heads % 2:
        return f"give an even head size, model.hidden_dim / model.num_heads = {hidden_dim // num_heads} is odd"
    return None


def _is_split_evenly(batch_size: int, grad_accum: int) -> Requirement:
    return f"be divisible by train.grad_accum = {grad_accum}" if batch_size % grad_accum else None


def _fits_model(seq_len: int, max_seq_len: int) -> Requirement:
    return f"be at most model.max_seq_len = {max_seq_len}" if seq_len > max_seq_len else None


def _is_a_pass(passes: int | None, h_cycles: int, l_cycles: int) -> Requirement:
    total = h_cycles * (l_cycles + 1)
    return None if passes is None or passes <= total else f"be at most h_cycles * (l_cycles + 1) = {total}"


def _reaches_both_stacks(passes: int | None, core: str) -> Requirement:
    if passes is None or passes >= 2 or core not in ("hrm", "trm"):
        return None
    return f"be at least 2 with model.core {core}, so that both roles get gradients"


def _is_growing(bp_min: int | None, bp_max: int | None, h_cycles: int, l_cycles: int) -> Requirement:
    most = h_cycles + math.ceil(h_cycles * l_cycles / 2) if bp_max is None else bp_max
    if bp_min is None or bp_min <= most:
        return None
    return f"be at most train.bp_max = {most}{' (its default)' if bp_max is None else ''}"


def _is_even_loop(core: str, h_cycles: int, l_cycles: int) -> Requirement:
    total = h_cycles * (l_cycles + 1)
    if core != "looped" or total % 2 == 0:
        return None
    return f"not be looped with h_cycles * (l_cycles + 1) = {total}, which must be even"


def _is_learnable(loss_on_prompt: bool, mask: str) -> Requirement:
    return "be false unless model.mask is causal" if loss_on_prompt and mask != "causal" else None


def _is_only_rest(axis: int, *others: int) -> Requirement:
    return "not be -1 too: one mesh axis at most" if axis == -1 and -1 in others else None


def _is_enough(num_samples: int | None, k: tuple[int, ...]) -> Requirement:
    return None if num_samples is None or num_samples >= max(k) else f"be at least max(eval.k) = {max(k)}"


RANGES: tuple[Rule, ...] = tuple(_ranges())
AGREEMENTS: tuple[Rule, ...] = (
    Rule("model.num_heads", ("model.hidden_dim", "model.head_dim"), _head_size_divides),
    Rule("model.core", ("model.h_cycles", "model.l_cycles"), _is_even_loop),
    Rule("data.seq_len", ("model.max_seq_len",), _fits_model),
    Rule("data.loss_on_prompt", ("model.mask",), _is_learnable),
    Rule("mesh.fsdp", ("mesh.data",), _is_only_rest),
    Rule("mesh.tensor", ("mesh.data", "mesh.fsdp"), _is_only_rest),
    Rule("train.batch_size", ("train.grad_accum",), _is_split_evenly),
    Rule("train.bp_min", ("model.h_cycles", "model.l_cycles"), _is_a_pass),
    Rule("train.bp_min", ("model.core",), _reaches_both_stacks),
    Rule("train.bp_max", ("model.h_cycles", "model.l_cycles"), _is_a_pass),
    Rule("train.bp_max", ("model.core",), _reaches_both_stacks),
    Rule("train.bp_min", ("train.bp_max", "model.h_cycles", "model.l_cycles"), _is_growing),
    Rule("eval.num_samples", ("eval.k",), _is_enough),
)
