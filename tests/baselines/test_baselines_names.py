"""What needs no torch: names, extras, what is imported, prompts and where programs end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hrm_codegen import baselines, jobs
from hrm_codegen.baselines import Source, check_baseline, check_model, find_source, is_baseline
from hrm_codegen.baselines.protocols import chat_message, completion_prompt
from hrm_codegen.baselines.stops import end_of_block, end_of_program
from hrm_codegen.cli import main
from hrm_codegen.errors import CheckpointError, MissingExtraError, ModelNotFoundError, UsageError

MBPP = "Write a function to add two numbers.\nassert add(1, 2) == 3"
STUB = 'import math\n\n\ndef area(r):\n    """Area of a circle.\n    >>> area(0)\n    0.0\n    """'
FIRST = "def add(a, b):\n    return a + b\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def without(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Makes modules look as if they were not installed; all others that baselines need look installed."""
    found = {"torch", "transformers", "gguf", "accelerate"} - set(names)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object() if name in found else None)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (None, False),
        ("hf:gpt2", True),
        ("m.gguf", True),
        (Path("a/m.gguf"), True),
        ("best.pt", False),
        ("org/name", False),
        ("checkpoints/run", False),
    ],
)
def test_a_prefix_or_a_suffix_makes_a_baseline(name: str | None, expected: bool) -> None:
    assert is_baseline(name) is expected


def test_local_paths_come_before_repositories(here: Path) -> None:
    assert find_source("hf:gpt2") == Source(place="gpt2", is_local=False)
    Path("gpt2").mkdir()
    Path("gpt2/config.json").write_text("{}")
    assert find_source("hf:gpt2") == Source(place=str(here / "gpt2"), is_local=True)
    Path("llama.gguf").touch()
    expected = Source(place=str(here), gguf_file="llama.gguf", is_local=True)
    assert find_source("hf:llama.gguf") == find_source("llama.gguf") == expected
    assert (expected.title, expected.path) == ("llama", str(here / "llama.gguf"))


def test_names_of_repositories() -> None:
    assert find_source("hf:org/name") == Source(place="org/name", is_local=False)
    pinned = find_source("hf:org/name@refs/pr/1")
    assert (pinned.place, pinned.revision, pinned.path) == ("org/name", "refs/pr/1", "hf:org/name")
    assert find_source("hf:org/name/q4.gguf@v1") == Source(
        place="org/name", gguf_file="q4.gguf", revision="v1", is_local=False
    )


def test_a_folder_with_one_gguf_file_is_that_file(here: Path) -> None:
    Path("model").mkdir()
    with pytest.raises(ModelNotFoundError, match="it contains nothing"):
        find_source("hf:model")
    Path("model/a.gguf").touch()
    assert find_source("hf:model").gguf_file == "a.gguf"
    Path("model/b.gguf").touch()
    with pytest.raises(ModelNotFoundError, match=r"several models, name one: a\.gguf, b\.gguf"):
        find_source("hf:model")


@pytest.mark.parametrize(
    "name", ["hf:./gpt2", "hf:a/b/c", "missing.gguf", "hf:a/missing.gguf", "hf:/no/where", "hf:~/no", "hf:a b"]
)
def test_a_path_that_is_not_there(name: str) -> None:
    with pytest.raises(ModelNotFoundError, match="not found: tried /"):
        check_model(name)


def test_a_checkpoint_of_ours_is_named_without_the_prefix() -> None:
    Path("best.pt").touch()
    with pytest.raises(CheckpointError, match="is named without hf:"):
        find_source("hf:best.pt")
    with pytest.raises(UsageError, match="needs a name"):
        find_source("hf:")
    check_model("best.pt")


def test_a_missing_extra_is_told_with_its_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("m.gguf").touch()
    without(monkeypatch, "gguf")
    assert check_baseline("hf:gpt2").place == "gpt2"
    with pytest.raises(MissingExtraError, match=r"need gguf: pip install \"hrm-codegen\[hf\]\"") as caught:
        check_baseline("m.gguf")
    assert caught.value.exit_code == 3
    without(monkeypatch, "torch", "transformers")
    with pytest.raises(MissingExtraError, match="torch and transformers"):
        jobs.load_model("hf:gpt2")


@pytest.mark.parametrize(
    "words", [["eval", "--data", "basics"], ["gen", "--prompt", "Add."], ["benchmark", "gen"], ["eval", "--k", "1"]]
)
def test_every_command_says_so_without_a_traceback(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without(monkeypatch, "transformers")
    assert main([*words, "--ckpt", "hf:gpt2"]) == 3
    told = capsys.readouterr()
    assert "MissingExtraError" in told.err
    assert "Traceback" not in told.err
    assert told.out == ""


def test_importing_the_package_imports_no_framework() -> None:
    code = (
        "import sys, hrm_codegen.baselines.names as names; names.is_baseline('hf:gpt2'); names.find_source('hf:gpt2');"
        "print([name for name in ('torch', 'transformers', 'jax', 'numpy') if name in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"
    code = (
        "import sys, hrm_codegen.baselines as b; [getattr(b, name) for name in b.__all__];"
        "print([name for name in ('torch', 'transformers') if name in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        baselines.nothing  # noqa: B018


def test_a_chat_message_has_description_and_tests() -> None:
    message = chat_message(f"{MBPP}\nassert add(0, 0) == 0")
    assert "your task: Write a function to add two numbers.\n" in message
    assert "pass these tests:\n\nassert add(1, 2) == 3\nassert add(0, 0) == 0\n" in message
    assert "pass this test:" in chat_message(MBPP)
    assert "test" not in chat_message("Add two numbers.")
    assert f"```python\n{STUB}\n```" in chat_message(STUB)


def test_a_completion_prompt_is_a_docstring() -> None:
    text, opening, end = completion_prompt(MBPP)
    assert text == f'"""\n{MBPP}\n"""\n'
    assert opening == ""
    assert end(f"{FIRST}def more(): pass\n") == len(FIRST)
    assert completion_prompt('Say """ thrice.')[0].count('"""') == 2


def test_a_stub_is_continued_and_part_of_the_answer() -> None:
    text, opening, end = completion_prompt(STUB)
    assert text == opening == f"{STUB}\n"
    body = "    return math.pi * r * r\n"
    assert end(body) is None
    assert end(f"{body}\nd") == len(body) + 1


def test_a_block_ends_at_its_fence() -> None:
    assert end_of_block("x = 1\n") is None
    assert end_of_block("x = '```'\n") is None
    assert end_of_block("x = 1\n```\nThis is x.") == 6
    assert end_of_block("```") == 0


def test_a_block_ends_before_its_demonstration() -> None:
    helper = "\n\ndef helper(x):\n    return x\n\n"
    assert end_of_block(f"{FIRST}{helper}print(add(1, 2))\n```\n") == len(FIRST + helper)
    assert end_of_block(f"{FIRST}{helper}pri") is None
    assert end_of_block(f"{FIRST}{helper}print(1)```") is None
    assert end_of_block(f"{FIRST}numbers = [1]\nassert add(1, 2)\n") == len(f"{FIRST}numbers = [1]\n")
    assert end_of_block(f"{FIRST}```\nprint(1)\n") == len(FIRST)
    assert end_of_block("try:\n    import numpy\nexcept ImportError:\n    pass\n") is None


@pytest.mark.parametrize(
    ("kept", "rest"),
    [
        (FIRST, "print(add(1, 2))\n"),
        (FIRST, "def sub(a, b):\n"),
        (FIRST, '"""\nAnother exercise.\n'),
        (f"import os\n\n{FIRST}\n\n", "x"),
        (f"# Adds.\nLIMIT = 3\n{FIRST}", "#"),
        (f"def helper(x):\n    return x\n\n# then\nLIMIT: int = 3\n\n@cache\n{FIRST}", "assert"),
        ("def add(\n    a,\n    b,\n) -> int:\n    return a + b\n", "```\n"),
        ("def other(a):\n    return a\n", "assert other(1) == 1\n"),
        ("def other(a):\n    return a\n", "if __name__ == '__main__':\n"),
        ("def other(a):\n    return a\n", "x == 1\n"),
        ("", "```\n"),
    ],
)
def test_a_program_ends_at_the_first_line_that_is_none_of_its_own(kept: str, rest: str) -> None:
    assert end_of_program(kept, {"add"}) is None
    assert end_of_program(kept + rest, {"add"}) == len(kept)
    cut = end_of_program(f"{kept}{rest}more\n", {"add"})
    assert cut == len(kept)


def test_a_line_that_is_not_complete_is_not_judged_yet() -> None:
    other = "def other(a):\n    return a\n"
    assert end_of_program(f"{other}de", {"add"}) is None
    assert end_of_program(f"{other}def add(a, b): return a + b\n", {"add"}) is None
    assert end_of_program("pri", {"add"}) is None
