"""How a pretrained model is asked for a program, and what of its text is the answer.

A prompt is what `data.render_prompt` gives: a description, then the shown asserts, a line each; or the stub of a
function (HumanEval). Three protocols, chosen by what the model is, and named in reports:

* `chat`, if the tokenizer has a chat template: one user message with the wording of the MBPP paper (arXiv 2108.07732)
  that asks for a ```python block, whose opening the answer is given. It ends at the closing fence, or where a
  demonstration begins (prints, asserts), as in EvalPlus.
* `completion`, if it has none (GPT-2): description and asserts as a module's docstring, after which the model writes
  the module, as in InCoder and the BigCode harness. A stub stands as it is, and is part of the answer. It ends where
  `stops.end_of_program` says.
* `hrm_text`, for models of that type, which our own export writes: as in training, `[boq] conditions, prompt [eoq]`,
  answer up to eoa.

Not an optimised prompt: no examples are shown and nothing was searched for.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

from hrm_codegen.baselines.stops import end_of_block, end_of_program
from hrm_codegen.data import Tokenizer, decode_answer, encode_prompt
from hrm_codegen.errors import CheckpointError

_BLOCK = "```python\n"
_STUB = re.compile(r"^(?:async[ \t]+)?def[ \t]+\w+[ \t]*\(", re.MULTILINE)
_CALLED = re.compile(r"\b([^\W\d]\w*)\(")


def _never(text: str) -> int | None:
    return None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Question:
    """A prompt as one model sees it.

    Attributes:
      tokens: Its ids, special ones included.
      opening: What of the prompt belongs to the answer.
      end: Where the answer ends in the text written so far; None: it goes on.
    """

    tokens: list[int]
    opening: str = ""
    end: Callable[[str], int | None] = _never

    def answer(self, text: str) -> str:
        """Returns the answer in all that was written."""
        end = self.end(f"{text}\n")  # its last line is as long as it gets
        return self.opening + (text if end is None else text[:end])


@runtime_checkable
class PromptProtocol(Protocol):
    """What `decoding.py` and `BaselineModel` need to know.

    Attributes:
      name: For reports.
      end_ids: Tokens that end an answer.
      pad_id: Fills rows up.
      marks_prompt: Whether the model is told which tokens are the prompt (`token_type_ids`).
    """

    name: str
    end_ids: tuple[int, ...]
    pad_id: int
    marks_prompt: bool

    def ask(self, prompt: str) -> Question:
        """Returns the model's view of a prompt."""

    def decode(self, tokens: Sequence[int], after: int) -> str:
        """Returns the text of an answer's tokens, which follow the token `after`."""


class TextProtocol:
    """`chat` or `completion`, with a tokenizer of Transformers."""

    marks_prompt = False

    def __init__(self, tokenizer: Any, end_ids: Sequence[int]) -> None:
        """`end_ids` are the model's own; the tokenizer's eos is added."""
        self._tokenizer = tokenizer
        self.name = "chat" if tokenizer.chat_template else "completion"
        eos = [] if tokenizer.eos_token_id is None else [int(tokenizer.eos_token_id)]
        self.end_ids = tuple(dict.fromkeys([*end_ids, *eos]))
        pads = [] if tokenizer.pad_token_id is None else [int(tokenizer.pad_token_id)]
        self.pad_id = [*self.end_ids, *pads, 0][0]  # an end first: what follows an answer must be none of it

    def ask(self, prompt: str) -> Question:
        """Returns the question; see the module's docstring."""
        if self.name == "chat":
            return Question(tokens=self._encode(self._chat(chat_message(prompt)), special=False), end=end_of_block)
        text, opening, end = completion_prompt(prompt)
        return Question(tokens=self._encode(text, special=True), opening=opening, end=end)

    def decode(self, tokens: Sequence[int], after: int) -> str:
        """Decodes together with the token before, since some tokenizers drop a blank at a text's beginning."""
        before = self._decode([after])
        return self._decode([after, *tokens]).removeprefix(before)

    def _decode(self, tokens: list[int]) -> str:
        text = self._tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return str(text)

    def _encode(self, text: str, *, special: bool) -> list[int]:
        ids = self._tokenizer(text, add_special_tokens=special, verbose=False)["input_ids"]
        if special and ids and ids[-1] in self.end_ids:  # a tokenizer that ends every text would end the answer
            ids = ids[:-1]
        return [int(token) for token in ids]

    def _chat(self, message: str) -> str:
        messages = [{"role": "user", "content": message}]
        try:
            text = self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        except Exception as error:  # whatever a template raises
            raise CheckpointError(f"the tokenizer's chat template fails: {error}") from error
        return f"{text}{_BLOCK}"


class HrmTextProtocol:
    """`hrm_text`, with our tokenizer."""

    name = "hrm_text"

    def __init__(self, tokenizer: Tokenizer, *, prefix_lm: bool, condition: str = "") -> None:
        """`condition` is that of `DataConfig`."""
        self._tokenizer, self._condition = tokenizer, condition
        self.end_ids: tuple[int, ...] = (tokenizer.eoa_id,)
        self.pad_id = tokenizer.pad_id
        self.marks_prompt = prefix_lm

    def ask(self, prompt: str) -> Question:
        """Returns the prompt as in training."""
        return Question(tokens=encode_prompt(self._tokenizer, prompt, condition=self._condition))

    def decode(self, tokens: Sequence[int], after: int) -> str:
        """Returns the text; nothing depends on the token before."""
        return decode_answer(self._tokenizer, tokens)


def chat_message(prompt: str) -> str:
    """Returns what the user says in `chat`."""
    if _is_stub(prompt):
        task = f"complete this function.\n\n```python\n{prompt}\n```"
    else:
        description, tests = split_prompt(prompt)
        task = "\n".join(description)
        if tests:
            lines = "\n".join(tests)
            task += f"\n\nYour code should pass {'this test' if len(tests) == 1 else 'these tests'}:\n\n{lines}"
    return (
        f"You are an expert Python programmer, and here is your task: {task}\n\n"
        "Answer with the whole function in a ```python block."
    )


def completion_prompt(prompt: str) -> tuple[str, str, Callable[[str], int | None]]:
    """Returns the text in `completion`, what of it is the answer's beginning, and where the answer ends."""
    if _is_stub(prompt):
        text = f"{prompt}\n"
        return text, text, functools.partial(end_of_program, inside=True)
    _, tests = split_prompt(prompt)
    names = frozenset(name for test in tests for name in _CALLED.findall(test))
    quoted = prompt.replace('"""', "'''").strip()
    return f'"""\n{quoted}\n"""\n', "", functools.partial(end_of_program, names=names)


def split_prompt(prompt: str) -> tuple[list[str], list[str]]:
    """Returns the lines of the description, and the asserts that end the prompt."""
    lines = prompt.strip().split("\n")
    first = next((number for number, line in enumerate(lines) if line.startswith("assert ")), len(lines))
    return lines[:first], lines[first:]


def _is_stub(prompt: str) -> bool:
    """Whether a prompt is code that leaves a function open."""
    lines = prompt.rstrip().split("\n")
    return _STUB.search(prompt) is not None and (lines[-1][:1].isspace() or lines[-1].endswith(":"))
