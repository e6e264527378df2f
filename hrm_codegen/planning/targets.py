"""The accelerators that can be planned for: their published peaks, their memory and the compiler's name for them.

Peaks are the vendors' (dense bfloat16, one direction of the links), so that any time computed from them is a bound
that the program as compiled does not beat; none was measured. Pure data: nothing here imports jax.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
import re
from typing import Literal

from hrm_codegen.errors import UsageError

Platform = Literal["tpu", "cuda", "cpu"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class CudaSpec:
    """What XLA asks about a GPU before it compiles for it: the CUDA device properties of the data sheets."""

    device: str
    capability: tuple[int, int]
    core_count: int
    fpus_per_core: int
    threads_per_core: int
    shared_memory_per_core: int
    shared_memory_per_block: int
    l2_cache_size: int
    clock_ghz: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chip:
    """One accelerator.

    Attributes:
      name: As in target names.
      platform: Which compiler.
      memory_bytes: Published memory.
      usable: Share of it that a program may take.
      flops: Peak dense bfloat16 operations a second.
      memory_bandwidth: Peak bytes a second of its memory.
      link_bandwidth: Peak bytes a second that it sends to its neighbours, all links together.
      network_bandwidth: The same between hosts; None: never more than one host.
      cuda: For the compiler.
    """

    name: str
    platform: Platform
    memory_bytes: int
    usable: float
    flops: float
    memory_bandwidth: float
    link_bandwidth: float
    network_bandwidth: float | None = None
    cuda: CudaSpec | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Target:
    """Some chips that work together.

    Attributes:
      name: As the user wrote it.
      chip: Each of them.
      num_devices: How many.
      topology: How they are wired, in the compiler's words.
    """

    name: str
    chip: Chip
    num_devices: int
    topology: str

    @property
    def usable_bytes(self) -> int:
        """Bytes a device that a program may take."""
        if self.chip.platform == "cuda":
            # jax reserves this share of a GPU's memory, and no more than it, unless told otherwise.
            return int(float(os.environ.get("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.75")) * self.chip.memory_bytes)
        return int(self.chip.usable * self.chip.memory_bytes)

    @property
    def link_bandwidth(self) -> float:
        """Bytes a second a device can send, by the slowest way that a collective over all of them has to take."""
        if self.chip.platform == "cuda" and self.num_devices > GPUS_A_HOST:
            assert self.chip.network_bandwidth is not None
            return self.chip.network_bandwidth
        return self.chip.link_bandwidth

    @property
    def target_config(self) -> str:
        """The chip as XLA's `GpuTargetConfigProto` in text form."""
        spec = self.chip.cuda
        assert spec is not None, f"{self.name} is not a GPU"
        return f"""gpu_device_info {{
          threads_per_block_limit: 1024 threads_per_warp: 32 threads_per_core_limit: {spec.threads_per_core}
          block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
          registers_per_core_limit: 65536 registers_per_block_limit: 65536
          shared_memory_per_block: 49152 shared_memory_per_core: {spec.shared_memory_per_core}
          shared_memory_per_block_optin: {spec.shared_memory_per_block}
          core_count: {spec.core_count} fpus_per_core: {spec.fpus_per_core} clock_rate_ghz: {spec.clock_ghz}
          memory_bandwidth: {int(self.chip.memory_bandwidth)} device_memory_size: {self.chip.memory_bytes}
          l2_cache_size: {spec.l2_cache_size}
          cuda_compute_capability {{ major: {spec.capability[0]} minor: {spec.capability[1]} }}
        }}
        runtime_version {{ major: 12 minor: 9 }} dnn_version_info {{ major: 9 minor: 8 }}
        platform_name: "CUDA" device_description_str: "{spec.device}" """


GPUS_A_HOST = 8
_A100 = CudaSpec(
    device="NVIDIA A100-SXM4-40GB", capability=(8, 0), core_count=108, fpus_per_core=64, threads_per_core=2048,
    shared_memory_per_core=167936, shared_memory_per_block=166912, l2_cache_size=41943040, clock_ghz=1.41,
)  # fmt: skip
_H100 = CudaSpec(
    device="NVIDIA H100 80GB HBM3", capability=(9, 0), core_count=132, fpus_per_core=128, threads_per_core=2048,
    shared_memory_per_core=233472, shared_memory_per_block=232448, l2_cache_size=52428800, clock_ghz=1.98,
)  # fmt: skip
_RTX_4090 = CudaSpec(
    device="NVIDIA GeForce RTX 4090", capability=(8, 9), core_count=128, fpus_per_core=128, threads_per_core=1536,
    shared_memory_per_core=102400, shared_memory_per_block=101376, l2_cache_size=75497472, clock_ghz=2.52,
)  # fmt: skip

# Links are half of the published bidirectional figure. A slice smaller than a torus has fewer of them: still a bound.
CHIPS = {
    chip.name: chip
    for chip in (
        # docs.cloud.google.com/tpu/docs/v5e: 197 TFLOPs, 16 GB, 819 GB/s, ICI 400 GB/s bidirectional.
        Chip(name="v5e", platform="tpu", memory_bytes=16 * 2**30, usable=0.984, flops=197e12,
             memory_bandwidth=819e9, link_bandwidth=200e9),
        # docs.cloud.google.com/tpu/docs/v5p: 459 TFLOPs, 95 GB, 2765 GB/s, ICI 1200 GB/s bidirectional.
        Chip(name="v5p", platform="tpu", memory_bytes=95 * 2**30, usable=0.984, flops=459e12,
             memory_bandwidth=2765e9, link_bandwidth=600e9),
        # docs.cloud.google.com/tpu/docs/v6e: 918 TFLOPs, 32 GB, 1638 GB/s, ICI 800 GB/s bidirectional.
        Chip(name="v6e", platform="tpu", memory_bytes=32 * 2**30, usable=0.976, flops=918e12,
             memory_bandwidth=1638e9, link_bandwidth=400e9),
        # NVIDIA A100 data sheet, SXM: 312 TFLOPS, NVLink 600 GB/s; 40 GB at 1555 GB/s, 80 GB at 2039 GB/s.
        # DGX A100: one 200 Gb/s network port a GPU.
        Chip(name="a100", platform="cuda", memory_bytes=40 * 2**30, usable=1.0, flops=312e12,
             memory_bandwidth=1555e9, link_bandwidth=300e9, network_bandwidth=25e9, cuda=_A100),
        Chip(name="a100-80gb", platform="cuda", memory_bytes=80 * 2**30, usable=1.0, flops=312e12,
             memory_bandwidth=2039e9, link_bandwidth=300e9, network_bandwidth=25e9,
             cuda=dataclasses.replace(_A100, device="NVIDIA A100-SXM4-80GB")),
        # NVIDIA H100 data sheet, SXM: 1979 TFLOPS with sparsity, 80 GB, 3.35 TB/s, NVLink 900 GB/s.
        # DGX H100: one 400 Gb/s network port a GPU.
        Chip(name="h100", platform="cuda", memory_bytes=80 * 2**30, usable=1.0, flops=989.5e12,
             memory_bandwidth=3350e9, link_bandwidth=450e9, network_bandwidth=50e9, cuda=_H100),
        # NVIDIA Ada GPU architecture white paper: 165.2 TFLOPS with float32 accumulation, 24 GB, 1008 GB/s, PCIe 4 x16.
        Chip(name="4090", platform="cuda", memory_bytes=24 * 2**30, usable=1.0, flops=165.2e12,
             memory_bandwidth=1008e9, link_bandwidth=32e9, cuda=_RTX_4090),
        # This machine's CPU devices with made-up round peaks: a rehearsal of the whole way, not a prediction.
        Chip(name="cpu", platform="cpu", memory_bytes=4 * 2**30, usable=1.0, flops=1e11,
             memory_bandwidth=1e10, link_bandwidth=1e9),
    )
}  # fmt: skip

# Slices that Google rents, by the number in their name: chips for v5e and v6e, TensorCores (two a chip) for v5p.
_FLAT = {1: "1x1", 4: "2x2", 8: "2x4", 16: "4x4", 32: "4x8", 64: "8x8", 128: "8x16", 256: "16x16"}
_CUBES = {8: "2x2x1", 16: "2x2x2", 32: "2x2x4", 64: "2x4x4", 128: "4x4x4", 256: "4x4x8", 512: "4x8x8", 1024: "8x8x8"}
SLICES = {"v5e": _FLAT, "v6e": _FLAT, "v5p": _CUBES}
HELP = "v5e-8, v6e-8 (chips), v5p-8 (TensorCores), a100x8, a100-80gbx8, h100x8, 4090x1"
_EXAMPLES = (
    *(f"{chip}-{size}" for chip, slices in SLICES.items() for size in slices),
    *(f"{chip}x{n}" for chip in ("a100", "a100-80gb", "h100", "4090") for n in (1, 2, 4, 8)),
)


def find_target(name: str) -> Target:
    """Reads a target's name.

    Args:
      name: `v5e-8`, or `h100x8`; for GPUs any number of one host, or full hosts of 8.

    Raises:
      UsageError: No such chip, or no such number of them.
    """
    word = name.strip().lower()
    tpu = re.fullmatch(r"(v\d\w)-(\d+)", word)
    if tpu and tpu[1] in SLICES:
        slices, size = SLICES[tpu[1]], int(tpu[2])
        if size not in slices:
            sizes = ", ".join(f"{tpu[1]}-{known}" for known in slices)
            raise UsageError(f"no slice {name!r}; there are {sizes}")
        shape = slices[size]
        count = math.prod(int(side) for side in shape.split("x"))
        return Target(name=word, chip=CHIPS[tpu[1]], num_devices=count, topology=f"{tpu[1]}:{shape}")
    gpu = re.fullmatch(r"(.+)x(\d+)", word)
    if gpu and gpu[1] in CHIPS and gpu[1] not in SLICES:
        return _host_target(word, CHIPS[gpu[1]], int(gpu[2]))
    close = difflib.get_close_matches(word, _EXAMPLES, n=1)
    hint = f", did you mean {close[0]!r}?" if close else ""
    raise UsageError(f"unknown target {name!r}{hint} (targets are like {HELP})")


def _host_target(word: str, chip: Chip, count: int) -> Target:
    hosts = math.ceil(count / GPUS_A_HOST)
    if count < 1 or (hosts > 1 and count % GPUS_A_HOST):
        raise UsageError(f"target {word!r}: 1 to {GPUS_A_HOST} devices of one host, or a multiple of {GPUS_A_HOST}")
    if hosts > 1 and chip.network_bandwidth is None:
        raise UsageError(f"target {word!r}: at most {GPUS_A_HOST}, no network between hosts is published for it")
    return Target(name=word, chip=chip, num_devices=count, topology=f"1x{hosts}x{count // hosts}")
