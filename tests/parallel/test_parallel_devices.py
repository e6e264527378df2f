"""Device names: which device each means, and what is said when there is none."""

from __future__ import annotations

import jax
import pytest

from hrm_codegen.errors import DeviceError
from hrm_codegen.parallel import devices
from hrm_codegen.parallel.devices import device_kind, find_device


def test_auto_is_the_best_device_there_is(monkeypatch) -> None:
    fakes = dict(zip(("rocm", "mtl", "cpu"), jax.local_devices(), strict=False))
    monkeypatch.setattr(devices, "_first", fakes.get)
    assert find_device("auto") == find_device("gpu") == find_device("rocm") == fakes["rocm"]
    assert find_device("mps") == fakes["mtl"]
    del fakes["rocm"]
    assert find_device("auto") == fakes["mtl"]
    with pytest.raises(DeviceError, match="jax has mps, cpu"):
        find_device("tpu")


def test_the_cpu_is_there() -> None:
    assert device_kind(find_device("cpu")) == "cpu"


@pytest.mark.parametrize("name", ["cuda", "gpu", "rocm", "tpu", "mps"])
def test_a_missing_device_says_how_to_get_it(name, monkeypatch, caplog) -> None:
    if jax.default_backend() != "cpu":
        pytest.skip("this machine has an accelerator")
    monkeypatch.delenv("HRM_CODEGEN_DEVICE_FALLBACK", raising=False)
    with pytest.raises(DeviceError, match=rf"'{name}'.*pip install"):
        find_device(name)
    monkeypatch.setenv("HRM_CODEGEN_DEVICE_FALLBACK", "1")
    assert find_device(name).platform == "cpu"
    assert "using the CPU" in caplog.text


def test_unknown_devices_list_the_choices() -> None:
    with pytest.raises(DeviceError, match="choose from auto, tpu, cuda, rocm, mps, cpu, gpu"):
        find_device("xyz")
