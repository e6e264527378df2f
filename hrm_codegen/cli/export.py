"""`hrm-codegen export`: a checkpoint in another format, tokenizer and configuration included.

One function a format, all of the same arguments; what a format means is in `interop`.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hrm_codegen.cli import options
from hrm_codegen.errors import UsageError

if TYPE_CHECKING:
    from hrm_codegen.interop import Bundle

_LOGGER = logging.getLogger("hrm_codegen.cli")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `export`."""
    parser.add_argument(
        "format",
        choices=tuple(FORMATS),
        help="; ".join(f"{name}: {format.summary}" for name, format in FORMATS.items()),
    )
    checkpoint = parser.add_argument("--ckpt", metavar="FILE", help="default: the newest local best.pt")
    options.complete(checkpoint, options.checkpoint_paths)
    parser.add_argument("-o", "--output", metavar="PATH", help="default: beside the checkpoint")
    parser.add_argument("--opset", type=options.positive_int, metavar="N", help="of onnx (18)")
    parser.add_argument("--report", metavar="FILE", help="report.json of an evaluation, for hf's model card")
    parser.add_argument("--license", default="apache-2.0", metavar="ID", help="of the weights, in hf's model card")
    parser.add_argument("--push-to", metavar="ORG/NAME", help="upload what was written to this repository of the Hub")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Writes the export, prints its path, and its URL if it was uploaded."""
    chosen = FORMATS[args.format]
    _refuse_others_options(args)
    if args.output is not None and Path(args.output).suffix != chosen.suffix and chosen.suffix:
        raise UsageError(f"export {args.format} writes a {chosen.suffix} file, not {args.output}")
    report = None if args.report is None else _read_report(args.report)
    from hrm_codegen import interop

    if args.push_to is not None:
        from hrm_codegen.interop.hub_upload import check_upload

        check_upload()  # before anything slow
    source = interop.find_bundle(args.ckpt)
    target = Path(args.output) if args.output is not None else _beside(source, chosen)
    if chosen.suffix and target.exists() and target.samefile(source):
        raise UsageError(f"{source} is a {chosen.suffix} file already; name another with -o")
    written = chosen.write(interop.normalize(interop.load_bundle(source)), target, args, report)
    _LOGGER.info("wrote %s (%.1f MB) from %s%s", target, _size(written.files) / 1e6, source, written.told)
    print(target)
    if args.push_to is not None:
        print(_push(written.files, args.push_to))
    return 0


class _Written(NamedTuple):
    files: tuple[Path, ...]  # or one folder
    told: str = ""


def _torch_or_safetensors(bundle: Bundle, target: Path, _: argparse.Namespace, __: Any) -> _Written:
    from hrm_codegen.interop import save_bundle

    save_bundle(target, bundle)
    return _Written((target,))


def _hf(bundle: Bundle, target: Path, args: argparse.Namespace, report: Mapping[str, Any] | None) -> _Written:
    from hrm_codegen.interop.hf_folder import write_folder

    write_folder(target, bundle, report=report, repo_id=args.push_to, license=args.license)
    return _Written((target,))


def _onnx(bundle: Bundle, target: Path, args: argparse.Namespace, _: Any) -> _Written:
    from hrm_codegen.interop.onnx_export import export_onnx

    report = export_onnx(bundle, target, **({} if args.opset is None else {"opset": args.opset}))
    told = (
        f", opset {report.opset}; onnxruntime is within {report.max_abs_diff:.1e} of the model, "
        f"with a cache ({report.with_past_path.name}) within {report.cached_max_abs_diff:.1e}"
    )
    return _Written((report.path, report.with_past_path, *report.data_paths), told)


def _stablehlo(bundle: Bundle, target: Path, _: argparse.Namespace, __: Any) -> _Written:
    from hrm_codegen.interop.stablehlo import export_stablehlo

    report = export_stablehlo(bundle, target)
    return _Written((target,), f" for {', '.join(report.platforms)}; within {report.max_abs_diff:.1e} of the model")


class _Format(NamedTuple):
    summary: str
    suffix: str
    write: Callable[[Bundle, Path, argparse.Namespace, Mapping[str, Any] | None], _Written]


FORMATS = {
    "hf": _Format("a folder for Transformers, vLLM, llama.cpp", "", _hf),
    "torch": _Format(".pt, loads with weights_only=True", ".pt", _torch_or_safetensors),
    "safetensors": _Format("one .safetensors", ".safetensors", _torch_or_safetensors),
    "onnx": _Format(".onnx, plain and with a cache", ".onnx", _onnx),
    "stablehlo": _Format("jax.export's .stablehlo", ".stablehlo", _stablehlo),
}


def _refuse_others_options(args: argparse.Namespace) -> None:
    if args.opset is not None and args.format != "onnx":
        raise UsageError(f"--opset is of export onnx, not {args.format}")
    if args.report is not None and args.format != "hf":
        raise UsageError(f"--report is for the model card of export hf, {args.format} has none")


def _beside(source: Path, chosen: _Format) -> Path:
    """A file beside the checkpoint, or a folder with -hf in its name; in the working directory if it was downloaded."""
    if source.parent.parent.name == "snapshots":
        source = Path(source.parent.parent.parent.name.rpartition("--")[2]).with_suffix(".pt")
    return source.with_suffix(chosen.suffix) if chosen.suffix else source.with_name(f"{source.stem}-hf")


def _read_report(path: str) -> dict[str, Any]:
    try:
        report = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"--report: cannot read {path}: {error}") from error
    if not isinstance(report, dict) or "metrics" not in report:
        raise UsageError(f'--report: {path} is not the report.json of an evaluation: it has no "metrics"')
    return report


def _size(paths: tuple[Path, ...]) -> int:
    inside = (file for path in paths for file in ([path] if path.is_file() else path.iterdir()))
    return sum(file.stat().st_size for file in inside)


def _push(files: tuple[Path, ...], repo_id: str) -> str:
    from hrm_codegen.interop.hub_upload import upload, upload_file

    return [upload(path, repo_id) if path.is_dir() else upload_file(path, repo_id) for path in files][-1]
