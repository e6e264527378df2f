"""The verdict cache: what it keeps, what it does not, and that nothing wrong with it stops an evaluation."""

from __future__ import annotations

import dataclasses
import sqlite3
import subprocess
import sys
import threading

import pytest

from hrm_codegen.evaluator import Program, ProgramResult, Verdict
from hrm_codegen.evaluator.cache import VerdictCache, cache_key, default_cache

PROGRAM = Program(code="def f():\n    return '\ud800\0'", test_list=("assert f()",), timeout=2.0)
RESULT = ProgramResult(
    verdict=Verdict.WRONG_ANSWER, message="m\ud800", failing_test="t", tests=("passed", "wrong_answer"), tests_total=3
)
SANDBOX = {"tier": "A", "version": 2, "limits": {"processes": 24}, "python": "3.11.2"}


def test_what_is_kept_comes_back_to_another_process_and_thread(tmp_path):
    with VerdictCache(tmp_path / "c") as cache:
        assert cache.get("k") is None
        thread = threading.Thread(target=cache.put, args=("k", RESULT))
        thread.start()
        thread.join()
        assert cache.get("k") == RESULT
        code = "from hrm_codegen.evaluator.cache import VerdictCache as C; print(C({!r}).get('k').verdict)"
        ran = subprocess.run([sys.executable, "-c", code.format(str(tmp_path / "c"))], capture_output=True, text=True)
        assert ran.stdout == "wrong_answer\n"


def test_the_key_is_all_that_a_verdict_depends_on():
    changes = {
        "code": "x", "test_list": ("y",), "test_setup_code": "z", "prelude": "p", "entry_point": "f", "timeout": 3.0,
        "all_tests": True,
    }  # fmt: skip
    assert set(changes) == {field.name for field in dataclasses.fields(Program)}
    keys = {cache_key(dataclasses.replace(PROGRAM, **{name: value}), SANDBOX) for name, value in changes.items()}
    keys |= {cache_key(PROGRAM, SANDBOX | change) for change in ({"tier": "B"}, {"version": 3}, {"python": "3.12.0"})}
    keys.add(cache_key(PROGRAM, SANDBOX))
    assert len(keys) == len(changes) + 4
    assert cache_key(dataclasses.replace(PROGRAM, timeout=2), SANDBOX) == cache_key(PROGRAM, SANDBOX)


@pytest.mark.parametrize("verdict", Verdict)
def test_only_verdicts_that_would_come_again_are_kept(tmp_path, verdict):
    kept = {"passed", "wrong_answer", "exception", "load_error", "protocol", "output_limit"}
    with VerdictCache(tmp_path) as cache:
        cache.put("k", ProgramResult(verdict=verdict))
        assert (cache.get("k") is not None) == (verdict in kept)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"verdict": "great"}', '{"verdict": "timeout_cpu"}', "{}"])
def test_an_entry_that_is_none_is_not_found(tmp_path, text):
    with VerdictCache(tmp_path) as cache:
        cache.put("k", RESULT)
        with sqlite3.connect(next(tmp_path.glob("*.sqlite3"))) as connection:
            connection.execute("UPDATE verdicts SET result = ?", (text,))
        assert cache.get("k") is None
        cache.put("k", RESULT)
        assert cache.get("k") == RESULT


def broken(tmp_path, caplog):
    """Uses the cache of a folder; returns the warnings."""
    with VerdictCache(tmp_path) as cache:
        cache.put("k", RESULT)
        assert cache.get("k") is None
        cache.put("k", RESULT)
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


def test_a_damaged_file_is_one_warning(tmp_path, caplog):
    with VerdictCache(tmp_path):
        pass
    path = next(tmp_path.glob("*.sqlite3"))
    path.write_bytes(b"no database, " * 1000)
    [warning] = broken(tmp_path, caplog)
    assert str(path) in warning
    assert "delete the file" in warning


def test_a_file_that_is_damaged_later_is_one_warning(tmp_path, caplog):
    with VerdictCache(tmp_path) as cache:
        cache.put("k", RESULT)
        with sqlite3.connect(next(tmp_path.glob("*.sqlite3"))) as connection:
            connection.execute("DROP TABLE verdicts")
        assert cache.get("k") is None
        assert cache.get("k") is None
    assert len(caplog.records) == 1


def test_no_place_for_a_folder_is_one_warning(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    [warning] = broken(tmp_path / "file" / "cache", caplog)
    assert "HRM_CODEGEN_CACHE" in warning


def test_a_file_that_another_process_locks_is_one_warning(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("hrm_codegen.evaluator.cache._PATIENCE", 0.05)
    with VerdictCache(tmp_path) as cache, sqlite3.connect(next(tmp_path.glob("*.sqlite3"))) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        cache.put("k", RESULT)
    assert "locked" in caplog.records[0].getMessage()


def test_a_python_without_sqlite_is_one_warning(tmp_path, caplog, monkeypatch):
    monkeypatch.setitem(sys.modules, "sqlite3", None)
    assert len(broken(tmp_path, caplog)) == 1


def test_many_processes_at_once(tmp_path):
    code = """if True:
        import sys
        from hrm_codegen.evaluator import ProgramResult, Verdict
        from hrm_codegen.evaluator.cache import VerdictCache
        with VerdictCache(sys.argv[1]) as cache:
            for i in range(100):
                cache.put(f"{sys.argv[2]}-{i}", ProgramResult(verdict=Verdict.PASSED))
    """
    running = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(n)], stderr=-1) for n in range(3)]
    assert [process.communicate()[1] for process in running] == [b""] * 3
    with VerdictCache(tmp_path) as cache:
        assert all(cache.get(f"{n}-{i}") for n in range(3) for i in range(100))


def test_the_default_place(monkeypatch, tmp_path):
    monkeypatch.setenv("HRM_CODEGEN_CACHE", str(tmp_path))
    assert default_cache() == tmp_path / "verdicts"
