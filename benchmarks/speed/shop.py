"""Files that several contenders need, made when first asked for and kept for the run: exported models, documents.

Each is written by a worker that then ends, so that this process never imports a framework.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.speed.process import ROOT, Worker

_MBPP = ROOT.parent / "shared" / "data" / "mbpp_without_test.jsonl"
_TIMEOUT = 900.0


class Shop:
    """Makes files in a folder.

    Args:
      folder: Where; the caller removes it.

    Attributes:
      source: What the documents are, when there are some.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.source = ""

    def model(self, size: str) -> str:
        """Returns a folder that Transformers loads, with the weights of our contenders."""
        path = self._folder / size
        if not path.exists():
            self._make("export", path, size=size)
        return str(path)

    def onnx(self, size: str) -> str:
        """Returns an ONNX graph with past."""
        path = self._folder / f"{size}.onnx"
        with_past = path.with_name(f"{size}_with_past.onnx")
        if not with_past.exists():
            self._make("export_onnx", path, size=size)
        return str(with_past)

    def documents(self, count: int) -> str:
        """Returns a token file of real problems: MBPP, where it can be had, and basics."""
        path = self._folder / f"documents_{count}.bin"
        if not path.exists():
            mbpp = str(_MBPP) if _MBPP.exists() else None
            self.source = self._make("write_documents", path, count=count, mbpp=mbpp)
        return str(path)

    def scratch(self, name: str) -> Path:
        """Returns a path in the folder; nothing is made."""
        return self._folder / name

    def _make(self, method: str, path: Path, **options: Any) -> Any:
        worker = Worker("benchmarks.speed.engines.exporter:Exporter")
        try:
            return worker.call(method, _TIMEOUT, path=str(path), **options)
        finally:
            worker.close()
