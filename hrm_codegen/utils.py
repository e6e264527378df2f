"""The public name `hc.utils.benchmark`. Not a drawer: nothing else belongs here."""

from __future__ import annotations

from hrm_codegen.benchmarking import benchmark

__all__ = ["benchmark"]
