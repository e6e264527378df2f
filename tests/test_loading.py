"""How many CPU devices a training run gets: one a core, unless the environment or an earlier array decided."""

from __future__ import annotations

import os
import subprocess
import sys

from hrm_codegen.loading import MAX_CPU_DEVICES
from hrm_codegen.machine import cores

SCRIPT = """
import sys, jax
from hrm_codegen.loading import start_jax
if "late" in sys.argv:
    jax.numpy.zeros(1)
start_jax("cpu", split_cpu="whole" not in sys.argv)
print(jax.device_count())
"""


def devices(*words: str, **environ: str) -> int:
    clean = {name: value for name, value in os.environ.items() if name not in ("XLA_FLAGS", "JAX_NUM_CPU_DEVICES")}
    command = [sys.executable, "-c", SCRIPT, *words]
    ran = subprocess.run(command, env=clean | environ, capture_output=True, text=True, check=True)
    return int(ran.stdout)


def test_training_splits_the_cpu_into_its_cores() -> None:
    assert devices() == min(cores(), MAX_CPU_DEVICES)


def test_everything_else_has_one_device() -> None:
    assert devices("whole") == 1


def test_what_the_environment_says_stays() -> None:
    assert devices(JAX_NUM_CPU_DEVICES="3") == 3
    assert devices(XLA_FLAGS="--xla_force_host_platform_device_count=3") == 3


def test_after_the_first_array_it_is_too_late_and_no_error() -> None:
    assert devices("late") == 1
