"""One plan from start to end: compile, read, divide by the peaks, and look for the largest batch that fits."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable

from hrm_codegen.config import Config
from hrm_codegen.planning.compile import Program, compile_decode, compile_train, with_batch
from hrm_codegen.planning.fit import largest_rows, smallest_accumulation
from hrm_codegen.planning.hlo import read_traffic
from hrm_codegen.planning.report import Mode, Plan, Suggestion
from hrm_codegen.planning.roofline import make_roofline, run_hours
from hrm_codegen.planning.targets import Target

SEARCH_FACTOR = 16  # The largest batch is looked for up to this many times the configured one.
_LOGGER = logging.getLogger("hrm_codegen.planning")


def make_plan(config: Config, target: Target, mode: Mode = "train", *, suggest: bool = True) -> Plan:
    """Compiles for a target and says what the program needs and how fast it can be at best.

    Args:
      config: Of the run; in `gen` mode `eval.batch_size` and `sample` decide.
      target: See `find_target`. Call `prepare_environment` with it before jax is imported.
      mode: The train step, or decoding.
      suggest: Look for the largest batch that fits: two to four compilations more.

    Raises:
      ConfigError: Batch, mesh and devices do not go together.
      MissingExtraError: The target's compiler is not installed.
      HRMCodeGenError: It failed.
    """
    program = _compile(config, target, mode)
    trips = config.sample.max_tokens if mode == "gen" else 1
    traffic = roof = None
    if program.hlo:
        traffic = read_traffic(program.hlo, num_devices=program.num_devices, while_trips=trips)
        roof = make_roofline(
            flops=program.flops / program.num_devices,
            memory_bytes=traffic.memory_bytes,
            sent_bytes=sum((collective.sent_bytes for collective in traffic.collectives), 0.0),
            peak_flops=target.chip.flops,
            memory_bandwidth=target.chip.memory_bandwidth,
            link_bandwidth=target.link_bandwidth,
        )
    train = config.train
    rows = train.batch_size if mode == "train" else config.eval.batch_size
    num_steps = train.num_steps if mode == "train" else None
    return Plan(
        target=target,
        mode=mode,
        mesh=program.mesh,
        devices_used=program.num_devices,
        batch_size=rows,
        grad_accum=train.grad_accum if mode == "train" else 1,
        tokens_per_step=rows * (config.data.seq_len if mode == "train" else config.sample.max_tokens),
        num_steps=num_steps,
        memory=program.memory,
        flops_per_step=program.flops,
        memory_bytes=traffic and traffic.memory_bytes,
        collectives=traffic.collectives if traffic else (),
        unknown_loops=traffic.unknown_loops if traffic else 0,
        roofline=roof,
        work=program.work,
        hours=run_hours(roof.step_seconds, num_steps, program.work) if roof and num_steps else None,
        xla_flops=program.xla_flops,
        compile_seconds=program.seconds,
        suggestion=_largest_batch(config, target, mode, program) if suggest else None,
    )


def _largest_batch(config: Config, target: Target, mode: Mode, program: Program) -> Suggestion | None:
    shards = program.mesh["data"] * program.mesh["fsdp"] if mode == "train" else 1
    accumulation = config.train.grad_accum if mode == "train" else 1
    batch_size = config.train.batch_size if mode == "train" else config.eval.batch_size
    rows = batch_size // accumulation // shards

    def peak(rows: int) -> int:
        changed = _with_rows(config, mode, rows * shards * accumulation)
        need = _compile(changed, target, mode).memory.peak
        _LOGGER.info("%d rows a device: peak %.2f GiB", rows, need / 2**30)
        return need

    most = SEARCH_FACTOR * rows
    fit = largest_rows(peak, target.usable_bytes, {rows: program.memory.peak}, most)
    if fit.peak_bytes is None:
        return None
    return Suggestion(
        rows_per_device=fit.rows,
        batch_size=fit.rows * shards * accumulation,
        grad_accum=smallest_accumulation(batch_size, shards, fit.rows) if mode == "train" else None,
        peak_bytes=fit.peak_bytes,
        is_search_limit=fit.rows == most,
    )


def _compile(config: Config, target: Target, mode: Mode) -> Program:
    compilers: dict[Mode, Callable[[Config, Target], Program]] = {"train": compile_train, "gen": compile_decode}
    return compilers[mode](config, target)


def _with_rows(config: Config, mode: Mode, rows: int) -> Config:
    if mode == "train":
        return with_batch(config, rows, config.train.grad_accum)
    return dataclasses.replace(config, eval=dataclasses.replace(config.eval, batch_size=rows))
