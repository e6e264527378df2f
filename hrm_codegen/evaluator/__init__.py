"""Pass@k: run programs that a model wrote against a problem's tests, and say how many of them are right.

Names are resolved on first use (PEP 562), so that importing `hrm_codegen.evaluator` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hrm_codegen.evaluator.assemble import assemble_program
    from hrm_codegen.evaluator.compare import Comparison, compare_runs
    from hrm_codegen.evaluator.diff import render_diff
    from hrm_codegen.evaluator.estimators import (
        bootstrap_interval,
        estimate_pass_at_k,
        pass_pow_k,
        wilson_interval,
    )
    from hrm_codegen.evaluator.harness import evaluate, pass_at_k, score_samples
    from hrm_codegen.evaluator.known_programs import self_check
    from hrm_codegen.evaluator.report import EvalResult, SampleResult, render_table
    from hrm_codegen.evaluator.runs import find_runs, load_run
    from hrm_codegen.evaluator.samples import Sample, read_samples
    from hrm_codegen.evaluator.sandbox import JailSandbox, Limits, Sandbox, default_sandbox, run_program
    from hrm_codegen.evaluator.tiers import probe_tiers
    from hrm_codegen.evaluator.verdicts import Program, ProgramResult, Verdict
    from hrm_codegen.evaluator.verification import Verification, verify_problems

_HOMES = {
    "assemble": ("assemble_program",),
    "compare": ("Comparison", "compare_runs"),
    "diff": ("render_diff",),
    "estimators": ("bootstrap_interval", "estimate_pass_at_k", "pass_pow_k", "wilson_interval"),
    "harness": ("evaluate", "pass_at_k", "score_samples"),
    "report": ("EvalResult", "SampleResult", "render_table"),
    "runs": ("find_runs", "load_run"),
    "samples": ("Sample", "read_samples"),
    "sandbox": ("JailSandbox", "Limits", "Sandbox", "default_sandbox", "run_program"),
    "tiers": ("probe_tiers",),
    "known_programs": ("self_check",),
    "verdicts": ("Program", "ProgramResult", "Verdict"),
    "verification": ("Verification", "verify_problems"),
}
_MODULE_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Comparison",
    "EvalResult",
    "JailSandbox",
    "Limits",
    "Program",
    "ProgramResult",
    "Sample",
    "SampleResult",
    "Sandbox",
    "Verdict",
    "Verification",
    "assemble_program",
    "bootstrap_interval",
    "compare_runs",
    "default_sandbox",
    "estimate_pass_at_k",
    "evaluate",
    "find_runs",
    "load_run",
    "pass_at_k",
    "pass_pow_k",
    "probe_tiers",
    "read_samples",
    "render_diff",
    "render_table",
    "run_program",
    "score_samples",
    "self_check",
    "verify_problems",
    "wilson_interval",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
