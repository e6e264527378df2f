"""Data sets by name: built in, announced by other packages, broken, and unknown."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hrm_codegen.data.preparation import prepare
from hrm_codegen.data.registry import available, get_reader
from hrm_codegen.data.token_file import TokenFile
from hrm_codegen.errors import DatasetError, UsageError

TOYSET = """
from hrm_codegen.data import Problem

class Toyset:
    name = "toyset"
    description = "one problem"
    splits = ("train",)

    def load(self, *, source=None, size=1):
        problem = Problem(task_id="t", text="one", code="def one():\\n    return 1", test_list=("assert one() == 1",))
        return {"train": [problem] * size}

READER = Toyset()
NOT_A_READER = 3
"""


def install(folder: Path, *, name: str = "hrm-toys", entry_points: str, modules: dict[str, str]) -> None:
    """What `pip install` of a package with entry points leaves on sys.path."""
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nSummary: toys\n")
    (info / "entry_points.txt").write_text(f"[hrm_codegen.datasets]\n{entry_points}\n")
    for module, text in modules.items():
        (folder / f"{module}.py").write_text(text)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)
    yield folder
    for module in set(sys.modules) - before:
        if module.startswith("toys_"):
            del sys.modules[module]


def test_a_plug_in_is_listed_without_being_imported_and_prepares(site: Path, tmp_path: Path) -> None:
    install(site, entry_points="toyset = toys_good:READER", modules={"toys_good": TOYSET})
    (info,) = [info for info in available() if info.name == "toyset"]
    assert (info.description, info.distribution, info.splits) == ("toys", "hrm-toys", ())
    assert "toys_good" not in sys.modules
    (report,) = prepare("toyset", out=tmp_path / "d", tokenizer="byte", size=3)
    assert report.path == tmp_path / "d" / "train.bin"
    assert len(TokenFile(report.path)) == 3


def test_an_option_that_the_reader_does_not_take(site: Path, tmp_path: Path) -> None:
    install(site, entry_points="toyset = toys_opt:READER", modules={"toys_opt": TOYSET})
    with pytest.raises(UsageError, match=r'data set "toyset": .*level'):
        prepare("toyset", out=tmp_path, level=3)


@pytest.mark.parametrize(
    ("value", "modules", "message"),
    [
        ("toys_gone:READER", {}, "cannot be imported .*ModuleNotFoundError: No module named 'toys_gone'"),
        ("toys_bad:READER", {"toys_bad": "1 / 0"}, "cannot be imported .*ZeroDivisionError"),
        ("toys_none:READER", {"toys_none": ""}, "cannot be imported .*AttributeError"),
        ("toys_int:NOT_A_READER", {"toys_int": TOYSET}, "is no reader: expected an object with name"),
        ("toys_class:Toyset", {"toys_class": TOYSET}, "is no reader"),
    ],
)
def test_a_broken_plug_in_is_listed_and_names_its_package(
    site: Path, value: str, modules: dict[str, str], message: str
) -> None:
    install(site, entry_points=f"broken = {value}", modules=modules)
    assert "broken" in [info.name for info in available()]
    with pytest.raises(DatasetError, match=f'"broken" of hrm-toys .*{message}'):
        get_reader("broken")


def test_a_plug_in_cannot_take_a_built_in_name(site: Path, caplog: pytest.LogCaptureFixture) -> None:
    install(site, entry_points="mbpp = toys_mbpp:READER", modules={"toys_mbpp": TOYSET})
    assert get_reader("mbpp").description.startswith("974")
    assert [info.distribution for info in available() if info.name == "mbpp"] == ["hrm-codegen"]
    assert '"mbpp" of hrm-toys is hidden' in caplog.text


def test_built_in_data_sets_need_no_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **_: ())
    assert [info.name for info in available()] == ["basics", "humaneval", "mbpp"]
    assert get_reader("humaneval").splits == ("test",)


@pytest.mark.parametrize("name", ["basics", "humaneval", "mbpp"])
def test_the_list_says_what_the_readers_say(name: str) -> None:
    (info,) = [info for info in available() if info.name == name]
    reader = get_reader(name)
    assert (reader.name, reader.description, reader.splits) == (info.name, info.description, info.splits)


def test_an_unknown_name() -> None:
    with pytest.raises(UsageError, match=r'unknown data set "mbp" — did you mean "mbpp"\? \(available: .*humaneval'):
        get_reader("mbp")


def test_listing_imports_nothing_heavy() -> None:
    program = (
        "import sys, hrm_codegen as hc; hc.data.available()\n"
        "print([m for m in ('jax', 'numpy', 'grain', 'tokenizers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_no_name_of_the_package_is_hidden_by_a_module() -> None:
    program = (
        "import hrm_codegen.data as d\n"
        "for name in d.__all__: getattr(d, name)\n"
        "import types; print([n for n in d.__all__ if isinstance(getattr(d, n), types.ModuleType)])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
