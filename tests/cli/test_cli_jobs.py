from __future__ import annotations

from pathlib import Path

import jax
import pytest

from hrm_codegen import jobs, loading
from hrm_codegen.data import Problem
from hrm_codegen.errors import ModelNotFoundError


@pytest.fixture
def no_cache_dir():
    names = "jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs"
    before = {name: jax.config.values[name] for name in names}
    jax.config.update("jax_compilation_cache_dir", None)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


def test_compile_cache_is_in_the_cache_folder(no_cache_dir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HRM_CODEGEN_CACHE", str(tmp_path))
    loading.enable_compile_cache()
    assert jax.config.values["jax_compilation_cache_dir"] == str(tmp_path / "jax")
    assert jax.config.values["jax_persistent_cache_min_compile_time_secs"] == 0


def test_compile_cache_is_in_the_home_folder(no_cache_dir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("HRM_CODEGEN_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    loading.enable_compile_cache()
    assert jax.config.values["jax_compilation_cache_dir"] == str(tmp_path / ".cache" / "hrm-codegen" / "jax")


def test_compile_cache_that_the_user_chose_stays(monkeypatch: pytest.MonkeyPatch):
    before = jax.config.values["jax_compilation_cache_dir"]
    monkeypatch.setenv("HRM_CODEGEN_CACHE", "/elsewhere")
    loading.enable_compile_cache()
    assert jax.config.values["jax_compilation_cache_dir"] == before is not None


def test_default_evaluation_data_is_mbpp_if_present(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "mbpp").mkdir(parents=True)
    row = '[{"text": "add", "test_list": ["assert True"], "task_id": 11}]'
    (tmp_path / "data" / "mbpp" / "test_raw.json").write_text(row)
    problems, name = jobs.load_evaluation_data(None)
    assert (len(problems), name) == (1, "data/mbpp/test_raw.json")


def test_default_evaluation_data_is_basics_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    problem = Problem(task_id="b/1", text="t")

    class Reader:
        def load(self, *, source: str | None = None) -> dict[str, list[Problem]]:
            return {"test": [problem]}

    monkeypatch.setattr("hrm_codegen.data.sources.get_reader", lambda name: Reader())
    assert jobs.load_evaluation_data(None) == ([problem], "basics/test")


def test_a_wrong_checkpoint_is_known_before_data_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelNotFoundError, match=r"nosuch\.pt"):
        jobs.evaluate(ckpt="nosuch.pt", data="neither a file nor a name")
