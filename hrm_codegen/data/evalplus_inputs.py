"""The arguments of EvalPlus tasks: from what its release files can write in JSON to the values that are meant.

JSON has neither tuples nor sets nor complex numbers; EvalPlus keeps a list of the MBPP+ tasks whose lists are something
else. `encode` writes such values into JSON again, with tags, for `evalplus_judge.decode`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Convert = Callable[[Any], Any]


def _keep(value: Any) -> Any:
    return value


def _list_of_tuples(value: Any) -> list[Any]:
    return [tuple(item) for item in value]


def _tuple_of_tuples(value: Any) -> tuple[Any, ...]:
    return tuple(tuple(item) for item in value)


def _tuple_with_tuples(value: Any) -> tuple[Any, ...]:
    return tuple(tuple(item) if isinstance(item, list) else item for item in value)


def _deep_tuple(value: Any) -> Any:
    return tuple(_deep_tuple(item) for item in value) if isinstance(value, list) else value


def _list_of_sets(value: Any) -> list[Any]:
    return [set(item) if isinstance(item, list) and item else {} for item in value]


def _dict_of_tuples(value: Any) -> dict[Any, Any]:
    return {key: tuple(item) for key, item in value.items()}


# One conversion for every argument.
_EACH: tuple[tuple[Convert, tuple[int, ...]], ...] = (
    (
        tuple,
        (2, 116, 132, 143, 222, 261, 273, 394, 399, 421, 424, 429, 470, 560, 579, 596, 616, 630, 726, 740, 744, 809),
    ),
    (_list_of_tuples, (63, 64, 70, 94, 120, 237, 272, 299, 400, 409, 417, 438, 473, 614, 780)),
    (_tuple_of_tuples, (259, 401, 445)),
    (_deep_tuple, (580, 615, 791)),
)
# One for each of the first arguments; those after them stay.
_FIRST: tuple[tuple[tuple[Convert, ...], tuple[int, ...]], ...] = (
    ((_list_of_tuples,), (75, 413, 444, 753)),
    ((_keep, tuple), (106, 750)),
    ((_list_of_sets,), (115,)),
    ((float, complex), (124,)),
    ((tuple,), (250, 307, 405, 446, 617, 720, 763, 808)),
    ((complex,), (252,)),
    ((_tuple_with_tuples,), (278,)),
    ((_dict_of_tuples,), (722,)),
)
_EACH_OF = {task: convert for convert, tasks in _EACH for task in tasks}
_FIRST_OF = {task: converts for converts, tasks in _FIRST for task in tasks}


def mbpp_arguments(number: int, arguments: list[Any]) -> list[Any]:
    """Returns the arguments of a call of an MBPP+ task.

    Args:
      number: The task's.
      arguments: As the release file has them.

    Raises:
      TypeError, ValueError, AttributeError: They are not of the shape that this task has.
    """
    each = _EACH_OF.get(number)
    if each is not None:
        return [each(argument) for argument in arguments]
    converts = _FIRST_OF.get(number, ())
    converted = [convert(argument) for convert, argument in zip(converts, arguments, strict=False)]
    return [*converted, *arguments[len(converted) :]]


def encode(value: Any) -> Any:
    """Returns the JSON form of a value."""
    if isinstance(value, list):
        return [encode(item) for item in value]
    if isinstance(value, tuple):
        return {"tuple": [encode(item) for item in value]}
    if isinstance(value, set):
        return {"set": [encode(item) for item in value]}
    if isinstance(value, dict):
        return {"dict": [[encode(key), encode(item)] for key, item in value.items()]}
    if isinstance(value, complex):
        return {"complex": [value.real, value.imag]}
    return value
