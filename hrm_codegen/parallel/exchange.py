"""Small texts between the processes of a run, without anyone having to be quick.

Why not a collective: those have time limits of their own (gloo's are seconds), and the process that judges programs is
busy for minutes between two questions. Values go through jax's coordination service, which every multi-process run has.
Not for arrays. jax offers its client in `jax._src` only; Orbax uses it from there, too.
"""

from __future__ import annotations

import json
from typing import Any

import jax
from jax._src import distributed

from hrm_codegen.errors import DeviceError

_WAIT_MS = 60_000  # of one try: a lost process is noticed by the service, not by this limit
_EXPIRED = "DEADLINE_EXCEEDED"


class Exchange:
    """Named values that one process sets and others get.

    Args:
      name: Of this exchange; two at a time need two names.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._client: Any = distributed.global_state.client
        assert self._client is not None, "an exchange needs several processes"

    def put(self, key: str, value: Any) -> None:
        """Sets a JSON-able value, once."""
        self._client.key_value_set(f"{self._name}/{key}", json.dumps(value))

    def get(self, key: str) -> Any:
        """Waits for a value, as long as it takes.

        Raises:
          DeviceError: The process that should set it, or the coordinator, is gone.
        """
        while True:
            try:
                return json.loads(self._client.blocking_key_value_get(f"{self._name}/{key}", _WAIT_MS))
            except jax.errors.JaxRuntimeError as error:
                if _EXPIRED not in str(error):
                    raise DeviceError(f"lost another process of this run: {error}") from error

    def drop(self, key: str) -> None:
        """Forgets a value that everyone has got."""
        self._client.key_value_delete(f"{self._name}/{key}")
