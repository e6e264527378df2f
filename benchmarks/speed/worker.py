"""A worker process: `python -m benchmarks.speed.worker MODULE:CLASS`, JSON lines in and out, idle in between.

Why a process each: jax, torch and onnxruntime bring thread pools and allocators that disturb each other. It imports
its engine's packages only. Nothing but answers goes to the real stdout: what a package prints lands on stderr.

A request is `{"call": method, "options": {...}}`, its answer `{"result": ...}` or `{"error": text}`.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from typing import Any


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    engine: Any = None
    for line in sys.stdin:
        request = json.loads(line)
        answer: dict[str, Any]
        try:
            engine = engine or _load(sys.argv[1])
            answer = {"result": getattr(engine, request["call"])(**request["options"])}
        except Exception as error:  # whatever an engine raises is one contender's failure, not the run's
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


def _load(name: str) -> Any:
    module, _, kind = name.partition(":")
    return getattr(importlib.import_module(module), kind)()


if __name__ == "__main__":
    main()
