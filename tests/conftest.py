"""What every test shares: eight virtual CPU devices, strict ranks, a persistent compile cache, tiny models."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("WANDB_MODE", "disabled")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # of torch: two workers with two threads each wait for each other

import jax
import pytest

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")
CACHE = Path(os.environ.get("HRM_CODEGEN_TEST_CACHE", Path(tempfile.gettempdir()) / "hrm_codegen_test_cache"))
jax.config.update("jax_compilation_cache_dir", str(CACHE))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


@pytest.fixture(scope="session", autouse=True)
def _no_cache_of_the_user(tmp_path_factory):
    """Verdicts and downloads that a test finds are those of this run of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HRM_CODEGEN_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        yield


@pytest.fixture
def key() -> jax.Array:
    """A typed PRNG key."""
    return jax.random.key(0)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The developers' data folder; tests that use it skip on a user's machine."""
    path = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not path.is_dir():
        pytest.skip("no ../shared/data on this machine")
    return path
