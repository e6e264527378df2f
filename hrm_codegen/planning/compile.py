"""Ahead-of-time compilation of the real train step and the real decoding loop for devices that are not here.

The compilers come from PyPI (`libtpu`, `jax-cuda12-plugin`), devices from a description of the topology. jax itself
stays on the CPU, so that the machine's own accelerators are neither needed nor touched. Nothing is run, and no array
is made: states and batches are shapes with shardings.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import re
import time
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, SingleDeviceSharding

from hrm_codegen.config import Config, validate
from hrm_codegen.errors import ConfigError, HRMCodeGenError, MissingExtraError, UsageError
from hrm_codegen.generation.bucket import bucket_length
from hrm_codegen.generation.sample import Rows, decode
from hrm_codegen.model import abstract, bp_schedule
from hrm_codegen.model.apart import fused
from hrm_codegen.parallel import make_mesh, shardings
from hrm_codegen.parallel.batch import batch_sharding
from hrm_codegen.planning.flops import matmul_flops
from hrm_codegen.planning.targets import Target
from hrm_codegen.training.optimizer import make_optimizer
from hrm_codegen.training.state import create_state
from hrm_codegen.training.step import make_train_step
from hrm_codegen.typing import Batch

# Autotuning would run candidates on a device; command buffers only change how kernels are launched.
_OPTIONS: dict[str, dict[str, Any]] = {"cuda": {"xla_gpu_autotune_level": 0}, "tpu": {}, "cpu": {}}
_NEEDS = {"tpu": ("libtpu",), "cuda": ("jax_cuda12_plugin", "jax_plugins.xla_cuda12", "nvidia.cuda_nvcc")}
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes a device; `peak` is the most at any one time."""

    arguments: int
    temporaries: int
    peak: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Program:
    """A compiled program.

    Attributes:
      memory: What it needs; with `hlo` empty, the compiler refused it for this.
      hlo: The compiled module of one device, as text; empty if the compiler said that it does not fit.
      flops: Of matrix products, all devices together, counted in the traced program.
      work: Mean of `flops` over a run in units of `flops`, below 1 where K grows.
      xla_flops: What XLA's own cost analysis says (of one device, loop bodies perhaps once); None: it does not.
      mesh: Sizes of its axes.
      num_devices: How many devices take part.
      seconds: Time to trace, lower and compile.
    """

    memory: Memory
    hlo: str
    flops: float
    work: float
    xla_flops: float | None
    mesh: dict[str, int]
    num_devices: int
    seconds: float


def topology_devices(target: Target) -> list[Any]:
    """Returns the target's devices, to compile for.

    Raises:
      MissingExtraError: Its compiler is not installed.
      HRMCodeGenError: Its compiler does not know it.
    """
    platform = target.chip.platform
    if platform == "cpu":
        devices = jax.devices("cpu")
        if len(devices) < target.num_devices:
            raise UsageError(
                f"target {target.name}: jax has {len(devices)} CPU devices; "
                f"set JAX_NUM_CPU_DEVICES={target.num_devices}"
            )
        return devices[: target.num_devices]
    missing = [package for package in _NEEDS[platform] if not _is_installed(package)]
    if missing:
        raise MissingExtraError(
            f'target {target.name} needs its compiler ({", ".join(missing)}): pip install "hrm-codegen[plan]"'
        )
    from jax.experimental import topologies

    options: dict[str, Any] = {}
    if platform == "cuda":
        options = {"target_config": target.target_config, "topology": target.topology}
    elif target.num_devices == 1:
        options = {"chips_per_host_bounds": [1, 1, 1]}  # The default is four chips a host.
    try:
        name = target.topology if platform == "tpu" else ""
        return list(topologies.get_topology_desc(name, platform=platform, **options).devices)
    except (RuntimeError, NotImplementedError) as error:  # jax: whatever the compiler's library says
        raise HRMCodeGenError(f"the {platform} compiler cannot describe {target.name}: {error}") from error


def for_accelerator(config: Config) -> Config:
    """Returns the configuration with `dtype: auto` resolved as an accelerator would, not as this CPU does."""
    if config.model.dtype != "auto":
        return config
    return dataclasses.replace(config, model=dataclasses.replace(config.model, dtype="bfloat16"))


def with_batch(config: Config, batch_size: int, grad_accum: int) -> Config:
    """Returns the configuration with another global batch.

    Raises:
      ConfigError: It does not divide into microbatches.
    """
    changed = dataclasses.replace(
        config, train=dataclasses.replace(config.train, batch_size=batch_size, grad_accum=grad_accum)
    )
    validate(changed)
    return changed


def train_mesh(config: Config, devices: list[Any]) -> Mesh:
    """Returns the mesh that training would make of the devices.

    Raises:
      ConfigError: They do not agree with `mesh:` or the batch, or some of several hosts would idle.
    """
    validate(config)
    mesh = make_mesh(config.mesh, devices=devices, microbatch=config.train.batch_size // config.train.grad_accum)
    hosts = len({device.process_index for device in devices})
    if hosts > 1 and mesh.size < len(devices):
        raise ConfigError(
            f"a mesh of {mesh.size} devices leaves {len(devices) - mesh.size} of {len(devices)} idle, which cannot "
            "work with more than one host: choose a train.batch_size that the devices divide"
        )
    return mesh


def compile_train(config: Config, target: Target) -> Program:
    """Compiles the train step at the last, most expensive K.

    Args:
      config: Model, batch, mesh and optimizer.
      target: Where.

    Raises:
      ConfigError: The batch or the mesh does not fit the devices.
      MissingExtraError: The target's compiler is not installed.
    """
    config = for_accelerator(config)
    mesh = train_mesh(config, topology_devices(target))
    start = time.perf_counter()
    step, state, batch = abstract_train_step(config, mesh)
    schedule = bp_schedule(config.model, config.train)
    last = schedule[-1][1]
    with fused():
        flops = {passes: matmul_flops(step, state, batch, bp_passes=passes) for _, passes in schedule}
        lowered = step.lower(state, batch, bp_passes=last)
    ends = [first for first, _ in schedule[1:]] + [config.train.num_steps]
    steps = [max(0, min(end, config.train.num_steps) - first) for (first, _), end in zip(schedule, ends, strict=True)]
    work = sum(count * flops[passes] for count, (_, passes) in zip(steps, schedule, strict=True))
    memory, hlo, xla_flops = _compile(lowered, target)
    return Program(
        memory=memory, hlo=hlo, xla_flops=xla_flops,
        flops=flops[last], work=work / flops[last] / config.train.num_steps,
        mesh=dict(mesh.shape), num_devices=mesh.size, seconds=time.perf_counter() - start,
    )  # fmt: skip


def abstract_train_step(config: Config, mesh: Mesh | None) -> tuple[Any, Any, Batch]:
    """Returns the real train step, and the shapes of its state and batch.

    Args:
      config: Of the run.
      mesh: Where; None: without shardings.
    """
    graphdef, params = abstract(config.model)
    tx, schedule = make_optimizer(config.optim, config.train.num_steps, params)
    state = jax.eval_shape(lambda params: create_state(params, tx, ema=config.optim.ema_decay > 0), params)
    shape = (config.train.batch_size, config.data.seq_len)
    numbers: Any = jax.ShapeDtypeStruct(shape, jnp.int32)
    flags: Any = jax.ShapeDtypeStruct(shape, jnp.bool_)
    batch = Batch(numbers, numbers, numbers, numbers, flags, flags)
    if mesh is None:
        return make_train_step(graphdef, tx, schedule, config), state, batch
    placement, rows = shardings(state, mesh), batch_sharding(mesh)
    step = make_train_step(graphdef, tx, schedule, config, state_shardings=placement)
    batch = jax.tree.map(lambda leaf: _placed(leaf, rows), batch)
    return step, jax.tree.map(_placed, state, placement), batch


def compile_decode(config: Config, target: Target) -> Program:
    """Compiles prefill and decoding as `generate` runs them: on one device, `eval.batch_size` sequences together.

    The prompt fills what `sample.max_tokens` leaves of `model.max_seq_len`.
    """
    config = for_accelerator(config)
    device = topology_devices(target)[0]
    start = time.perf_counter()
    graphdef, params = abstract(config.model)
    sampling, rows = config.sample, config.eval.batch_size
    limit = min(sampling.max_tokens, config.model.max_seq_len - 1)
    length = bucket_length(max(1, config.model.max_seq_len - limit))
    arguments = jax.eval_shape(
        lambda: (
            Rows(
                prompts=jnp.zeros((rows, length), jnp.int32),
                prompt_lens=jnp.zeros(rows, jnp.int32),
                keys=jax.vmap(jax.random.key)(jnp.arange(rows)),
                active=jnp.zeros(rows, bool),
                first_sample=jnp.zeros(rows, jnp.int32),
            ),
            *(jnp.asarray(0), jnp.asarray(1.0), jnp.asarray(1.0)),
        )
    )
    here = SingleDeviceSharding(device)
    params, arguments = jax.tree.map(lambda leaf: _placed(leaf, here), (params, arguments))
    static = {
        "num_samples": 1,
        "capacity": bucket_length(limit),
        "eoa_id": -1,
        "greedy": sampling.temperature == 0,
        "top_k": sampling.top_k,
        "nucleus": sampling.top_p < 1,
    }
    with fused():
        flops = matmul_flops(decode, graphdef, params, None, *arguments, while_trips=limit, **static)
        lowered = decode.lower(graphdef, params, None, *arguments, **static)
    memory, hlo, xla_flops = _compile(lowered, target)
    return Program(
        memory=memory, hlo=hlo, xla_flops=xla_flops, flops=flops, work=1.0,
        mesh={"data": 1, "fsdp": 1, "tensor": 1}, num_devices=1, seconds=time.perf_counter() - start,
    )  # fmt: skip


def _compile(lowered: Any, target: Target) -> tuple[Memory, str, float | None]:
    try:
        compiled = lowered.compile(compiler_options=_OPTIONS[target.chip.platform] or None)
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise HRMCodeGenError(f"the compiler for {target.name} failed: {str(error)[:2000]}") from error
        # libtpu: "(15.76G) exceeds available HBM (15.75G)", once "Used 15.76G of 15.75G hbm".
        used = re.search(r"([\d.]+)([KMGT])\)? (?:exceeds|of) ", str(error))
        need = int(float(used[1]) * _UNITS[used[2]]) if used else 0
        return Memory(arguments=0, temporaries=0, peak=max(need, target.usable_bytes + 1)), "", None
    stats = compiled.memory_analysis()
    # A TPU's compiler refuses what does not fit, by this peak; elsewhere temporaries are one allocation, gaps included.
    peak = getattr(stats, "peak_memory_in_bytes", 0)
    if target.chip.platform != "tpu" or not peak:
        total = stats.argument_size_in_bytes + stats.output_size_in_bytes + stats.temp_size_in_bytes
        peak = max(peak, total - stats.alias_size_in_bytes)
    memory = Memory(arguments=stats.argument_size_in_bytes, temporaries=stats.temp_size_in_bytes, peak=peak)
    cost = compiled.cost_analysis() or {}
    return memory, compiled.as_text(), cost.get("flops")


def _placed(leaf: Any, sharding: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # the parent of a dotted name
        return False
