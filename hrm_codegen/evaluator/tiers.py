"""Which tiers of isolation this machine has: found out by starting a worker in each, once a process."""

from __future__ import annotations

import functools
import logging
import os

from hrm_codegen.errors import SandboxError
from hrm_codegen.evaluator.workers import Limits, Worker, start_workers
from hrm_codegen.machine import cores

_LOG = logging.getLogger("hrm_codegen.evaluator")
MOST_TOGETHER = 8
ISOLATION = {
    "A": "namespaces and seccomp",
    "B": "Landlock and seccomp",
    "C": "limits only",
}
_TIERS: dict[str, tuple[str, ...]] = {
    "auto": ("A", "B"),
    "best-effort": ("A", "B", "C"),
    "namespaces": ("A",),
    "landlock": ("B",),
    "posix": ("C",),
}
_WARNING = (
    "sandbox tier C (limits only): a hostile program can read your files and reach your network. "
    "It cannot touch the verdict. Run it in a virtual machine, or on Linux where namespaces or Landlock work"
)


def probe_tiers() -> dict[str, str]:
    """Returns, for each tier, why this machine does not have it; an empty text where it does."""
    return {tier: _refusal(tier) for tier in ISOLATION}


@functools.cache
def choose_tier(mode: str) -> str:
    """Returns the first tier of a mode that works here.

    Raises:
      SandboxError: If there is none; says why for each, and what to do.
    """
    reasons = {}
    for tier in _TIERS[mode]:
        reasons[tier] = _refusal(tier)
        if not reasons[tier]:
            return tier
    told = "; ".join(f"tier {tier} ({ISOLATION[tier]}): {reason}" for tier, reason in reasons.items())
    raise SandboxError(
        f"no sandbox that can hold hostile programs works here. {told}. Run in a virtual machine or on another kernel, "
        "or accept less with --sandbox best-effort (HRM_CODEGEN_SANDBOX=best-effort)"
    )


@functools.cache
def _refusal(tier: str) -> str:
    try:
        worker, *others = start_workers(tier, Limits(), min(cores(), MOST_TOGETHER))
        try:
            worker.wait_until_ready()
        except SandboxError:
            for each in (worker, *others):
                each.close()
            raise
    except (OSError, SandboxError) as error:
        return str(error) or type(error).__name__
    _parked[tier, os.getpid()] = [*others, worker]
    return ""


# Workers that have shown that a tier works are the first to be used there; if they are not, they leave by themselves.
_parked: dict[tuple[str, int], list[Worker]] = {}


def take_parked(tier: str, limits: Limits) -> list[Worker]:
    """Returns the living ones of those workers; none where other limits are asked for."""
    workers = _parked.pop((tier, os.getpid()), []) if limits == Limits() else []
    living = [worker for worker in workers if worker.alive]
    for worker in workers:
        if worker not in living:
            worker.close()
    return living


@functools.cache
def warn_of_tier_c() -> None:
    """Says once what tier C does not stop."""
    _LOG.warning("%s", _WARNING)
