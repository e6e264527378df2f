"""One model on all processes of a run: process 0 asks, everyone generates a share of the prompts.

Why: an evaluation has one judge, one folder of results and one report, but its time goes into decoding. So process 0
runs it as if it were alone, with a model whose `generate` sends prompts around; the others answer until it is done.
What is drawn does not depend on their number, because each prompt has its own seed.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import jax

from hrm_codegen.errors import PromptError, UsageError
from hrm_codegen.parallel.distributed import leaving_on_error
from hrm_codegen.parallel.exchange import Exchange

_STOP = None
_EXCHANGES = itertools.count()


class SharedModel:
    """The model as process 0 sees it: with the attributes of its own copy, and `generate` on all processes."""

    def __init__(self, model: Any, exchange: Exchange) -> None:
        self._model, self._exchange = model, exchange
        self._asked = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    @property
    def parallelism(self) -> int:
        """How many batches are decoded at a time."""
        return getattr(self._model, "parallelism", 1) * jax.process_count()

    def generate(self, prompts: Sequence[str], *, seeds: Sequence[int], **options: Any) -> list[list[str]]:
        """As `HRMCodeGen.generate`, every n-th prompt by a process."""
        number, count = self._asked, jax.process_count()
        self._asked += 1
        self._exchange.put(f"ask/{number}", {"prompts": list(prompts), "seeds": list(seeds), "options": options})
        shares = [_answer(self._model, prompts, seeds, options)]
        shares += [self._exchange.get(f"answer/{number}/{process}") for process in range(1, count)]
        for key in (f"ask/{number}", *(f"answer/{number}/{process}" for process in range(1, count))):
            self._exchange.drop(key)
        for share in shares:
            if "refused" in share:
                raise PromptError(share["refused"])
            if "wrong" in share:
                raise UsageError(share["wrong"])
        results: list[list[str]] = [[] for _ in prompts]
        for process, share in enumerate(shares):
            results[process::count] = share["texts"]
        return results

    def stop(self) -> None:
        """Lets the others go."""
        self._exchange.put(f"ask/{self._asked}", _STOP)


@contextlib.contextmanager
def shared(model: Any) -> Iterator[Any]:
    """Yields a model for process 0 that is on all processes, and for the others, when it is done with it, None.

    With one process it is the model itself. All processes have to come here equally often.

    Args:
      model: `HRMCodeGen`, or another with its `generate`; the same in all processes.
    """
    if jax.process_count() == 1:
        yield model
        return
    exchange = Exchange(f"hrm-codegen/shared-model/{next(_EXCHANGES)}")
    if jax.process_index() != 0:
        with leaving_on_error():
            _serve(model, exchange)
        yield None
        return
    mine = SharedModel(model, exchange)
    try:
        yield mine
    finally:
        mine.stop()


def _serve(model: Any, exchange: Exchange) -> None:
    process = jax.process_index()
    for number in itertools.count():
        question = exchange.get(f"ask/{number}")
        if question is _STOP:
            return
        answer = _answer(model, question["prompts"], question["seeds"], question["options"])
        exchange.put(f"answer/{number}/{process}", answer)


def _answer(model: Any, prompts: Sequence[str], seeds: Sequence[int], options: dict[str, Any]) -> dict[str, Any]:
    process, count = jax.process_index(), jax.process_count()
    try:
        return {"texts": model.generate(prompts[process::count], seeds=seeds[process::count], **options)}
    except PromptError as error:
        return {"refused": str(error)}
    except UsageError as error:
        return {"wrong": str(error)}
