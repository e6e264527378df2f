"""Started by the launcher's tests: process 1 dies if asked to, the others note which signal ends them. No jax."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path


def main(folder: str, what: str) -> None:
    index = os.environ["JAX_PROCESS_ID"]
    path = Path(folder) / index

    def stop(number: int, frame: object) -> None:
        with path.open("a") as file:
            file.write(signal.Signals(number).name + "\n")
        sys.stdout.write(f"data of {index}\n")
        sys.exit(0)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    path.write_text("started\n")
    if what == "die" and index == "1":
        while not (Path(folder) / "0").exists():
            time.sleep(0.02)
        time.sleep(0.1)
        sys.stderr.write("dying\n")
        sys.exit(7)
    while True:
        time.sleep(0.02)


if __name__ == "__main__":
    main(*sys.argv[1:])
