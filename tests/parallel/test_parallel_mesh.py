"""Meshes: sizes, and messages where they do not fit."""

from __future__ import annotations

import jax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import AxisType

from hrm_codegen.config import MeshConfig
from hrm_codegen.errors import ConfigError
from hrm_codegen.parallel import make_mesh


def sizes(mesh):
    return tuple(mesh.shape[axis] for axis in ("data", "fsdp", "tensor"))


@pytest.mark.parametrize(
    ("given_sizes", "expected"),
    [((-1, 1, 1), (8, 1, 1)), ((-1, 2, 2), (2, 2, 2)), ((1, -1, 1), (1, 8, 1)), ((1, 1, 1), (1, 1, 1))],
)
def test_the_axis_of_minus_one_takes_the_devices_that_are_left(given_sizes, expected):
    data, fsdp, tensor = given_sizes
    assert sizes(make_mesh(MeshConfig(data=data, fsdp=fsdp, tensor=tensor))) == expected


def test_axes_are_auto():
    assert set(make_mesh(MeshConfig()).axis_types) == {AxisType.Auto}


@settings(max_examples=50, deadline=None)
@given(microbatch=st.integers(1, 40), fsdp=st.sampled_from([1, 2, 4]))
def test_a_microbatch_gets_the_most_devices_that_divide_it(microbatch, fsdp):
    fitting = [size for size in range(1, 8 // fsdp + 1) if microbatch % (size * fsdp) == 0]
    if fitting:
        mesh = make_mesh(MeshConfig(fsdp=fsdp), microbatch=microbatch)
        assert sizes(mesh) == (max(fitting), fsdp, 1)
    else:
        with pytest.raises(ConfigError, match=f"microbatch of {microbatch} rows"):
            make_mesh(MeshConfig(fsdp=fsdp), microbatch=microbatch)


def test_a_global_batch_of_2304_uses_all_eight_devices():
    assert sizes(make_mesh(MeshConfig(), microbatch=2304)) == (8, 1, 1)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (MeshConfig(data=16), "needs 16 devices, this machine has 8"),
        (MeshConfig(data=-1, fsdp=3), "8 devices do not divide by 3"),
        (MeshConfig(data=-1, fsdp=-1), "at most one is -1"),
        (MeshConfig(data=0), "sizes are positive"),
    ],
)
def test_a_mesh_that_does_not_fit_is_refused(config, message):
    with pytest.raises(ConfigError, match=message):
        make_mesh(config)


def test_idle_devices_are_logged(caplog):
    with caplog.at_level("INFO", logger="hrm_codegen.parallel"):
        make_mesh(MeshConfig(), microbatch=6)
    assert "using 6 of 8 devices" in caplog.text


def test_devices_can_be_given():
    assert make_mesh(MeshConfig(), devices=jax.devices()[3:4]).devices.item() == jax.devices()[3]
