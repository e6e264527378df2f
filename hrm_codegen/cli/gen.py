"""`hrm-codegen gen`: prompts from the command line or stdin, code and nothing else on stdout."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator
from typing import IO

from hrm_codegen.cli import options, output
from hrm_codegen.errors import PromptError, UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `gen`."""
    checkpoint = parser.add_argument(
        "--ckpt", metavar="FILE", help="checkpoint, hf:NAME or .gguf (default: the newest local best.pt)"
    )
    options.complete(checkpoint, options.checkpoint_paths)
    parser.add_argument("--prompt", metavar="TEXT", help="what to write; '-' or none: one prompt a line from stdin")
    options.add_sampling_options(parser)
    parser.add_argument(
        "--top-k", type=options.non_negative_int, metavar="N", help="keep the N likeliest tokens; 0: all"
    )
    parser.add_argument(
        "--beams", type=options.positive_int, metavar="N", help="beam search of this width, no sampling"
    )
    parser.add_argument(
        "--format", choices=("text", "jsonl"), default="text", help="blocks of code, or an object a line"
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="default: stdout")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Generates one block of code a prompt, in order."""
    if args.beams is not None and any(value is not None for value in (args.temperature, args.top_p, args.top_k)):
        raise UsageError("--beams searches and doesn't sample: leave out --temperature, --top-p and --top-k")
    prompts = _prompts(args.prompt)
    from hrm_codegen import jobs

    codes = jobs.generate(
        ckpt=args.ckpt,
        prompts=prompts,
        max_tokens=args.max_tokens,
        temperature=args.temperature,
        top_p=args.top_p,
        top_k=args.top_k,
        seed=args.seed,
        batch_size=args.batch,
        num_beams=args.beams,
        condition=args.condition,
        num_devices=args.num_devices,
        weights=args.weights,
        device=args.device,
    )
    with _destination(args.output) as file:
        if args.format == "jsonl":
            for prompt, code in zip(prompts, codes, strict=True):
                file.write(output.json_line({"prompt": prompt, "code": code}) + "\n")
        else:
            file.write("\n\n".join(code.strip("\n") for code in codes) + "\n")
    return 0


def _prompts(prompt: str | None) -> list[str]:
    from hrm_codegen.data import check_prompt

    if prompt is not None and prompt != "-":
        return [check_prompt(prompt)]
    if prompt is None and sys.stdin.isatty():
        raise UsageError("nothing to do: give --prompt TEXT, or pipe one prompt a line to stdin")
    lines = sys.stdin.read().splitlines() or [""]
    for number, line in enumerate(lines, start=1):
        try:
            check_prompt(line)
        except PromptError as error:
            raise PromptError(f"{error} (stdin:{number})") from None
    return lines


@contextlib.contextmanager
def _destination(path: str | None) -> Iterator[IO[str]]:
    if path is None:
        yield sys.stdout
        return
    from hrm_codegen.config.files import atomic_write

    with atomic_write(path) as file:
        yield file
