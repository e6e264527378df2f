"""Options that several commands share, and what they mean. Light: the configuration is loaded only when asked for."""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hrm_codegen.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from hrm_codegen.config import Config

DEFAULT_CONFIG = "basics_dev"
_LOGGER = logging.getLogger("hrm_codegen.cli")


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """Adds `-c`, `--set` and `--size`."""
    option = parser.add_argument("-c", "--config", metavar="FILE", help=f"path or bundled name ({DEFAULT_CONFIG})")
    complete(option, _config_names)
    parser.add_argument("--set", action="append", default=[], metavar="A.B=V", help="override a field; repeatable")
    parser.add_argument("--size", metavar="PRESET", help="model preset: smoke, tiny, dev, 27m, hrm-text-1b")


def add_sampling_options(parser: argparse.ArgumentParser, *, several: bool = False) -> None:
    """Adds what decides how answers are drawn; defaults are those of the checkpoint's configuration.

    Args:
      parser: Of a command.
      several: `--temperature` and `--top-p` take a list of values, with spaces or commas; they are lists of lists then.
    """
    parser.add_argument(
        "--max", "--max-tokens", "--max-new-tokens", dest="max_tokens", type=positive_int, metavar="N",
        help="longest answer, in tokens",
    )  # fmt: skip

    def values(kind: Callable[[str], float]) -> dict[str, Any]:
        return {"type": _comma_separated(kind), "nargs": "+"} if several else {"type": kind}

    more = "; several: a sweep" if several else ""
    parser.add_argument("--temperature", metavar="T", help=f"0 is greedy{more}", **values(non_negative_float))
    parser.add_argument(
        "--top-p", metavar="P", help=f"keep the likeliest tokens of this total{more}", **values(probability)
    )
    parser.add_argument("--seed", type=int, metavar="N", help="of the draws")
    parser.add_argument("--condition", metavar="C", help="HRM-Text's condition tokens, as in synth,cot")
    parser.add_argument(
        "--batch", type=positive_int, metavar="N", help="sequences decoded together, on each device (a CPU: up to 16)"
    )
    parser.add_argument(
        "--num-devices",
        type=positive_int,
        metavar="N",
        help="devices that decode (default: all accelerators, a CPU's cores)",
    )
    add_weights_option(parser)


def add_weights_option(parser: argparse.ArgumentParser) -> None:
    """Adds `--weights`; its values are those of `pretrained.Weights`."""
    parser.add_argument(
        "--weights", choices=("float32", "int8"),
        help="int8: rounded to 8 bits, for one sequence at a time on a CPU (default: float32)",
    )  # fmt: skip


def add_sandbox_option(parser: argparse.ArgumentParser) -> None:
    """Adds `--sandbox`; its values are those of `evaluator.verdicts.SandboxMode`."""
    parser.add_argument(
        "--sandbox", choices=("auto", "best-effort", "namespaces", "landlock", "posix"),
        help="how programs are isolated (default: HRM_CODEGEN_SANDBOX, else auto: the strongest that works here)",
    )  # fmt: skip


def load_config(args: argparse.Namespace, fields: Mapping[str, Any] | None = None) -> Config:
    """Loads `args.config` with `--size`, then `fields`, then `--set` over it.

    Args:
      args: Has the options of `add_config_options`.
      fields: Values of options of their own, by dotted name; None values are skipped.

    Raises:
      ConfigError: For anything wrong in the file or the overrides.
    """
    from hrm_codegen import config as configs

    if args.config is None:
        _LOGGER.info("no -c/--config: using the bundled configuration %s", DEFAULT_CONFIG)
    overrides = []
    if args.size is not None:
        if args.size not in configs.PRESETS:
            raise ConfigError(f"no preset {args.size!r}; there are: {', '.join(configs.PRESETS)}")
        overrides += [override(f"model.{key}", value) for key, value in configs.PRESETS[args.size].items()]
    overrides += [override(key, value) for key, value in (fields or {}).items() if value is not None]
    return configs.load(args.config or DEFAULT_CONFIG, [*overrides, *args.set])


def override(name: str, value: Any) -> str:
    """Returns the `--set` text for a value; JSON is YAML, and quotes what YAML would read as something else."""
    return f"{name}={json.dumps(value)}"


def int_list(values: Sequence[str] | None, option: str) -> tuple[int, ...] | None:
    """Reads `--k 1 10` and `--k 1,10` alike.

    Raises:
      UsageError: If one of them is not a positive whole number.
    """
    if values is None:
        return None
    words = [word for value in values for word in value.split(",") if word]
    if not words or not all(word.isdecimal() and int(word) > 0 for word in words):
        raise UsageError(f"{option} takes positive whole numbers, got {' '.join(values)!r}")
    return tuple(sorted({int(word) for word in words}))


def positive_int(text: str) -> int:
    """An argparse type: 1, 2, ..."""
    return _number(text, int, lambda value: value >= 1, "a whole number of at least 1")


def non_negative_int(text: str) -> int:
    """An argparse type: 0, 1, ..."""
    return _number(text, int, lambda value: value >= 0, "a whole number of at least 0")


def non_negative_float(text: str) -> float:
    """An argparse type: [0, inf)."""
    return _number(text, float, lambda value: 0 <= value < float("inf"), "a number of at least 0")


def positive_float(text: str) -> float:
    """An argparse type: (0, inf)."""
    return _number(text, float, lambda value: 0 < value < float("inf"), "a number above 0")


def probability(text: str) -> float:
    """An argparse type: (0, 1]."""
    return _number(text, float, lambda value: 0 < value <= 1, "a number in (0, 1]")


def complete(option: argparse.Action, names: Callable[..., list[str]]) -> None:
    """Gives an option the words that the shell offers for it (the attribute is argcomplete's interface)."""
    option.completer = names  # type: ignore[attr-defined]


def checkpoint_paths(prefix: str, **_: Any) -> list[str]:
    """Completes `--ckpt`: weight files and folders under what was typed so far."""
    return _paths(prefix, (".pt", ".safetensors"))


def _comma_separated(kind: Callable[[str], float]) -> Callable[[str], list[float]]:
    return lambda text: [kind(word) for word in text.split(",")]


def _config_names(prefix: str, **_: Any) -> list[str]:
    from hrm_codegen.config import bundled_names

    return [name for name in bundled_names() if name.startswith(prefix)] + _paths(prefix, (".yaml", ".yml", ".py"))


def _paths(prefix: str, suffixes: tuple[str, ...]) -> list[str]:
    folder, _, stem = prefix.rpartition("/")
    folder = f"{folder}/" if "/" in prefix else ""
    found = sorted(Path(folder or ".").glob("*"))
    names = [f"{folder}{path.name}{'/' if path.is_dir() else ''}" for path in found if path.name.startswith(stem)]
    return [name for name in names if name.endswith(("/", *suffixes))]


def _number(text: str, kind: Callable[[str], Any], allowed: Callable[[Any], bool], wanted: str) -> Any:
    try:
        value = kind(text)
    except ValueError:
        value = None
    if value is None or not allowed(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not {wanted}")
    return value
