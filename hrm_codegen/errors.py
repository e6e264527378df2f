"""Every error that a user can cause, under one base class.

Why: a front door (CLI, absl binary, REST) turns each of these into one clear line and an exit code, without a
traceback. Messages name the place and the way out. Broken invariants are not here: they are plain assertions.
"""

from __future__ import annotations


class HRMCodeGenError(Exception):
    """Base of all errors meant for users.

    Attributes:
      exit_code: What a command line exits with: 1 run-time failure, 2 usage or configuration, 3 missing extra.
      label: The name printed before the message; the class name unless a subclass says otherwise.
    """

    exit_code: int = 1
    label: str | None = None

    def __str__(self) -> str:
        return "\n".join(str(arg) for arg in self.args)

    def render(self) -> str:
        """Returns the line a front door prints: `ConfigError: missing field ...`."""
        return f"{self.label or type(self).__name__}: {self}"


class UsageError(HRMCodeGenError, ValueError):
    """Arguments that contradict each other or the data."""

    exit_code = 2


class ConfigError(HRMCodeGenError, ValueError):
    """A configuration with missing, unknown or impossible fields; each argument is one complete message."""

    exit_code = 2

    def render(self) -> str:
        """Returns a labelled line for each message."""
        return "\n".join(f"ConfigError: {message}" for message in self.args)


class PromptError(HRMCodeGenError, ValueError):
    """An empty or overlong prompt."""

    exit_code = 2
    label = "ValueError"


class ContextError(PromptError, UsageError):
    """A prompt that leaves no room for its answer; an evaluation counts it as failed and goes on."""

    label = "UsageError"


class DatasetError(HRMCodeGenError, ValueError):
    """A data file that is missing, malformed, or does not fit the model or tokenizer."""


class CheckpointError(HRMCodeGenError):
    """A checkpoint that is missing, torn, unsafe or of another model."""


class ModelNotFoundError(CheckpointError):
    """No model under this path, bundled name or hub id."""


class DeviceError(HRMCodeGenError):
    """A device that this machine or this installation does not have."""

    exit_code = 2


class TrainingError(HRMCodeGenError):
    """Training that cannot go on, for example after a loss that is not finite."""


class OutOfMemoryError(TrainingError):
    """The device ran out of memory; the message suggests settings with the same global batch."""


class EvaluationTimeout(HRMCodeGenError):
    """A generated program that ran out of time, raised only with `on_timeout="raise"`."""


class SandboxError(HRMCodeGenError):
    """The sandbox itself failed its self-check: no score from it can be trusted."""


class MissingExtraError(HRMCodeGenError):
    """An optional package is not installed; the message has the install command."""

    exit_code = 3
