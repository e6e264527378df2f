"""The absl front door: `python -m hrm_codegen.main --config=mbpp_dev --mode=train|eval|gen --workdir=DIR`.

Flags are absl's, the configuration is ml_collections' `config_flags`: `--config.train.num_steps=20` overrides any field
of the schema, whatever the file mentions, because every file goes through `config/from_yaml.py`. The work itself is in
`jobs.py`, which the command line `hrm-codegen` shares; jax is imported there, after the configuration was found good.
absl keeps its own `-v`/`--verbosity`; this package's debugging lines are `--verbose`.
"""

from __future__ import annotations

import itertools
import json
import logging
import math
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import app, flags
from absl import logging as absl_logging
from ml_collections import config_flags

from hrm_codegen import logs
from hrm_codegen.config import Config, Override, load
from hrm_codegen.config.fields import FIELDS, WrongType, canonical
from hrm_codegen.config.overrides import apply_overrides
from hrm_codegen.config.tree import Tree
from hrm_codegen.errors import ConfigError, HRMCodeGenError, UsageError
from hrm_codegen.machine import restart_with_large_pages

FLAGS = flags.FLAGS
_LOADER = Path(__file__).parent / "config" / "from_yaml.py"
_LOGGER = logging.getLogger("hrm_codegen.main")

config_flags.DEFINE_config_file("config", None, "Path or bundled name of a .yaml or .py configuration; also -c.")
flags.DEFINE_enum("mode", "train", ["train", "eval", "gen"], "What to do.")
flags.DEFINE_string("workdir", None, "The run's folder: train.out_dir, and where eval and gen look for best.pt.")
flags.DEFINE_string("ckpt", None, "Checkpoint; in training, the weights to start from.")
flags.DEFINE_string("data", None, "Training data, or the problems to evaluate on.")
flags.DEFINE_string("eval_data", None, "Data for the validation loss.")
flags.DEFINE_multi_string("prompt", None, "What to write; repeatable.")
flags.DEFINE_multi_string("k", None, "The k of each pass@k: --k=1,10 or --k=1 --k=10.")
flags.DEFINE_integer("num_samples", None, "Programs a problem.", lower_bound=1)
flags.DEFINE_integer("limit", None, "First so many problems only.", lower_bound=1)
flags.DEFINE_string("out", None, "Folder for results.jsonl and report.json.")
flags.DEFINE_bool("resume", False, "Go on with the latest run.")
flags.DEFINE_bool("wandb", None, "Log to Weights & Biases, or don't (default: train.wandb).")
flags.DEFINE_bool("json", False, "Metrics as one JSON object, the last line of stdout.")
flags.DEFINE_bool("verbose", False, "Debugging lines of this package.")

_READ_BY = {
    "workdir": ("train", "eval", "gen"),
    "ckpt": ("train", "eval", "gen"),
    "data": ("train", "eval"),
    "eval_data": ("train",),
    "prompt": ("gen",),
    "k": ("eval",),
    "num_samples": ("eval",),
    "limit": ("eval",),
    "out": ("eval",),
    "resume": ("train",),
    "wandb": ("train",),
}
_TRAIN_FIELDS = {"workdir": "train.out_dir", "data": "data.train", "eval_data": "data.eval"}


def run(mode: str | None = None) -> None:
    """Does what `sys.argv` says and exits the process.

    Args:
      mode: The default of `--mode`.
    """
    try:
        logs.setup()
        logs.setup(log_format=logs.requested_format([]))
        if mode is not None:
            FLAGS.set_default("mode", mode)
        sys.argv = rewrite_argv(FLAGS.read_flags_from_files(sys.argv, force_gnu=False))  # config_flags reads sys.argv.
        app.run(_main, flags_parser=_parse)
    except HRMCodeGenError as error:
        _detach_absl_handler()
        _LOGGER.error("%s", error.render())
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        _detach_absl_handler()
        _LOGGER.error("interrupted")
        sys.exit(130)


def rewrite_argv(argv: Sequence[str]) -> list[str]:
    """Translates what users write into what config_flags understands.

    `-c X` and `--config X` become `--config=<from_yaml.py>:X` and come first; aliases of fields become the fields.

    Args:
      argv: The program's name and its arguments.

    Raises:
      ConfigError: For overrides of fields that do not exist, all at once.
      UsageError: For overrides without a configuration, or `--config` without a value.
    """
    config: str | None = None
    rest: list[str] = []
    overrides: list[str] = []
    known = Tree()
    words = iter(argv[1:])
    for word in words:
        name, equals, value = word.partition("=")
        override = re.fullmatch(r"(--?)(no)?config\.(.+)", name)
        if word == "--":
            rest += [word, *words]
        elif name in ("-c", "-config", "--config"):
            config = value if equals else next(words, "")
            if not config:
                raise UsageError(f"{name} needs the path or name of a configuration")
        elif override:
            path = canonical(override[3])
            apply_overrides(known, [Override(path=override[3], value=None, place=word)])
            overrides.append(word)
            rest.append(f"{override[1]}{override[2] or ''}config.{path}{equals}{value}")
            takes_value = path in FIELDS and FIELDS[path].kind is not bool and not equals
            rest += itertools.islice(words, int(takes_value))
        else:
            rest.append(word)
            flag = FLAGS[name.lstrip("-")] if name.startswith("-") and name.lstrip("-") in FLAGS else None
            takes_value = flag is not None and not flag.boolean and not equals
            rest += itertools.islice(words, int(takes_value))
    if known.issues:
        raise ConfigError(*map(str, known.issues))
    if overrides and config is None:
        raise UsageError(f"{overrides[0]} overrides a field of --config, which is missing")
    return [argv[0], *([] if config is None else [f"--config={_LOADER}:{config}"]), *rest]


def _parse(argv: Sequence[str]) -> list[str]:
    try:
        rest = FLAGS(argv)
    except flags.Error as error:
        raise _explain(error) from error
    except SystemExit:  # absl's help flags print and exit with 1; asking for help is no failure.
        raise SystemExit(0) from None
    if len(rest) > 1:
        raise UsageError(f"unexpected argument {rest[1]!r}: options start with --, lists are --k=1,10")
    return rest


def _explain(error: flags.Error) -> HRMCodeGenError:
    """Finds the user's error under absl's, or words it as the other loaders do."""
    found: HRMCodeGenError | None = None
    link: BaseException | None = error
    while link is not None:
        found = link if isinstance(link, HRMCodeGenError) else found
        link = link.__context__
    if found is not None:
        return found
    override = re.match(r"flag --config\.([\w.]+)=(.*?): ", str(error), re.DOTALL)
    if override:
        path, value = override.groups()
        try:
            FIELDS[path].convert(value)
        except WrongType as requirement:
            text = f'field "{path}" must be {requirement}, got {json.dumps(value, ensure_ascii=False)}'
            return ConfigError(f"{text} (--config.{path}={value})")
    return UsageError(" ".join(str(error).split()))


def _main(argv: Sequence[str]) -> int:
    _detach_absl_handler()
    logs.setup(int(FLAGS.verbose), logs.requested_format([]))
    for name, modes in _READ_BY.items():
        if FLAGS[name].present and FLAGS.mode not in modes:
            raise UsageError(f"--{name} has no meaning with --mode={FLAGS.mode}")
    config = _load_config()
    if FLAGS.mode == "train":
        if config is None:
            raise UsageError("--mode=train needs --config=FILE (or -c FILE)")
        _print_metrics(_train(config))
    elif FLAGS.mode == "eval":
        _print_metrics(_evaluate(config))
    else:
        _generate(config)
    return 0


def _load_config() -> Config | None:
    flag: Any = FLAGS["config"]
    if flag.value is None:
        return None
    fields = [(f"config.{path}", path, value) for path, value in flag.override_values.items()]
    if FLAGS.mode == "train":
        fields += [(name, path, FLAGS[name].value) for name, path in _TRAIN_FIELDS.items() if FLAGS[name].present]
    if FLAGS.wandb is not None:
        fields.append(("wandb", "train.wandb", "auto" if FLAGS.wandb else "disabled"))
    overrides = [Override(path=path, value=value, place=f"--{name}={value}") for name, path, value in fields]
    return load(flag.config_filename.removeprefix(f"{_LOADER}:"), overrides)


def _train(config: Config) -> dict[str, float]:
    if FLAGS.resume and FLAGS.ckpt:
        raise UsageError("--resume goes on with the run's own checkpoint: leave out --ckpt")
    from hrm_codegen import jobs

    return jobs.train(config, resume=FLAGS.resume, init_from=FLAGS.ckpt)


def _evaluate(config: Config | None) -> Mapping[str, float]:
    settings: dict[str, Any] = {"k": _k(), "num_samples": FLAGS.num_samples, "limit": FLAGS.limit}
    if config is not None:
        names = ("k", "num_samples", "limit", "timeout", "workers", "batch_size")
        configured = {name: getattr(config.eval, name) for name in names} | {
            name: getattr(config.sample, name) for name in ("temperature", "top_p", "max_tokens", "seed")
        }
        settings = configured | {name: value for name, value in settings.items() if value is not None}
    from hrm_codegen import jobs

    return jobs.evaluate(ckpt=_checkpoint(), data=FLAGS.data, out=FLAGS.out, **settings).metrics


def _generate(config: Config | None) -> None:
    if not FLAGS.prompt:
        raise UsageError("--mode=gen needs --prompt=TEXT")
    settings: dict[str, Any] = {}
    if config is not None:
        names = ("max_tokens", "temperature", "top_p", "top_k", "seed")
        settings = {name: getattr(config.sample, name) for name in names} | {"batch_size": config.eval.batch_size}
    from hrm_codegen import jobs

    codes = jobs.generate(ckpt=_checkpoint(), prompts=list(FLAGS.prompt), **settings)
    if FLAGS.json:
        text = json.dumps([{"prompt": p, "code": c} for p, c in zip(FLAGS.prompt, codes, strict=True)])
    else:
        text = "\n\n".join(code.strip("\n") for code in codes)
    sys.stdout.write(text + "\n")


def _checkpoint() -> str | None:
    if FLAGS.ckpt is None and FLAGS.workdir is not None:
        return str(Path(FLAGS.workdir) / "best.pt")
    return FLAGS.ckpt


def _k() -> tuple[int, ...] | None:
    words = [word for value in FLAGS.k or () for word in value.split(",")]
    if not all(re.fullmatch("0*[1-9][0-9]{0,8}", word) for word in words):
        raise UsageError(f"--k takes positive whole numbers, got {','.join(words)!r}")
    return tuple(sorted({int(word) for word in words})) or None


def _print_metrics(metrics: Mapping[str, float]) -> None:
    if FLAGS.json:
        finite = {name: value if math.isfinite(value) else None for name, value in metrics.items()}
        sys.stdout.write(json.dumps(finite) + "\n")
    else:
        sys.stdout.write("".join(f"{name} {value:.6g}\n" for name, value in metrics.items()))


def _detach_absl_handler() -> None:
    """Removes the handler that `app.run` adds to the root logger: our own prints each line already."""
    logging.getLogger().removeHandler(absl_logging.get_absl_handler())


if __name__ == "__main__":
    restart_with_large_pages()
    run()
