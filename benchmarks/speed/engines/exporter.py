"""Writes the files of `shop.py` from the same weights that our engines have. Nothing here is measured."""

from __future__ import annotations

import sys

from benchmarks.speed.engines.model import make_model
from hrm_codegen.data import Tokenizer, encode_example, get_reader, write_token_file
from hrm_codegen.errors import DatasetError
from hrm_codegen.interop.onnx_export import export_onnx


class Exporter:
    """One process for one file."""

    def export(self, path: str, size: str) -> None:
        """Writes a folder for Transformers."""
        make_model(size).export_hf(path)

    def export_onnx(self, path: str, size: str) -> None:
        """Writes the plain graph, and beside it the one with past."""
        export_onnx(make_model(size).to_bundle(), path)

    def write_documents(self, path: str, count: int, mbpp: str | None) -> str:
        """Writes problems of both training splits in equal parts, prompt and answer as the trainer reads them.

        Args:
          path: Of the token file.
          count: How many at most.
          mbpp: MBPP's file; None: the user's copy, or downloaded. Without it, all are of basics.

        Returns:
          What they are, in words.
        """
        source, parts = "the embedded basics data, without MBPP", [get_reader("basics").load()["train"]]
        try:
            parts.append(get_reader("mbpp").load(source=mbpp)["train"])
            source = "MBPP's and basics' training splits"
        except DatasetError as error:
            print(f"MBPP: {error}", file=sys.stderr)
        problems = [problem for part in parts for problem in part[: count // len(parts)]]
        tokenizer = Tokenizer.load("default")
        examples = (encode_example(tokenizer, problem, num_tests=1) for problem in problems)
        write_token_file(path, examples, tokenizer=tokenizer, metadata={"source": "benchmarks.speed"})
        return source
