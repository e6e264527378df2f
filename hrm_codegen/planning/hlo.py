"""What a compiled module does to memory and to the network, read from its text: one device, loops times their length.

Compilers count the body of a loop once and say nothing about collectives. Here each kernel is charged with what it
reads and writes, and each collective with what it sends. Approximate where the text is silent: padding of layouts
and cached re-reads are not seen; a kernel that slices its operand is charged with the slice.
"""

from __future__ import annotations

import collections
import dataclasses
import math
import re
from typing import NamedTuple

_BITS = {"pred": 8, "s2": 2, "u2": 2, "s4": 4, "u4": 4, "bf16": 16, "token": 0, "c64": 64, "c128": 128}
_ARRAY = re.compile(r"\b([a-z]\w*)\[([\d,<=]*)\](\{[^}]*\})?")
_HEAD = re.compile(r"^\s+(?:ROOT )?%?([\w.-]+) = ")
_COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.-]+) \(.*\{$")
_COLLECTIVES = (
    "all-reduce", "all-gather", "reduce-scatter", "all-to-all", "ragged-all-to-all", "collective-permute",
    "collective-broadcast",
)  # fmt: skip
_FREE = {  # names for values, and control flow whose inside is walked
    "parameter", "constant", "tuple", "get-tuple-element", "bitcast", "while", "call", "conditional", "after-all",
    "opt-barrier", "optimization-barrier", "partition-id", "replica-id", "add-dependency", "async-start",
    "async-update", "async-done",
}  # fmt: skip
_VIEWS = {"bitcast", "reshape", "copy", "convert"}


class Collective(NamedTuple):
    """A collective operation of one device.

    Attributes:
      op: `all-reduce`, ...
      devices: How many exchange with each other.
      num_bytes: Payload: the result, or for `reduce-scatter` the operand.
      times: How often a step.
    """

    op: str
    devices: int
    num_bytes: int
    times: float

    @property
    def total_bytes(self) -> float:
        """Payload a step."""
        return self.times * self.num_bytes

    @property
    def sent_bytes(self) -> float:
        """Bytes that each device must send a step, by the best algorithm: `2 (n - 1) / n` of an all-reduce."""
        if self.op.startswith("collective"):
            return self.total_bytes
        share = (self.devices - 1) / self.devices
        return (2 if self.op == "all-reduce" else 1) * share * self.total_bytes


class Traffic(NamedTuple):
    """Of one device and one step.

    Attributes:
      memory_bytes: Read from and written to main memory.
      collectives: Those of equal kind and size merged, the largest first.
      unknown_loops: How many loops have a length that the text does not tell.
    """

    memory_bytes: float
    collectives: tuple[Collective, ...]
    unknown_loops: int


@dataclasses.dataclass(frozen=True)
class _Instruction:
    name: str
    shape: str
    op: str
    operands: tuple[str, ...]
    inside: str  # text between the parentheses
    attributes: str
    is_root: bool


_Computation = dict[str, _Instruction]


def read_traffic(text: str, *, num_devices: int, while_trips: int = 1) -> Traffic:
    """Reads a compiled module.

    Args:
      text: `Compiled.as_text()`.
      num_devices: That take part; the size of a collective's group where it is not written.
      while_trips: Rounds of a loop whose length the text does not tell.
    """
    computations, entry = _parse(text)
    walk = _Walk(computations, num_devices, while_trips)
    walk.visit(computations[entry], 1.0)
    merged = [Collective(*key, times) for key, times in walk.collectives.items()]
    merged.sort(key=lambda collective: -collective.total_bytes)
    return Traffic(walk.memory_bytes, tuple(merged), walk.unknown_loops)


def shape_bytes(shape: str, *, main_memory_only: bool = False) -> int:
    """Returns the bytes of an array type or a tuple of them, such as `(bf16[2,3]{1,0}, s32[])`.

    Args:
      shape: As printed.
      main_memory_only: Leave out arrays that the layout puts elsewhere (`S(1)`: the vector memory of a TPU).
    """
    total = 0
    for kind, dims, layout in _ARRAY.findall(shape):
        digits = re.search(r"\d+", kind)
        bits = _BITS[kind] if kind in _BITS else int(digits[0]) if digits else 0
        if not (main_memory_only and re.search(r"S\([1-9]", layout)):
            sizes = [int(size.strip("<=")) for size in dims.split(",") if size]
            total += math.ceil(bits * math.prod(sizes) / 8)
    return total


class _Walk:
    """Sums over a module, from its entry into loops and calls."""

    def __init__(self, computations: dict[str, _Computation], num_devices: int, while_trips: int):
        self.computations, self.num_devices, self.while_trips = computations, num_devices, while_trips
        self.memory_bytes, self.unknown_loops = 0.0, 0
        self.fused_channels: set[str] = set()
        self.collectives: collections.Counter[tuple[str, int, int]] = collections.Counter()

    def visit(self, computation: _Computation, times: float) -> None:
        for instruction in computation.values():
            self._count_collective(instruction, computation, times)
            if instruction.op == "while":
                self.visit(self._called(instruction, "body"), times * self._trips(instruction))
            elif instruction.op in ("call", "async-start"):
                self.visit(self._called(instruction, "to_apply|calls|called_computations"), times)
            elif instruction.op == "conditional":
                names = re.search(r"branch_computations=\{([^}]*)\}|true_computation=(\S+)", instruction.attributes)
                for name in re.findall(r"[\w.-]+", names[0].partition("=")[2] if names else ""):
                    self.visit(self.computations[name], times)
            elif instruction.op == "fusion":
                self._count_fused(instruction, times)
            self.memory_bytes += times * self._memory_bytes(instruction, computation)

    def _trips(self, loop: _Instruction) -> int:
        known = re.search(r'"known_trip_count":\{"n":"(\d+)"', loop.attributes)
        if known:
            return int(known[1])
        # JAX's scans count from 0 while they are below a constant.
        condition = self._called(loop, "condition").values()
        compares = any("direction=LT" in instruction.attributes for instruction in condition)
        limits = {instruction.inside for instruction in condition if instruction.op == "constant"}
        limits = {limit for limit in limits if limit.isdecimal()}
        if compares and len(limits) == 1 and not any(instruction.op == "and" for instruction in condition):
            return int(limits.pop())
        self.unknown_loops += 1
        return self.while_trips

    def _count_fused(self, fusion: _Instruction, times: float) -> None:
        """Counts what a TPU hides in fusions: a collective spread over several of one channel, or a reduce-scatter."""
        fused, scatters = self._called(fusion, "calls"), "calls=%all-reduce-scatter" in fusion.attributes
        for inner in fused.values():
            channel = re.search(r"channel_id=\d+", inner.attributes)
            if channel and channel[0] not in self.fused_channels:
                self.fused_channels.add(channel[0])
                self._count_collective(
                    dataclasses.replace(inner, op="reduce-scatter") if scatters else inner, fused, times
                )

    def _count_collective(self, instruction: _Instruction, computation: _Computation, times: float) -> None:
        op = instruction.op.removesuffix("-start")
        if op not in _COLLECTIVES:
            return
        result = shape_bytes(instruction.shape)
        operands = sum(shape_bytes(computation[name].shape) for name in instruction.operands if name in computation)
        size = result
        if op in ("reduce-scatter", "collective-permute"):
            size = operands
        elif op == "all-gather" and instruction.op.endswith("-start"):
            size = result - operands  # the start's type has both
        devices = group_size(instruction.attributes, self.num_devices)
        if devices > 1:
            self.collectives[op, devices, size] += times  # type: ignore[assignment]

    def _memory_bytes(self, instruction: _Instruction, computation: _Computation) -> int:
        op = instruction.op
        if op in _FREE or (
            op.endswith("-start") or (op.endswith("-done") and op.removesuffix("-done") in _COLLECTIVES)
        ):
            return 0
        result = shape_bytes(instruction.shape, main_memory_only=True)
        operands = [computation[name] for name in instruction.operands if name in computation]
        sizes = [shape_bytes(operand.shape, main_memory_only=True) for operand in operands]
        if op in ("copy-done", "slice-done", "dynamic-slice-done"):
            start = operands[0] if operands else None
            source = computation.get(start.operands[0]) if start and start.operands else None
            moved = shape_bytes(instruction.shape)
            return result + (moved if source and shape_bytes(source.shape, main_memory_only=True) else 0)
        if op in ("dynamic-slice", "slice", "gather"):
            return 2 * result
        if op == "dynamic-update-slice":
            return 2 * sizes[1]
        if op == "fusion":
            return self._fusion_bytes(self._called(instruction, "calls"), result, sizes)
        if op == "custom-call" and instruction.shape.startswith("("):
            result -= sum(shape_bytes(f"s8[{size}]") for size in re.findall(r"\bs8\[(\d+)\]", instruction.shape))
        return result + sum(sizes)

    def _fusion_bytes(self, inner: _Computation, result: int, sizes: list[int]) -> int:
        """Charges slices for parameters that are only sliced, and updates for results that are updated in place."""
        users: dict[str, list[_Instruction]] = collections.defaultdict(list)
        for instruction in inner.values():
            for name in instruction.operands:
                users[name].append(instruction)
        total = 0
        for instruction in inner.values():
            if instruction.op == "parameter" and int(instruction.inside) < len(sizes):
                size = sizes[int(instruction.inside)]
                total += min(size, _read_bytes(instruction, users, size))
        root = next(instruction for instruction in inner.values() if instruction.is_root)
        for output in [inner[name] for name in root.operands] if root.op == "tuple" else [root]:
            source = output
            while source.op in _VIEWS and source.operands and source.operands[0] in inner:
                source = inner[source.operands[0]]
            if source.op == "dynamic-update-slice":
                result -= shape_bytes(output.shape) - shape_bytes(inner[source.operands[1]].shape)
        return total + max(result, 0)

    def _called(self, instruction: _Instruction, key: str) -> _Computation:
        found = re.search(rf"\b(?:{key})=\{{?%?([\w.-]+)", instruction.attributes)
        return self.computations[found[1]] if found else {}


def group_size(attributes: str, num_devices: int) -> int:
    """Returns how many devices exchange with each other, from an instruction's `replica_groups` or pairs."""
    mesh = re.search(r"replica_groups=mesh\[([^\]]*)\] \{([^}]*)\}", attributes)
    if mesh:
        sizes = dict(re.findall(r"'([^']+)'=(\d+)", mesh[1]))
        return math.prod(int(sizes[name]) for name in re.findall(r"'([^']+)'", mesh[2]))
    iota = re.search(r"replica_groups=\[(\d+),(\d+)\]<=", attributes)
    if iota:
        return int(iota[2])
    listed = re.search(r"replica_groups=\{\{([\d,]+)\}", attributes)
    if listed:
        return len(listed[1].split(","))
    return num_devices


def _read_bytes(parameter: _Instruction, users: dict[str, list[_Instruction]], size: int) -> int:
    total = 0
    for user in users[parameter.name]:
        if user.op in ("dynamic-slice", "slice", "gather") and user.operands[0] == parameter.name:
            total += shape_bytes(user.shape)
        elif user.op in ("bitcast", "reshape") and not user.is_root:
            total += _read_bytes(user, users, size)
        elif user.op != "dynamic-update-slice" or user.operands[0] != parameter.name:
            return size
    return total


def _parse(text: str) -> tuple[dict[str, _Computation], str]:
    computations: dict[str, _Computation] = {}
    current: _Computation = {}
    entry = ""
    for line in text.splitlines():
        head = _HEAD.match(line)
        if head:
            instruction = _parse_instruction(line, head)
            current[instruction.name] = instruction
            continue
        opened = _COMPUTATION.match(line)
        if opened:
            current = computations[opened[1]] = {}
            entry = opened[1] if line.startswith("ENTRY") else entry
    return computations, entry


def _parse_instruction(line: str, head: re.Match[str]) -> _Instruction:
    start = head.end()
    middle = _closing(line, start) + 1 if line[start] == "(" else line.index(" ", start)
    opening = line.index("(", middle)
    closing = _closing(line, opening)
    inside = line[opening + 1 : closing]
    names = tuple(re.findall(r"%([\w.-]+)", inside))
    return _Instruction(
        head[1], line[start:middle], line[middle:opening].strip(), names, inside, line[closing + 1 :],
        line.lstrip().startswith("ROOT "),
    )  # fmt: skip


def _closing(line: str, opening: int) -> int:
    depth = 0
    for index in range(opening, len(line)):
        depth += {"(": 1, ")": -1}.get(line[index], 0)
        if depth == 0:
            return index
    return len(line) - 1
