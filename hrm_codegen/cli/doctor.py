"""`hrm-codegen doctor`: what is installed, what jax can see, which sandbox works, how to install what is missing."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import sys
from collections.abc import Mapping
from typing import Any

from hrm_codegen.cli import output
from hrm_codegen.errors import HRMCodeGenError
from hrm_codegen.version import __version__

CORE = (
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "grain",
    "numpy",
    "tokenizers",
    "safetensors",
    "huggingface_hub",
)
EXTRAS = {
    "wandb": "wandb",
    "torch": "torch",
    "transformers": "hf",
    "onnxruntime": "export",
    "fastapi": "serve",
    "grpcio": "grpc",
    "tensorflow-datasets": "tfds",
    "jax-cuda12-plugin": "cuda12",
    "jax-cuda13-plugin": "cuda13",
    "libtpu": "tpu",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `doctor`."""
    parser.add_argument("--json", action="store_true", help="as one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prints the findings; fails if a core package is missing."""
    packages = {name: _version(name) for name in (*CORE, *EXTRAS)}
    found: dict[str, Any] = {
        "hrm-codegen": __version__,
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "packages": packages,
        "devices": _devices(),
        "sandbox": _sandbox(),
    }
    if args.json:
        print(output.json_line(found))
    else:
        print(f"hrm-codegen {__version__}, Python {found['python']}, {found['platform']}")
        print(f"devices: {found['devices']}")
        print(_sandbox_text(found["sandbox"]))
        print(output.table([{"package": name, "version": _cell(name, packages[name])} for name in packages]))
    return 0 if all(packages[name] for name in CORE) else 1


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cell(package: str, version: str | None) -> str:
    if version is not None:
        return version
    return f'not installed: pip install "hrm-codegen[{EXTRAS[package]}]"' if package in EXTRAS else "MISSING"


def _sandbox() -> dict[str, Any]:
    """Tries every way to isolate programs, and says which one an evaluation would use."""
    from hrm_codegen.evaluator.sandbox import default_sandbox
    from hrm_codegen.evaluator.tiers import ISOLATION, probe_tiers

    active, problem, tiers = None, "", {}
    try:
        tiers = {
            tier: {"isolation": ISOLATION[tier], "works": not reason, "reason": reason}
            for tier, reason in probe_tiers().items()
        }
        active = default_sandbox().tier
    except HRMCodeGenError as error:  # What doctor is for: say it instead of failing.
        problem = str(error)
    mode = os.environ.get("HRM_CODEGEN_SANDBOX") or "auto"
    return {"mode": mode, "active": active, "problem": problem, "tiers": tiers}


def _sandbox_text(sandbox: Mapping[str, Any]) -> str:
    active = "no tier" if sandbox["active"] is None else f"tier {sandbox['active']}"
    head = f"sandbox: {active} (mode {sandbox['mode']}; --sandbox or HRM_CODEGEN_SANDBOX chooses)"
    lines = [
        f"  tier {name}, {tier['isolation']}: {'works' if tier['works'] else tier['reason']}"
        for name, tier in sandbox["tiers"].items()
    ]
    return "\n".join([head, *([f"  {sandbox['problem']}"] if sandbox["problem"] else []), *lines])


def _devices() -> str:
    try:
        import jax

        return ", ".join(f"{device.platform}:{device.id} ({device.device_kind})" for device in jax.devices())
    except (ImportError, RuntimeError) as error:  # What doctor is for: say it instead of failing.
        return f"none: {error}"
