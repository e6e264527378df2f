"""The W&B writer, and the decision whether there is one.

Users resent a surprise upload: one line says what was chosen and how to switch it off. W&B is an observer: it is
imported only when used, and nothing that goes wrong in it stops a training run.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import netrc
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from hrm_codegen.config import Config, to_dict

_log = logging.getLogger("hrm_codegen.training")
_HOST = "api.wandb.ai"
_TRUE = ("1", "true", "yes", "on")


class Choice(NamedTuple):
    """How W&B runs, and why.

    Attributes:
      mode: `online`, `offline` or `disabled`.
      reason: For the line that tells the user.
    """

    mode: str
    reason: str


def choose_mode(requested: str, environ: Mapping[str, str], *, home: Path) -> Choice:
    """Decides between the configuration, the environment and the presence of a key.

    Args:
      requested: `train.wandb`; its `disabled` always holds, otherwise the environment is nearer to the user.
      environ: `WANDB_DISABLED`, `WANDB_MODE` and `WANDB_API_KEY` are read.
      home: Where `.netrc`, which `wandb login` writes, is.
    """
    if requested == "disabled":
        return Choice("disabled", "train.wandb=disabled")
    if environ.get("WANDB_DISABLED", "").lower() in _TRUE:
        return Choice("disabled", "WANDB_DISABLED")
    mode = environ.get("WANDB_MODE", "").lower()
    if mode in ("online", "offline", "disabled", "dryrun"):
        return Choice("offline" if mode == "dryrun" else mode, f"WANDB_MODE={mode}")
    if requested != "auto":
        return Choice(requested, f"train.wandb={requested}")
    if environ.get("WANDB_API_KEY"):
        return Choice("online", "WANDB_API_KEY is set")
    if _has_login(Path(environ.get("NETRC", home / ".netrc"))):
        return Choice("online", "logged in")
    return Choice("offline", "no API key")


def open_wandb(config: Config, *, run_name: str, run_id: str | None) -> WandbWriter | None:
    """Starts a W&B run, or says why there is none.

    Args:
      config: `train.wandb` and `train.wandb_project` are read; all of it is recorded.
      run_name: The run's display name.
      run_id: Of the run to continue; None: a new one.
    """
    choice = choose_mode(config.train.wandb, os.environ, home=Path.home())
    if choice.mode == "disabled":
        _log.debug("W&B: disabled (%s)", choice.reason)
        return None
    if importlib.util.find_spec("wandb") is None:
        _log.info('W&B: disabled (not installed; pip install "hrm-codegen[wandb]")')
        return None
    try:
        wandb = importlib.import_module("wandb")
        run = wandb.init(
            project=config.train.wandb_project,
            name=run_name,
            id=run_id,
            resume="allow",
            mode=choice.mode,
            config=to_dict(config),
            settings={"silent": True},  # its own lines on stderr; ours says the same in one
        )
    except Exception as error:
        _log.warning("W&B: disabled, it could not start (%s)", error)
        return None
    if choice.mode == "offline":
        hint = f"upload later with `wandb sync {Path(run.dir).parent}`"
    else:
        hint = f"live at {run.url}"
    _log.info("W&B: %s (%s; %s); switch off with --no-wandb or train.wandb=disabled", choice.mode, choice.reason, hint)
    return WandbWriter(run)


class WandbWriter:
    """Passes metrics to a W&B run until the first error, which is logged.

    Args:
      run: What `wandb.init` returned.
    """

    def __init__(self, run: Any):
        self._run = run
        self.run_id: str | None = getattr(run, "id", None)

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Logs the metrics under their step."""
        self._try("log", dict(metrics), step=step)

    def close(self) -> None:
        """Ends the run."""
        self._try("finish")

    def _try(self, method: str, *args: Any, **kwargs: Any) -> None:
        if self._run is None:
            return
        try:
            getattr(self._run, method)(*args, **kwargs)
        except Exception as error:
            _log.warning("W&B: switched off after an error (%s); training goes on", error)
            self._run = None


def _has_login(path: Path) -> bool:
    try:
        return netrc.netrc(str(path)).authenticators(_HOST) is not None
    except (OSError, netrc.NetrcParseError):
        return False
