"""What `train_dataset=` and `eval_dataset=` may be, turned into token files that fit the tokenizer.

A path of a token file, a path of raw problems (JSON, JSONL), rows in memory, or nothing, which means the path in the
configuration. Raw problems are tokenized into a temporary token file, so that training sees one format only.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hrm_codegen.config import Config
from hrm_codegen.data import Problem, TokenFile, Tokenizer, encode_example, load_problems, write_token_file
from hrm_codegen.errors import ConfigError, DatasetError

Source = str | os.PathLike[str] | Iterable[Mapping[str, Any] | Problem] | TokenFile
_RAW = (".json", ".jsonl", ".gz")


def find_tokenizer(source: Source | None, config: Config) -> Tokenizer:
    """Returns the tokenizer that a new model needs: the token file's own, else the configured one.

    Args:
      source: `train_dataset` as the user gave it.
      config: `data.train` and `data.tokenizer` are read.

    Raises:
      DatasetError: There is no training data, or no such tokenizer.
    """
    source = _require(source, config)
    if isinstance(source, str | os.PathLike) and not _is_raw(source):
        source = _open(Path(source))
    known = source.tokenizer if isinstance(source, TokenFile) else None
    return known or Tokenizer.load(config.data.tokenizer)


def open_train(source: Source | None, config: Config, tokenizer: Tokenizer, workdir: Path) -> TokenFile:
    """Returns the training data as a token file.

    Args:
      source: What the user gave; None: `data.train`.
      config: Its data section is read, and `model.vocab_size` is checked.
      tokenizer: Of the model.
      workdir: Where raw problems are tokenized to; has to live as long as the token file is used.

    Raises:
      ConfigError: The vocabulary of the model is smaller than the tokenizer's.
      DatasetError: Missing or malformed data, or data of another tokenizer or prompt protocol.
    """
    if config.model.vocab_size < tokenizer.vocab_size:
        raise ConfigError(
            f"model.vocab_size {config.model.vocab_size} is smaller than the tokenizer's {tokenizer.vocab_size} "
            f"tokens: set model.vocab_size={tokenizer.vocab_size}"
        )
    return _token_file(_require(source, config), config, tokenizer, workdir / "train.bin")


def open_eval(source: Source | None, config: Config, tokenizer: Tokenizer, workdir: Path) -> TokenFile | None:
    """Returns the validation data as a token file, or None if neither the user nor `data.eval` names any."""
    source = config.data.eval if source is None else source
    return None if source is None else _token_file(source, config, tokenizer, workdir / "eval.bin")


def _require(source: Source | None, config: Config) -> Source:
    source = config.data.train if source is None else source
    if source is None:
        raise DatasetError(
            "no training data: give --data FILE (train_dataset=) or set data.train; "
            "`hrm-codegen data mbpp` makes data/mbpp/train.bin"
        )
    return source


def _token_file(source: Source, config: Config, tokenizer: Tokenizer, target: Path) -> TokenFile:
    if isinstance(source, TokenFile):
        return _fitting(source, config, tokenizer)
    if isinstance(source, str | os.PathLike) and not _is_raw(source):
        return _fitting(_open(Path(source)), config, tokenizer)
    num_tests, condition = config.data.prompt_tests, config.data.condition
    problems = load_problems(source, require_code=True)
    write_token_file(
        target,
        (encode_example(tokenizer, problem, num_tests=num_tests, condition=condition) for problem in problems),
        tokenizer=tokenizer,
        metadata={"prompt_tests": str(num_tests), "condition": condition},
    )
    return TokenFile(target)


def _open(path: Path) -> TokenFile:
    if not path.exists():
        raise DatasetError(f'no file "{path}": make it with `{_command(path)}`')
    return TokenFile(path)


def _fitting(file: TokenFile, config: Config, tokenizer: Tokenizer) -> TokenFile:
    """Returns `file` if its tokens mean to the model what they meant to their writer."""
    if file.tokenizer is not None and file.tokenizer.sha256 != tokenizer.sha256:
        raise DatasetError(
            f"{file.path} was made with another tokenizer ({file.tokenizer.sha256[:12]}, the model has "
            f"{tokenizer.sha256[:12]}): pass the raw problems instead, they are tokenized on the fly"
        )
    written = file.metadata.get("prompt_tests")
    if written is not None and written != str(config.data.prompt_tests):
        raise DatasetError(
            f"{file.path} shows {written} tests in its prompts, data.prompt_tests is {config.data.prompt_tests}: set "
            f"data.prompt_tests={written}, or make the file again with --prompt-tests {config.data.prompt_tests}"
        )
    begins = file.metadata.get("condition", config.data.condition if file.is_stream else "")
    if begins != config.data.condition:
        raise DatasetError(
            f"the prompts of {file.path} begin with the condition {begins!r}, data.condition is "
            f"{config.data.condition!r}: set data.condition={begins}, or make the file again with --condition"
        )
    sample = file.tokens[: 1 << 20]  # the file may be larger than memory
    if file.is_stream and int(sample.max(initial=0)) >= config.model.vocab_size:
        raise DatasetError(
            f"{file.path} has token {sample.max()}, model.vocab_size is {config.model.vocab_size}: "
            "is it a stream of another tokenizer?"
        )
    return file


def _is_raw(source: str | os.PathLike[str]) -> bool:
    return Path(source).suffix in _RAW


def _command(path: Path) -> str:
    """Guesses the command that makes a missing file: `data/mbpp/train.bin` is a split of a known data set."""
    from hrm_codegen.data import available

    if path.suffix == ".bin" and path.parent.name in {info.name for info in available()}:
        return f"hrm-codegen data {path.parent.name} --split {path.stem}"
    return f"hrm-codegen data convert PROBLEMS.json {path}"
