"""The work behind the front doors: train, evaluate, generate, measure.

The command line and the absl binary differ in how they read arguments and print results; what happens in between is
here, once. Arguments that are None leave the choice to the configuration inside the checkpoint. Nothing is printed:
notices go to the log, results are returned. jax is imported inside the functions, after the device was chosen.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hrm_codegen.errors import UsageError
from hrm_codegen.loading import load_model, spread, start_jax

if TYPE_CHECKING:
    from hrm_codegen.config import Config
    from hrm_codegen.data import Problem
    from hrm_codegen.evaluator import EvalResult, JailSandbox
    from hrm_codegen.evaluator.sweep import Cell
    from hrm_codegen.evaluator.verdicts import SandboxMode
    from hrm_codegen.pretrained import Weights

MBPP_TEST = Path("data/mbpp/test_raw.json")
_LOGGER = logging.getLogger("hrm_codegen.jobs")


def train(
    config: Config, *, resume: bool | str = False, init_from: str | None = None, device: str = "auto"
) -> dict[str, float]:
    """Trains as the configuration says.

    Args:
      config: `data.train` names the data.
      resume: True goes on with the latest run of this configuration, a path with that run.
      init_from: Checkpoint whose weights (not optimizer or step) are the start.
      device: Where to compute.

    Returns:
      The metrics of `Trainer.fit`.

    Raises:
      DatasetError: If no data is named, or it isn't there.
      DeviceError: If the run has other processes, and they cannot be reached.
    """
    start_jax(device, join=True, split_cpu=True)
    from hrm_codegen.codegen import HRMCodeGen
    from hrm_codegen.parallel.distributed import leaving_on_error
    from hrm_codegen.training import Trainer

    with leaving_on_error():
        model = None if init_from is None else HRMCodeGen.from_pretrained(init_from, device=device)
        return Trainer(model, config.data.train, config.data.eval, config).fit(resume=resume)


def evaluate(
    *,
    ckpt: str | None,
    data: str | None,
    samples: str | None = None,
    out: str | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    device: str = "auto",
    sandbox: SandboxMode | None = None,
    **options: Any,
) -> EvalResult:
    """Scores a checkpoint, or completions made by anyone.

    Args:
      ckpt: As in `load_model`.
      data: Problems: a file, a data set as `NAME` (its test split) or `NAME/SPLIT`; None: `data/mbpp/test_raw.json` if
        present, else basics.
      samples: JSONL of completions to score instead of a model's.
      out: Folder for `results.jsonl` and `report.json`.
      temperature: Of the sampling; 0 is greedy.
      top_p: Nucleus of the sampling.
      device: Where to compute.
      sandbox: How programs are isolated; None: `HRM_CODEGEN_SANDBOX`, else the strongest way there is.
      options: `k`, `num_samples`, `timeout` and the other arguments of `evaluator.evaluate`. By default verdicts are
        cached, and progress is logged.

    Raises:
      UsageError: If there are fewer samples than the largest k.
      SandboxError: If this machine has no such sandbox.
    """
    if samples is not None:
        from hrm_codegen.evaluator import score_samples

        box = _sandbox(sandbox)
        problems, name = load_evaluation_data(data)
        return score_samples(samples, problems, dataset_name=name, out=out, sandbox=box, **_judging(options))
    from hrm_codegen.evaluator.sweep import Cell

    cells = {Cell(temperature, top_p): out}
    [result] = sweep(ckpt=ckpt, data=data, cells=cells, device=device, sandbox=sandbox, **options)
    return result


def sweep(
    *,
    ckpt: str | None,
    data: str | None,
    cells: Mapping[Cell, str | None],
    k: Sequence[int] | None = None,
    num_samples: int | None = None,
    condition: str | None = None,
    num_devices: int | None = None,
    weights: Weights | None = None,
    device: str = "auto",
    sandbox: SandboxMode | None = None,
    **options: Any,
) -> Iterator[EvalResult]:
    """Yields the evaluation of each way to sample from a checkpoint, which is loaded once.

    Of several processes (`hrm_codegen.launch`), process 0 judges and reports, and all of them decode.

    `cells` has the ways, each with the folder for its results, or None. The other arguments are those of `evaluate`.
    """
    from hrm_codegen.baselines import check_model

    check_model(ckpt)  # a wrong name is known before data is loaded or generated
    box = _sandbox(sandbox)
    problems, name = load_evaluation_data(data)
    if k is not None and num_samples is not None and num_samples < max(k):  # known before the model is loaded
        raise UsageError(f"n must be ≥ max(k): n is {num_samples}, k is {', '.join(map(str, k))}")
    ours = _given({"condition": condition, "num_devices": num_devices, "weights": weights})
    model = load_model(ckpt, device=device, **ours, join=True)
    from hrm_codegen import evaluator

    configured = model.config.eval
    if k is None:
        k, num_samples = configured.k, num_samples or configured.num_samples
    settings = {field: getattr(configured, field) for field in ("timeout", "limit", "batch_size", "workers")}
    from hrm_codegen.shared_model import shared

    with shared(model) as everyones:
        if everyones is None:
            raise SystemExit(0)  # this process has helped, and the evaluation is process 0's
        for number, (cell, out) in enumerate(cells.items(), start=1):
            if len(cells) > 1:
                _LOGGER.info("cell %d of %d of the sweep: %s", number, len(cells), cell.folder)
            yield evaluator.evaluate(
                everyones,
                problems,
                k=k,
                num_samples=num_samples,
                temperature=cell.temperature,
                top_p=cell.top_p,
                out=out,
                dataset_name=name,
                sandbox=box,
                **settings | _judging(options),
            )


def generate(
    *,
    ckpt: str | None,
    prompts: list[str],
    max_tokens: int | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    top_k: int | None = None,
    seed: int | None = None,
    batch_size: int | None = None,
    num_beams: int | None = None,
    condition: str | None = None,
    num_devices: int | None = None,
    weights: Weights | None = None,
    device: str = "auto",
) -> list[str]:
    """Writes one program a prompt.

    The i-th prompt is drawn with `seed + i`: equal prompts get different answers, and the answer to a prompt does not
    depend on `batch_size`.

    Args:
      ckpt: Checkpoint; None: the newest local best one.
      prompts: What to write.
      max_tokens: Longest answer.
      temperature: 0 is greedy.
      top_p: Nucleus.
      top_k: Keep the k likeliest tokens.
      seed: Of the first prompt.
      batch_size: Sequences decoded together.
      num_beams: Beam search of this width instead of sampling.
      condition: HRM-Text's condition tokens; None: those of the configuration.
      num_devices: As in `loading.load_model`.
      weights: See there.
      device: Where to compute.

    Returns:
      Code, in the order of the prompts.
    """
    model = load_model(ckpt, device=device, condition=condition, num_devices=num_devices, weights=weights)
    if num_beams is not None:
        length = _given({"max_tokens": max_tokens})
        return [model.beam_search(prompt, num_beams=num_beams, **length) for prompt in prompts]
    first = model.config.sample.seed if seed is None else seed
    options = {"max_tokens": max_tokens, "temperature": temperature, "top_p": top_p, "top_k": top_k}
    options |= {"batch_size": batch_size}
    answers = model.generate(prompts, seeds=[first + i for i in range(len(prompts))], **_given(options))
    return [samples[0] for samples in answers]


def measure(
    *,
    ckpt: str | None = None,
    config: Config | None = None,
    what: str = "both",
    seq_len: int = 256,
    batch_size: int = 8,
    steps: int = 10,
    weights: Weights | None = None,
    device: str = "auto",
) -> dict[str, float]:
    """Measures throughput.

    Args:
      ckpt: Checkpoint to measure; None: the newest local best one.
      config: Fresh weights of this configuration instead of a checkpoint.
      what: `train`, `gen` or `both`.
      seq_len: Tokens a row.
      batch_size: Rows.
      steps: Train steps timed.
      weights: As in `loading.load_model`; training is always in float32.
      device: Where to compute.

    Returns:
      The figures of `benchmarking`.
    """
    if config is None:
        model = load_model(ckpt, device=device, weights=weights)
    else:
        start_jax(device, split_cpu=True)
        from hrm_codegen.codegen import HRMCodeGen

        model = HRMCodeGen.from_config(config, device=device)
        spread(model)
        if weights == "int8":
            model.quantize()
    from hrm_codegen import benchmarking

    if what == "train":
        return benchmarking.benchmark_training(model, seq_len, batch_size, steps)
    if what == "gen":
        return benchmarking.benchmark_generation(model, seq_len, batch_size)
    return benchmarking.benchmark(model, seq_len, batch_size, steps)


def load_evaluation_data(data: str | None) -> tuple[list[Problem], str]:
    """Loads the problems to score on, and their name for the report; `data` is that of `evaluate`."""
    from hrm_codegen.data.sources import find_problems

    if data is None and MBPP_TEST.is_file():
        data = str(MBPP_TEST)
    if data is None:
        _LOGGER.info("no --data and no %s: using the test split of basics", MBPP_TEST)
        data = "basics"
    is_name = "/" not in data and not Path(data).exists()
    return find_problems(data, split="test"), f"{data}/test" if is_name else data


def _sandbox(mode: SandboxMode | None) -> JailSandbox:
    """Returns the sandbox of a mode; that there is none is known before a model is loaded."""
    from hrm_codegen.evaluator import default_sandbox

    sandbox = default_sandbox(mode)
    _LOGGER.debug("sandbox tier %s", sandbox.tier)
    return sandbox


def _judging(options: dict[str, Any]) -> dict[str, Any]:
    """Returns the options of an evaluation, with the defaults of a front door."""
    from hrm_codegen.evaluator.progress import LogProgress

    return {"cache": True, "on_event": LogProgress()} | _given(options)


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """Leaves out what was not asked for, so that the callee's default holds."""
    return {name: value for name, value in options.items() if value is not None}
