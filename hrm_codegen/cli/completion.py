"""`hrm-codegen completion SHELL`: the script that makes a shell complete commands, options and file names."""

from __future__ import annotations

import argparse

from hrm_codegen.cli.parser import PROG


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the shell's name."""
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="the shell to write for")
    parser.epilog = 'Try it with: eval "$(hrm-codegen completion bash)"; keep it in a start-up file of your shell.'
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prints the script."""
    import argcomplete

    print(argcomplete.shellcode([PROG], shell=args.shell).strip("\n"))
    return 0
