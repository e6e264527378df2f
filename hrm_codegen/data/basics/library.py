"""All operations of the suite. A new group of them joins by being added to `OPERATIONS`."""

from __future__ import annotations

from hrm_codegen.data.basics.list_queries import LIST_QUERIES
from hrm_codegen.data.basics.lists import LISTS
from hrm_codegen.data.basics.number_forms import NUMBER_FORMS
from hrm_codegen.data.basics.numbers import NUMBERS
from hrm_codegen.data.basics.operation import Kind, Operation
from hrm_codegen.data.basics.string_queries import STRING_QUERIES
from hrm_codegen.data.basics.strings import STRINGS
from hrm_codegen.data.basics.words import WORDS

OPERATIONS: tuple[Operation, ...] = NUMBERS + NUMBER_FORMS + STRINGS + STRING_QUERIES + LISTS + LIST_QUERIES + WORDS
BY_KEY: dict[str, Operation] = {operation.key: operation for operation in OPERATIONS}
BY_INPUT: dict[Kind, tuple[Operation, ...]] = {
    kind: tuple(operation for operation in OPERATIONS if operation.takes is kind) for kind in Kind
}
assert len(BY_KEY) == len(OPERATIONS), "operation keys must be unique"
