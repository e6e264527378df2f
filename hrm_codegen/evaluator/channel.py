"""The wire between a sandbox and its child: what came over it, and what verdict that and the process's end make.

Everything read here was written by a process that ran untrusted code: a line counts only under the nonce, one wrong
line spoils the whole, and an exit status alone never means a pass.
"""

from __future__ import annotations

import dataclasses
import os
import signal

from hrm_codegen.evaluator.verdicts import ProgramResult, Verdict

_VERDICT_BYTES = 1 << 18
_CHUNK = 1 << 16


@dataclasses.dataclass(kw_only=True)
class Channel:
    """What a child has sent so far.

    Attributes:
      nonce: The word every true line begins with.
      output_limit: Bytes of printed text before the program is stopped.
      kept: Bytes of it that are kept.
      started: CPU seconds of the child's start; None until it has reported "ready".
      fields: Verdict, message, failing test, expected, got; None until reported.
      reason: Why the program has to be stopped: `output_limit`, `protocol`; empty for no reason.
    """

    nonce: str
    output_limit: int
    kept: int
    started: float | None = None
    fields: tuple[str | None, ...] | None = None
    reason: str = ""
    output: bytes = b""
    output_bytes: int = 0
    buffer: bytes = b""

    @property
    def finished(self) -> bool:
        """Whether the verdict is there."""
        return self.fields is not None

    def read_output(self, fd: int) -> bool:
        """Takes what was printed. Returns False at the end of the stream."""
        data = os.read(fd, _CHUNK)
        self.output_bytes += len(data)
        if len(self.output) < self.kept:
            self.output = (self.output + data)[: self.kept]
        if self.output_bytes > self.output_limit:
            self.reason = "output_limit"
        return bool(data)

    def read_verdicts(self, fd: int) -> bool:
        """Takes lines from the verdict stream. Returns False at its end."""
        data = os.read(fd, _CHUNK)
        *lines, self.buffer = (self.buffer + data).split(b"\n")
        for line in lines:
            self._take(line)
        if len(self.buffer) > _VERDICT_BYTES:
            self.reason = "protocol"
        return bool(data)

    def drain(self, output: int, verdicts: int) -> None:
        """Takes what is left in the pipes of a child that has ended; a process that escaped may still hold them."""
        for read, fd in ((self.read_verdicts, verdicts), (self.read_output, output)):
            try:
                while not self.reason and read(fd):
                    pass
            except BlockingIOError:
                pass
        if self.buffer:
            self.reason = self.reason or "protocol"

    def _take(self, line: bytes) -> None:
        fields = _parse(line, self.nonce)
        if fields is None or self.finished:
            self.reason = "protocol"
        elif self.started is None:
            self.started = float(fields[1] or "nan")
        elif len(fields) == 6 and fields[1] in set(Verdict):
            self.fields = fields[1:]
        else:
            self.reason = "protocol"


def _parse(line: bytes, nonce: str) -> tuple[str | None, ...] | None:
    """Returns the fields of a line; None if it is not a true one."""
    first, *words = line.split(b" ")
    if first != nonce.encode():
        return None
    try:
        return tuple(
            None if w == b"-" else bytes.fromhex(w[1:].decode()).decode("utf-8", "surrogatepass") for w in words
        )
    except ValueError:
        return None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ending:
    """How the process ended.

    Attributes:
      reason: `exited`, `finished`, or the limit that stopped it.
      exit_code: As of `subprocess`: the negative number of a signal.
      total_cpu: CPU seconds, with the interpreter's start.
      wall_seconds: Since the program began.
    """

    reason: str
    exit_code: int
    total_cpu: float
    wall_seconds: float


def judge_ending(channel: Channel, ending: Ending, timeout: float | int) -> ProgramResult:
    """Returns the result of a program whose process has ended.

    Args:
      channel: What it sent.
      ending: How it ended.
      timeout: CPU seconds it was given.
    """
    cpu = max(0.0, ending.total_cpu - (channel.started or 0.0))
    output = channel.output.decode("utf-8", "replace")
    if channel.started is None:
        verdict, message = (
            Verdict.HARNESS_ERROR,
            f"the sandbox did not start (exit {ending.exit_code}): {output[-500:]}",
        )
    elif ending.reason == "output_limit":
        verdict, message = Verdict.OUTPUT_LIMIT, f"printed more than {channel.output_limit} bytes"
    elif ending.reason == "protocol":
        verdict, message = Verdict.PROTOCOL, "the program wrote to the verdict channel"
    elif cpu > timeout or (not channel.finished and -ending.exit_code in (signal.SIGPROF, signal.SIGXCPU)):
        verdict, message = Verdict.TIMEOUT_CPU, f"more than {timeout:g} s of CPU time"
    elif channel.fields is not None:
        return _reported(channel.fields, cpu, ending.wall_seconds, output)
    elif ending.reason == "timeout_wall":
        verdict, message = Verdict.TIMEOUT_WALL, f"no end after {ending.wall_seconds:.1f} s of wall time"
    elif ending.exit_code < 0:
        verdict, message = Verdict.CRASH, f"killed by {_signal_name(-ending.exit_code)}"
    else:
        verdict = Verdict.PROTOCOL
        message = f"the process ended with exit status {ending.exit_code} before the tests were done"
    return ProgramResult(
        verdict=verdict, message=message, cpu_seconds=cpu, wall_seconds=ending.wall_seconds, stdout=output
    )


def _reported(fields: tuple[str | None, ...], cpu: float, wall: float, output: str) -> ProgramResult:
    verdict, message, failing_test, expected, got = fields
    return ProgramResult(
        verdict=Verdict(verdict or ""),
        message=message or "",
        failing_test=failing_test,
        expected=expected,
        got=got,
        cpu_seconds=cpu,
        wall_seconds=wall,
        stdout=output,
    )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
