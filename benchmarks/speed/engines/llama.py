"""llama.cpp, by its own `llama-bench` on a GGUF that its converter made of our export. One sequence.

It measures reading a prompt and writing tokens apart; here the two are added up, as the other contenders do both.
"""

from __future__ import annotations

import json
import subprocess
from typing import Any

from hrm_codegen.machine import cores

_TIMEOUT = 600


class Decoder:
    """Greedy decoding of one sequence."""

    def prepare(self, bench: str, gguf: str) -> dict[str, Any]:
        """Keeps the command."""
        self._command = [bench, "-m", gguf, "-t", str(cores()), "-r", "1", "-o", "json"]
        return {}

    def measure(self, batch: int, prompt_len: int, new_tokens: int, seconds: float) -> dict[str, Any]:
        """Runs it once."""
        del seconds  # it warms up by itself and measures once
        assert batch == 1
        command = [*self._command, "-p", str(prompt_len), "-n", str(new_tokens)]
        done = subprocess.run(
            command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, timeout=_TIMEOUT
        )
        return combined(json.loads(done.stdout), new_tokens)


def combined(tests: list[dict[str, Any]], new_tokens: int) -> dict[str, Any]:
    """Makes one measurement of llama-bench's two tests."""
    prompt = next(test for test in tests if test["n_prompt"] and not test["n_gen"])["avg_ns"] / 1e9
    written = next(test for test in tests if test["n_gen"] and not test["n_prompt"])["avg_ns"] / 1e9
    return {"units": new_tokens, "seconds": [prompt + written], "first": [prompt + written / new_tokens]}
