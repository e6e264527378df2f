"""Names of targets, the roofline's arithmetic, and the search for the largest batch: no compiler."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrm_codegen.errors import UsageError
from hrm_codegen.planning import find_target
from hrm_codegen.planning.fit import largest_rows, smallest_accumulation
from hrm_codegen.planning.roofline import make_roofline, run_hours
from hrm_codegen.planning.targets import CHIPS, SLICES


@pytest.mark.parametrize(
    ("name", "devices", "topology"),
    [
        ("v5e-8", 8, "v5e:2x4"),
        ("V5E-16", 16, "v5e:4x4"),
        ("v6e-1", 1, "v6e:1x1"),
        ("v5p-8", 4, "v5p:2x2x1"),  # two TensorCores a chip, one device
        ("a100x8", 8, "1x1x8"),
        ("a100-80gbx2", 2, "1x1x2"),
        ("h100x16", 16, "1x2x8"),
        ("4090x1", 1, "1x1x1"),
    ],
)
def test_targets_have_their_devices(name: str, devices: int, topology: str):
    target = find_target(name)
    assert (target.num_devices, target.topology) == (devices, topology)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("a10x8", "did you mean 'a100x8'"),
        ("v5e8", "did you mean 'v5e-8'"),
        ("v5e-9", "there are v5e-1, v5e-4, v5e-8"),
        ("a100x12", "a multiple of 8"),
        ("a100x0", "1 to 8"),
        ("4090x16", "at most 8"),
        ("v5ex8", "unknown target"),
        ("", "targets are like"),
    ],
)
def test_wrong_targets_say_what_there_is(name: str, hint: str):
    with pytest.raises(UsageError, match=hint):
        find_target(name)


def test_every_slice_has_as_many_chips_as_its_name_says():
    for chip, slices in SLICES.items():
        for size in slices:
            assert find_target(f"{chip}-{size}").num_devices == (size // 2 if chip == "v5p" else size)


def test_gpus_have_a_target_config_with_their_memory():
    for chip in CHIPS.values():
        if chip.platform == "cuda":
            text = find_target(f"{chip.name}x1").target_config
            assert f"device_memory_size: {chip.memory_bytes}" in text
            assert text.count("{") == text.count("}")


def test_usable_memory_of_a_gpu_is_what_jax_reserves(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("XLA_PYTHON_CLIENT_MEM_FRACTION", raising=False)
    assert find_target("a100x1").usable_bytes == 30 * 2**30
    monkeypatch.setenv("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.9")
    assert find_target("a100x1").usable_bytes == 36 * 2**30


def test_hosts_are_joined_by_the_slower_network():
    assert find_target("a100x16").link_bandwidth == 25e9
    assert find_target("a100x8").link_bandwidth == 300e9


def test_roofline_by_hand():
    roof = make_roofline(
        flops=3e12, memory_bytes=1e10, sent_bytes=5e9, peak_flops=1e12, memory_bandwidth=1e10, link_bandwidth=1e9
    )
    assert (roof.compute_seconds, roof.memory_seconds, roof.network_seconds) == (3, 1, 5)
    assert (roof.step_seconds, roof.serial_seconds, roof.bound_by) == (5, 9, "network")
    assert (roof.intensity, roof.ridge) == (300, 100)
    assert run_hours(roof.step_seconds, 7200, 0.5) == 5


def test_largest_rows_needs_two_compilations_on_a_line():
    asked = []

    def peak(rows: int) -> int:
        asked.append(rows)
        return 1000 + 7 * rows

    fit = largest_rows(peak, 8000, {100: 1700}, 1600)
    assert (fit.rows, fit.peak_bytes) == (982, 7874)  # 98.5 % of what there is
    assert asked == [50, 982]


@given(
    fixed=st.integers(0, 5000),
    slope=st.integers(1, 50),
    bend=st.floats(0, 0.5),
    start=st.integers(1, 300),
    usable=st.integers(100, 20000),
)
def test_largest_rows_fits_and_is_near_the_best(fixed: int, slope: int, bend: float, start: int, usable: int):
    def peak(rows: int) -> int:
        return int(fixed + slope * rows * (1 + bend * rows / 500))

    known = {start: peak(start)}
    fit = largest_rows(peak, usable, known, 16 * start)
    best = max((rows for rows in range(1, 16 * start + 1) if peak(rows) <= usable), default=0)
    assert len(known) <= 7
    assert fit.rows <= best
    assert (fit.rows == 0) == (best == 0)
    if bend == 0 and best:
        assert fit.rows == best or peak(fit.rows + 1) >= 0.97 * usable


@pytest.mark.parametrize(
    ("rows", "expected"), [(72, 4), (71, 6), (144, 2), (1000, 1), (1, 288), (0, None), (100, 3), (95, 4)]
)
def test_smallest_accumulation_keeps_the_global_batch(rows: int, expected: int | None):
    assert smallest_accumulation(2304, 8, rows) == expected
