"""Compile time and program size of the train step from 2 x 2 to 8 x 8 cycles.

    python benchmarks/compile_scaling.py

Cycles are scanned, so that the program does not grow with them: its size stays within a factor 1.3, also by a test
(test_planning_flops.py). Times do not quite (docs/planning.md), and vary from run to run, so that they are measured
here: the least CPU seconds of several compilations, no caches.
"""

from __future__ import annotations

import argparse
import dataclasses
import time

import jax

from hrm_codegen.config import Config, DataConfig, ModelConfig, TrainConfig
from hrm_codegen.model import bp_schedule
from hrm_codegen.planning.compile import abstract_train_step

CORES = ("hrm", "trm", "looped", "transformer")


def measure(core: str, cycles: int, repeats: int) -> tuple[int, float]:
    model = ModelConfig(
        core=core, vocab_size=256, hidden_dim=64, num_heads=2, intermediate_dim=128, h_cycles=cycles, l_cycles=cycles
    )  # type: ignore[arg-type]
    config = Config(model=model, data=DataConfig(seq_len=32), train=TrainConfig(num_steps=10, batch_size=4))
    passes = bp_schedule(config.model, config.train)[-1][1]
    size, seconds = 0, float("inf")
    for _ in range(repeats):
        jax.clear_caches()
        step, state, batch = abstract_train_step(dataclasses.replace(config), None)
        start = time.process_time()
        lowered = step.lower(state, batch, bp_passes=passes)
        lowered.compile()
        seconds = min(seconds, time.process_time() - start)
        size = len(lowered.as_text())
    return size, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    print(f"{'core':<12} {'HLO 2x2':>9} {'HLO 8x8':>9} {'ratio':>6} {'s 2x2':>7} {'s 8x8':>7} {'ratio':>6}")
    for core in CORES:
        (small, quick), (large, slow) = (measure(core, cycles, repeats) for cycles in (2, 8))
        print(f"{core:<12} {small:9} {large:9} {large / small:6.3f} {quick:7.2f} {slow:7.2f} {slow / quick:6.3f}")


if __name__ == "__main__":
    main()
