"""Byte-level BPE for prompts and Python, on the `tokenizers` library.

Every text round-trips: there is no normaliser, every byte has a token, and text that spells a special token stays
text. Digits are split, a newline and the indentation after it are kept together. Not tied to one vocabulary: any
`tokenizer.json` with our (or HRM-Text's) special tokens loads.
"""

from __future__ import annotations

import hashlib
import importlib.resources
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import SupportsInt

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from hrm_codegen.config.files import atomic_write
from hrm_codegen.errors import ConfigError, DatasetError

PAD, BOQ, EOQ, EOA = "<|pad|>", "<|boq|>", "<|eoq|>", "<|eoa|>"
# The last four are HRM-Text's conditions; a prompt may begin with them.
CONDITIONS = ("direct", "cot", "synth", "noisy")
SPECIAL_TOKENS = (PAD, BOQ, EOQ, EOA, *(f"<|{name}|>" for name in CONDITIONS))
MIN_VOCAB_SIZE = len(SPECIAL_TOKENS) + 256

# What sapientinc/HRM-Text calls them.
_HRM_TEXT_NAMES = {
    PAD: "<|endoftext|>",
    BOQ: "<|im_start|>",
    EOQ: "<|im_end|>",
    EOA: "<|box_end|>",
    "<|direct|>": "<|object_ref_start|>",
    "<|cot|>": "<|object_ref_end|>",
    "<|synth|>": "<|quad_end|>",
    "<|noisy|>": "<|quad_start|>",
}

# Pieces that merges never cross. In this order: newlines with the indentation after them; a word with the blank or
# underscore before it; a digit; underscores; punctuation with the blank before it, and the blank after it if a digit
# follows (digits take none, so that a digit is one token wherever it stands); other blanks.
_PIECES = (
    r"\n+[ ]*"
    r"|[ _]?\p{L}+"
    r"|\p{N}"
    r"|_+(?!\p{L})"
    r"|[ ]?[^\s\p{L}\p{N}_]+(?:[ ](?=\p{N}))?"
    r"|[ ]+"
    r"|[^\S\n ]+"
)


class Tokenizer:
    """Text to ids and back.

    Attributes:
      sha256: Hash of the canonical JSON; equal for equal tokenizers.
      vocab_size: V, special tokens included.
      pad_id, boq_id, eoq_id, eoa_id: Ids of padding, begin and end of the question, end of the answer.
    """

    def __init__(self, backend: tokenizers.Tokenizer, *, json_text: str | None = None) -> None:
        """Wraps a `tokenizers.Tokenizer`; `json_text` is its JSON where that is known, else it is asked for."""
        self._backend = backend
        backend.encode_special_tokens = True
        # The JSON as it came: another version of the library may spell the same tokenizer with more fields, and the
        # hash has to stay.
        self._json = _canonical(json_text or backend.to_str())
        self.sha256 = hashlib.sha256(self._json.encode()).hexdigest()
        self.vocab_size = int(backend.get_vocab_size(with_added_tokens=True))
        self.boq_id, self.eoq_id, self.eoa_id = (self._special(name) for name in (BOQ, EOQ, EOA))
        pad_id = self._find_special(PAD)  # nothing ever reads padding, so a tokenizer may come without
        self.pad_id = self.eoa_id if pad_id is None else pad_id

    @classmethod
    def load(cls, name: str | os.PathLike[str]) -> Tokenizer:
        """Loads `default` (bundled, V = 1024), `byte` (no merges, V = 264) or a `tokenizer.json` by path.

        Raises:
          DatasetError: No such file, or no tokenizer in it.
        """
        if name == "byte":
            return cls(_untrained())
        if name == "default":
            resource = importlib.resources.files("hrm_codegen.data").joinpath("default_tokenizer.json")
            return cls.from_json(resource.read_text(encoding="utf-8"))
        path = Path(name)
        path = path / "tokenizer.json" if path.is_dir() else path
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DatasetError(f'no tokenizer at {path}: {error}; use "default", "byte" or a tokenizer.json') from error
        try:
            return cls.from_json(text)
        except DatasetError as error:
            raise DatasetError(f"{error} ({path})") from error

    @classmethod
    def from_json(cls, text: str) -> Tokenizer:
        """Makes a tokenizer of what `to_json` returned.

        Raises:
          DatasetError: Not a tokenizer, or one without our special tokens.
        """
        try:
            backend = tokenizers.Tokenizer.from_str(text)
        except Exception as error:  # the library raises a bare Exception
            raise DatasetError(f"not a tokenizer.json: {error}") from error
        return cls(backend, json_text=text)

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int) -> Tokenizer:
        """Learns merges from texts; the same texts give the same tokenizer.

        Args:
          texts: The corpus.
          vocab_size: V, at least `MIN_VOCAB_SIZE`. Fewer entries come out if the corpus has too few repeated pairs.

        Raises:
          ConfigError: `vocab_size` is too small.
        """
        if vocab_size < MIN_VOCAB_SIZE:
            raise ConfigError(
                f"vocab_size {vocab_size} is too small: {len(SPECIAL_TOKENS)} special tokens and 256 bytes need "
                f"{MIN_VOCAB_SIZE}"
            )
        backend = _untrained()
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size,
            min_frequency=2,
            special_tokens=list(SPECIAL_TOKENS),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        backend.train_from_iterator(texts, trainer)
        return cls(backend)

    def to_json(self) -> str:
        """Returns the whole tokenizer as `tokenizer.json` text, in canonical form."""
        return self._json

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes `to_json()`."""
        with atomic_write(path) as file:
            file.write(self._json)

    def encode(self, text: str) -> list[int]:
        """Returns the ids of a text, none of them special.

        Raises:
          DatasetError: Half of a surrogate pair, which no UTF-8 text can hold.
        """
        try:
            return list(self._backend.encode(text, add_special_tokens=False).ids)
        except TypeError as error:
            raise DatasetError(f"text cannot be encoded as UTF-8: {text[:40]!r}") from error

    def decode(self, ids: Iterable[SupportsInt], *, keep_special: bool = False) -> str:
        """Returns the text of ids; special tokens are dropped (or spelled), and ids past the vocabulary are dropped.

        Bytes that are not UTF-8 become U+FFFD.
        """
        known = [int(i) for i in ids if int(i) < self.vocab_size]
        return str(self._backend.decode(known, skip_special_tokens=not keep_special))

    def condition_ids(self, condition: str) -> list[int]:
        """Returns the tokens of HRM-Text's conditions (arXiv 2605.20613): what kind of answer a prompt asks for.

        Args:
          condition: Names with commas, as in `synth,cot`; empty: none.

        Raises:
          ConfigError: A name that is no condition, or that the tokenizer has no token for.
        """
        ids = []
        for name in filter(None, (name.strip() for name in condition.split(","))):
            token_id = self._find_special(f"<|{name}|>") if name in CONDITIONS else None
            if token_id is None:
                known = [known for known in CONDITIONS if self._find_special(f"<|{known}|>") is not None]
                raise ConfigError(f"no condition {name!r}: this tokenizer has {', '.join(known) or 'none'}")
            ids.append(token_id)
        return ids

    @property
    def is_hrm_text(self) -> bool:
        """Whether the special tokens have the names that HRM-Text's own checkpoints give them."""
        return self.spell(self.boq_id) == _HRM_TEXT_NAMES[BOQ]

    def spell(self, token_id: int) -> str:
        """Returns a token as the vocabulary has it, for a special token its name."""
        return str(self._backend.id_to_token(token_id))

    def _special(self, name: str) -> int:
        token_id = self._find_special(name)
        if token_id is None:
            raise DatasetError(f'the tokenizer has no special token "{name}" (nor "{_HRM_TEXT_NAMES[name]}")')
        return token_id

    def _find_special(self, name: str) -> int | None:
        found = (self._backend.token_to_id(spelling) for spelling in (name, _HRM_TEXT_NAMES[name]))
        return next((int(token_id) for token_id in found if token_id is not None), None)


def _untrained() -> tokenizers.Tokenizer:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {token: index for index, token in enumerate([*SPECIAL_TOKENS, *alphabet])}
    backend = tokenizers.Tokenizer(models.BPE(vocab=vocab, merges=[]))
    backend.add_special_tokens(list(SPECIAL_TOKENS))
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(tokenizers.Regex(_PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    return backend


def _canonical(text: str) -> str:
    tree = json.loads(text)
    tree["post_processor"] = None  # adds special tokens for programs that want them; `encode` never does
    return json.dumps(tree, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
