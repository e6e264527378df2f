"""`hrm-codegen config`: list, copy, show and check configurations; imports no jax."""

from __future__ import annotations

import argparse
import logging

from hrm_codegen.cli import options, output
from hrm_codegen.cli.parser import add_subcommand
from hrm_codegen.errors import ConfigError

_LOGGER = logging.getLogger("hrm_codegen.cli")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds list, init, show and validate."""
    commands = parser.add_subparsers(dest="config_command", metavar="ACTION", required=True)
    add_subcommand(commands, "list", "Names of the bundled configurations", _list)
    init = add_subcommand(commands, "init", "Print a bundled configuration with its comments, to be redirected", _init)
    init.add_argument("name", metavar="NAME", help="see `config list`")
    show = add_subcommand(commands, "show", "Print a configuration with every default filled in", _show)
    options.add_config_options(show)
    show.add_argument("--json", action="store_true", help="as JSON")
    check = add_subcommand(commands, "validate", "Check configuration files", _validate)
    check.add_argument("files", nargs="+", metavar="FILE", help="paths or bundled names")


def _list(args: argparse.Namespace) -> int:
    from hrm_codegen.config import bundled_names

    print("\n".join(bundled_names()))
    return 0


def _init(args: argparse.Namespace) -> int:
    from hrm_codegen.config import resolve_path

    name = args.name.removesuffix(".yaml")
    print(resolve_path(f"{name}.yaml").read_text(encoding="utf-8").rstrip("\n"))
    return 0


def _show(args: argparse.Namespace) -> int:
    from hrm_codegen.config import to_dict, to_yaml

    config = options.load_config(args)
    print(output.json_line(to_dict(config)) if args.json else to_yaml(config).rstrip("\n"))
    return 0


def _validate(args: argparse.Namespace) -> int:
    from hrm_codegen.config import load

    wrong: list[ConfigError] = []
    for file in args.files:
        try:
            load(file)
        except ConfigError as error:
            wrong.append(error)
        else:
            print(f"{file}: ok")
    for earlier in wrong[:-1]:
        _LOGGER.error("%s", earlier.render())
    if wrong:
        raise wrong[-1]
    return 0
