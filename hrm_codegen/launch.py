"""`python -m hrm_codegen.launch --processes 2 --devices 4 -- train -c smoke`: one run in several processes, here.

For a machine with several GPUs that want a process each, for a few machines without a scheduler (once on each, with
`--machines`), and for trying on a laptop what a cluster will do. The processes find each other through `JAX_*`
variables (`parallel/distributed.py`). Process 0's stdout and stderr are the launcher's own; the others' lines come on
stderr with their number in front, or go to files. SIGTERM and Ctrl-C reach all. When one fails, the rest are ended,
and its exit code is the launcher's. `DRY_RUN=1` prints the commands. Light: imports no jax.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import IO

_GRACE_SECONDS = 5.0
_POLL_SECONDS = 0.05


@dataclasses.dataclass(frozen=True, kw_only=True)
class Process:
    """What one process is started with.

    Attributes:
      index: Among all of the run.
      environ: Variables over the launcher's own.
      command: The program and its arguments.
    """

    index: int
    environ: Mapping[str, str]
    command: Sequence[str]

    def __str__(self) -> str:
        variables = [f"{name}={shlex.quote(value)}" for name, value in self.environ.items()]
        return " ".join([*variables, shlex.join(self.command)])


def main(argv: Sequence[str] | None = None) -> int:
    """Starts the processes and waits for them.

    Args:
      argv: Arguments without the program's name; None: those of the process.

    Returns:
      0, or the exit code of the process that failed first (128 + n for signal n, as in a shell).
    """
    parser = _parser()
    args = parser.parse_args(argv)
    rest = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not rest:
        parser.error("nothing to start: give the command after --, as in `-- train -c smoke`")
    if not 0 <= args.machine < args.machines:
        parser.error(f"--machine {args.machine} of --machines {args.machines}: they are numbered from 0")
    if args.machines > 1 and args.coordinator is None:
        parser.error("--machines needs --coordinator HOST:PORT, of machine 0")
    processes = plan(args, rest)
    if os.environ.get("DRY_RUN") == "1":
        for process in processes:
            print(process)  # noqa: T201
        return 0
    return Group(processes, args.logs).wait()


def plan(args: argparse.Namespace, rest: Sequence[str]) -> list[Process]:
    """Returns the processes of this machine.

    Args:
      args: Options of the launcher.
      rest: Arguments of the module.
    """
    address = args.coordinator or f"127.0.0.1:{_free_port()}"
    processes = []
    for local in range(args.processes):
        index = args.machine * args.processes + local
        environ = {
            "JAX_COORDINATOR_ADDRESS": address,
            "JAX_NUM_PROCESSES": str(args.machines * args.processes),
            "JAX_PROCESS_ID": str(index),
        }
        if args.gpus is not None:
            first = local * args.gpus
            environ["JAX_LOCAL_DEVICE_IDS"] = ",".join(map(str, range(first, first + args.gpus)))
        else:
            environ |= {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(args.devices or 1)}
        processes.append(Process(index=index, environ=environ, command=[sys.executable, "-m", args.module, *rest]))
    return processes


class Group:
    """Running processes that end together.

    Args:
      processes: Started at once.
      logs: Folder for the output of all but the first, as `rank_<k>.log`; None: their lines go to stderr.
    """

    def __init__(self, processes: Sequence[Process], logs: Path | None = None):
        self._running: list[subprocess.Popen[bytes]] = []
        self._readers: list[threading.Thread] = []
        self._stopping = 0
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._forward)
        if logs is not None:
            logs.mkdir(parents=True, exist_ok=True)
        for position, process in enumerate(processes):
            self._start(process, logs, is_first=position == 0)

    def wait(self) -> int:
        """Waits for all, ends the rest when one fails, and returns its code."""
        waiting = list(self._running)
        code = 0
        while waiting and not code:
            time.sleep(_POLL_SECONDS)
            ended = [child for child in waiting if child.poll() is not None]
            waiting = [child for child in waiting if child not in ended]
            code = next((_shell_code(child.returncode) for child in ended if child.returncode), 0)
        if code:
            self._end(waiting)
        for reader in self._readers:
            reader.join(timeout=_GRACE_SECONDS)
        return code

    def _start(self, process: Process, logs: Path | None, *, is_first: bool) -> None:
        output: IO[bytes] | int | None = None
        if not is_first:
            output = subprocess.PIPE if logs is None else open(logs / f"rank_{process.index}.log", "ab")  # noqa: SIM115
        # Sessions of their own: a terminal's Ctrl-C must come once, from here.
        child = subprocess.Popen(
            process.command,
            env=os.environ | process.environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=None if is_first else subprocess.STDOUT,
            start_new_session=True,
        )
        self._running.append(child)
        if self._stopping:  # the signal came while the processes were being started
            child.send_signal(self._stopping)
        if child.stdout is not None:
            reader = threading.Thread(target=_prefix, args=(child.stdout, process.index), daemon=True)
            reader.start()
            self._readers.append(reader)
        elif output is not None and not isinstance(output, int):
            output.close()

    def _forward(self, number: int, frame: FrameType | None) -> None:
        del frame
        self._stopping = number
        for child in self._running:
            child.send_signal(number)

    def _end(self, children: Sequence[subprocess.Popen[bytes]]) -> None:
        """Asks politely, then not: a process that waits for a dead partner does not hear SIGTERM."""
        for child in children:
            child.terminate()
        deadline = time.monotonic() + _GRACE_SECONDS
        for child in children:
            try:
                child.wait(timeout=max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m hrm_codegen.launch",
        usage="%(prog)s [options] -- COMMAND [ARGS]",
        description="Start one run in several processes of this machine. DRY_RUN=1 prints the commands instead.",
        allow_abbrev=False,
    )
    parser.add_argument("--processes", type=_positive, default=2, metavar="N", help="of this machine (2)")
    devices = parser.add_mutually_exclusive_group()
    devices.add_argument("--devices", type=_positive, metavar="N", help="virtual CPU devices a process (1)")
    devices.add_argument("--gpus", type=_positive, metavar="N", help="GPUs a process, instead")
    parser.add_argument("--coordinator", metavar="HOST:PORT", help="of process 0 (a free port of this machine)")
    parser.add_argument("--machines", type=_positive, default=1, metavar="N", help="that run this command (1)")
    parser.add_argument("--machine", type=int, default=0, metavar="K", help="which of them this is, from 0")
    parser.add_argument("--logs", type=Path, metavar="DIR", help="output of the other processes, as rank_<k>.log")
    parser.add_argument("--module", default="hrm_codegen", help="what to start, as `python -m` (hrm_codegen)")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="its arguments, after --")
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return int(text)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _prefix(stream: IO[bytes], index: int) -> None:
    for line in stream:
        sys.stderr.buffer.write(b"[%d] " % index + line)
        sys.stderr.buffer.flush()


def _shell_code(returncode: int) -> int:
    return 128 - returncode if returncode < 0 else returncode


if __name__ == "__main__":
    sys.exit(main())
