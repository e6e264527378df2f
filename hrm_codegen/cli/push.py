"""`hrm-codegen push`: a model, a folder or a file to the Hugging Face Hub. A checkpoint is exported first."""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
from pathlib import Path
from typing import Any

from hrm_codegen.cli import options
from hrm_codegen.errors import UsageError

FOREIGN = (".onnx", ".gguf")  # sent as they are
_LOGGER = logging.getLogger("hrm_codegen.cli")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `push`."""
    path = parser.add_argument(
        "path", metavar="PATH", help="a folder of `export hf`, an .onnx or .gguf file, or a checkpoint (exported first)"
    )
    options.complete(path, options.checkpoint_paths)
    parser.add_argument("repo_id", metavar="REPO_ID", help="org/name; made if it is missing")
    parser.add_argument("--private", action="store_true", default=None, help="make a new repository private")
    parser.add_argument("--revision", metavar="BRANCH", help="made if it is missing (default: main)")
    parser.add_argument("--message", metavar="TEXT", help="of the commit")
    parser.add_argument("--create-pr", action="store_true", help="open a pull request instead")
    parser.add_argument("--report", metavar="FILE", help="report.json of an evaluation, for a checkpoint's model card")
    parser.add_argument("--license", metavar="L", help="of a checkpoint's weights (default: apache-2.0)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Uploads and prints the URL."""
    from hrm_codegen.interop import hub

    hub.check_upload(revision=args.revision, create_pr=args.create_pr)
    where: dict[str, Any] = {
        "private": args.private,
        "revision": args.revision,
        "create_pr": args.create_pr,
        "commit_message": args.message,
    }
    path = Path(args.path).expanduser()
    as_it_is = path.is_dir() and _is_ready(path)
    foreign = path.suffix in FOREIGN
    if (as_it_is or foreign) and (args.report or args.license):
        raise UsageError(f"--report and --license are for a checkpoint's model card; {path} is uploaded as it is")
    if foreign:
        url = hub.upload_file(path, args.repo_id, **where)
    elif as_it_is:
        url = hub.upload(path, args.repo_id, **where)
    else:
        url = _push_checkpoint(args, where)
    print(url)
    return 0


def _push_checkpoint(args: argparse.Namespace, where: dict[str, Any]) -> str:
    from hrm_codegen.interop import find_bundle, hub, load_bundle
    from hrm_codegen.interop.hf_folder import write_folder

    report = None if args.report is None else _read_report(Path(args.report))
    source = find_bundle(args.path)
    with tempfile.TemporaryDirectory(prefix="hrm-codegen-push-") as made:
        folder = Path(made) / "model"
        write_folder(
            folder,
            load_bundle(source),
            report=report,
            repo_id=args.repo_id,
            license=args.license or "apache-2.0",
            allow_native=True,
        )
        _LOGGER.info("exported %s: %s", source, ", ".join(sorted(path.name for path in folder.iterdir())))
        return hub.upload(folder, args.repo_id, **where)


def _is_ready(folder: Path) -> bool:
    """Says whether a folder is one to upload as it is; a run of the trainer has optimizer states and is not."""
    return (folder / "config.json").is_file() or any(path.suffix in FOREIGN for path in folder.iterdir())


def _read_report(path: Path) -> dict[str, Any]:
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"--report {path} cannot be read: {error}") from error
    metrics = report.get("metrics") if isinstance(report, dict) else None
    if not isinstance(metrics, dict) or not any(name.startswith("pass@") for name in metrics):
        raise UsageError(f"--report {path} is no report of `hrm-codegen eval`: it has no metric pass@k")
    return report
