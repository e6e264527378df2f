"""llama.cpp, by its own `llama-bench` on a GGUF that its converter made of our export. One sequence.

Its combined test (`-pg`) does the others' work: read a prompt, then write after it. What stays different: it draws
tokens at random rather than by the logits, its attention is causal, and its cache is float16, for it offers no wider
one.
"""

from __future__ import annotations

import json
import math
import subprocess
from typing import Any

from hrm_codegen.machine import cores

_TIMEOUT = 600
_MOST = 100  # repetitions


class Decoder:
    """Greedy decoding of one sequence."""

    def prepare(self, bench: str, gguf: str) -> dict[str, Any]:
        """Keeps the command."""
        self._command = [bench, "-m", gguf, "-t", str(cores()), "-o", "json"]
        self._expected: float | None = None
        return {"cache": "float16"}

    def measure(self, batch: int, prompt_len: int, new_tokens: int, seconds: float) -> dict[str, Any]:
        """Runs it once: it loads the model, warms up, and repeats as often as the last run says that it should."""
        assert batch == 1
        repetitions = 1 if self._expected is None else min(_MOST, max(1, math.ceil(seconds / self._expected)))
        tests = ["-p", str(prompt_len), "-n", "0", "-pg", f"{prompt_len},{new_tokens}", "-r", str(repetitions)]
        done = subprocess.run(
            [*self._command, *tests],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            timeout=_TIMEOUT,
        )
        found = combined(json.loads(done.stdout), new_tokens)
        self._expected = min(found["seconds"])
        return found


def combined(tests: list[dict[str, Any]], new_tokens: int) -> dict[str, Any]:
    """Makes one measurement of llama-bench's two tests, the prompt alone and with all tokens after it."""
    prompt = next(test for test in tests if test["n_prompt"] and not test["n_gen"])["avg_ns"] / 1e9
    seconds = [sample / 1e9 for sample in next(test for test in tests if test["n_gen"])["samples_ns"]]
    token = (sum(seconds) / len(seconds) - prompt) / new_tokens
    return {"units": new_tokens, "seconds": seconds, "first": [prompt + max(token, 0.0)]}
