"""What a plan says: one dataclass of numbers, as JSON and as text for people."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from hrm_codegen.planning.compile import Memory
from hrm_codegen.planning.hlo import Collective
from hrm_codegen.planning.roofline import Roofline
from hrm_codegen.planning.targets import Target

Mode = Literal["train", "gen"]
GIB = 2**30
METHOD = (
    "flops: matrix products of the traced program, loops times their length; bytes and collectives: the compiled "
    "module, loops times their length; peaks: published, bfloat16 dense; times are lower bounds, not predictions"
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Suggestion:
    """The largest batch that fits.

    Attributes:
      rows_per_device: Rows of a microbatch on a device (decoding: sequences).
      batch_size: The largest global batch with the configured `grad_accum` (decoding: `eval.batch_size`).
      grad_accum: The least that keeps the configured global batch; None: none does, or decoding.
      peak_bytes: Of the program that was compiled to prove it.
      is_search_limit: Nothing larger was tried.
    """

    rows_per_device: int
    batch_size: int
    grad_accum: int | None
    peak_bytes: int
    is_search_limit: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """The result; bytes, FLOPs and seconds are of one device and one step unless named otherwise.

    A step is an optimizer step, or one whole decoding of a batch, prefill included.

    Attributes:
      target: Where.
      mode: Which program.
      mesh: Sizes of the axes.
      devices_used: How many take part.
      batch_size: Rows of a step, all devices together.
      grad_accum: Microbatches.
      tokens_per_step: Of all devices together: read (train), or written (gen).
      num_steps: Of the run; None: decoding.
      memory: What it needs.
      flops_per_step: All devices together.
      flops: Of a device.
      memory_bytes: Moved; None if the program does not fit, as all that follow from the compiled module.
      collectives: Each kind and size.
      unknown_loops: Loops counted as the longest they can be.
      roofline: Times.
      work: Cost of the mean step over that of the last, largest K.
      hours: Of the whole run, as a bound.
      xla_flops: XLA's own count, for comparison: loop bodies once; None: not given by this compiler.
      compile_seconds: Of the first compilation.
      suggestion: The largest batch; None: not asked for, or not even one row fits.
    """

    target: Target
    mode: Mode
    mesh: dict[str, int]
    devices_used: int
    batch_size: int
    grad_accum: int
    tokens_per_step: int
    num_steps: int | None
    memory: Memory
    flops_per_step: float
    memory_bytes: float | None
    collectives: tuple[Collective, ...]
    unknown_loops: int
    roofline: Roofline | None
    work: float
    hours: float | None
    xla_flops: float | None
    compile_seconds: float
    suggestion: Suggestion | None

    @property
    def fits(self) -> bool:
        """Whether the peak is within what a program may take."""
        return self.memory.peak <= self.target.usable_bytes

    @property
    def flops(self) -> float:
        """FLOPs of a device a step."""
        return self.flops_per_step / self.devices_used

    @property
    def tokens_per_second(self) -> float | None:
        """Of all devices that take part, as a bound."""
        return self.tokens_per_step / self.roofline.step_seconds if self.roofline else None

    def to_json(self) -> dict[str, Any]:
        """Returns plain numbers; what is None was not computed."""
        roof = self.roofline
        return {
            "target": self.target.name, "mode": self.mode, "platform": self.target.chip.platform,
            "topology": self.target.topology, "devices": self.target.num_devices, "devices_used": self.devices_used,
            "mesh": self.mesh, "batch_size": self.batch_size, "grad_accum": self.grad_accum,
            "tokens_per_step": self.tokens_per_step, "num_steps": self.num_steps, "fits": self.fits,
            "memory": dataclasses.asdict(self.memory) | {
                "usable": self.target.usable_bytes, "device": self.target.chip.memory_bytes,
                "short": max(0, self.memory.peak - self.target.usable_bytes),
            },
            "flops_per_step": self.flops_per_step, "flops_per_device": self.flops, "xla_flops": self.xla_flops,
            "memory_bytes": self.memory_bytes, "unknown_loops": self.unknown_loops,
            "collectives": [
                collective._asdict() | {"total_bytes": collective.total_bytes, "sent_bytes": collective.sent_bytes}
                for collective in self.collectives
            ],
            "peaks": {
                "flops": self.target.chip.flops, "memory_bandwidth": self.target.chip.memory_bandwidth,
                "link_bandwidth": self.target.link_bandwidth,
            },
            "roofline": roof and dataclasses.asdict(roof) | {
                "bound_by": roof.bound_by, "step_seconds": roof.step_seconds, "serial_seconds": roof.serial_seconds,
            },
            "bound": {
                "tokens_per_second": self.tokens_per_second, "mean_step_over_last": self.work, "hours": self.hours,
                "within_24_hours": None if self.hours is None else self.hours <= 24,
            },
            "largest_batch": self.suggestion and dataclasses.asdict(self.suggestion),
            "compile_seconds": self.compile_seconds, "method": METHOD,
        }  # fmt: skip

    def to_text(self) -> str:
        """Returns lines for a terminal."""
        chip, memory = self.target.chip, self.memory
        mesh = " ".join(f"{axis}={size}" for axis, size in self.mesh.items())
        idle = self.target.num_devices - self.devices_used
        share = 100 * memory.peak / self.target.usable_bytes
        rows = [
            ("target", f"{self.target.name}: {self.target.num_devices} devices, mesh {mesh}"
             + (f" ({idle} idle)" if idle else "")),
            ("step", f"{self.batch_size} rows in {self.grad_accum} microbatch(es), {self.tokens_per_step:,} tokens"
             if self.mode == "train" else f"{self.batch_size} sequences, {self.tokens_per_step:,} tokens written"),
            ("memory", f"peak {_gib(memory.peak)} of {_gib(self.target.usable_bytes)} usable ({share:.0f} %; device "
             f"{_gib(chip.memory_bytes)}); arguments {_gib(memory.arguments)}, temporaries {_gib(memory.temporaries)}"),
            ("fits", "yes" if self.fits else f"NO: {_gib(memory.peak - self.target.usable_bytes)} a device too much"),
            ("FLOPs", f"{self.flops_per_step:.4g} a step, {self.flops:.4g} a device"),
        ]  # fmt: skip
        if self.roofline is not None and self.memory_bytes is not None:
            rows += self._roofline_rows(self.roofline, self.memory_bytes)
        if self.suggestion is not None:
            best = self.suggestion
            text = f"{best.batch_size} with grad_accum {self.grad_accum}" if self.mode == "train" else best.batch_size
            keep = f"; batch {self.batch_size} fits from grad_accum {best.grad_accum}" if best.grad_accum else ""
            more = " or more" if best.is_search_limit else ""
            rows.append(
                ("largest batch", f"{text}{more} ({best.rows_per_device} rows a device, {_gib(best.peak_bytes)}){keep}")
            )
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:<{width}}  {text}" for name, text in rows)

    def _roofline_rows(self, roof: Roofline, memory_bytes: float) -> list[tuple[str, str]]:
        chip = self.target.chip
        rows = [
            ("bytes moved", f"{memory_bytes:.4g} a device ({roof.intensity:.0f} FLOPs a byte, ridge {roof.ridge:.0f})")
        ]
        for item in self.collectives:
            rows.append(
                (item.op, f"{item.num_bytes / 2**20:.1f} MiB x {item.times:g} over {item.devices} devices, "
                 f"{item.sent_bytes / 2**20:.0f} MiB sent")
            )  # fmt: skip
        rows += [
            ("compute", f"{roof.compute_seconds:.4g} s at {chip.flops / 1e12:g} TFLOP/s"),
            ("memory time", f"{roof.memory_seconds:.4g} s at {chip.memory_bandwidth / 1e9:g} GB/s"),
            ("network", f"{roof.network_seconds:.4g} s at {self.target.link_bandwidth / 1e9:g} GB/s"),
            ("bound", f"{roof.step_seconds:.4g} s a step by {roof.bound_by} ({roof.serial_seconds:.4g} s if nothing "
             f"overlaps): at most {self.tokens_per_second:,.0f} tokens/s"),
        ]  # fmt: skip
        if self.hours is not None and self.num_steps is not None:
            tokens = self.tokens_per_step * self.num_steps
            rows.append(
                ("run", f"{tokens:.4g} tokens in at least {self.hours:.2f} hours "
                 f"({'within' if self.hours <= 24 else 'MORE THAN'} 24); a mean step costs {self.work:.3f} of the last")
            )  # fmt: skip
        return rows


def _gib(num_bytes: int) -> str:
    return f"{num_bytes / GIB:.2f} GiB"
