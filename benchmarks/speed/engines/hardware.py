"""What the machine can do at best: float32 matrix products, and reading memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.speed import timing
from hrm_codegen.machine import cores


class _Machine:
    """Runs a kernel by its name; the first call makes it, the second is measured."""

    def prepare(self) -> dict[str, Any]:
        self._kernels: dict[str, tuple[Callable[[], Any], float]] = {}
        return {}

    def measure(self, what: str, size: int, seconds: float) -> dict[str, Any]:
        """Measures `product` of two matrices of `size` rows in FLOPs, or `read` of `size` MB in bytes."""
        key = f"{what} {size}"
        if key not in self._kernels:
            self._kernels = {key: (getattr(self, what)(size), 2.0 * size**3 if what == "product" else size * 1e6)}
        run, units = self._kernels[key]
        return {"units": units, "seconds": timing.repeat(run, seconds)}


class Jax(_Machine):
    """Matrix products by XLA."""

    def product(self, size: int) -> Callable[[], Any]:
        """Returns a function that multiplies two square matrices."""
        import jax
        import jax.numpy as jnp

        matrix = jnp.ones((size, size), jnp.float32)
        multiply = jax.jit(jnp.matmul)
        return lambda: multiply(matrix, matrix).block_until_ready()


class Torch(_Machine):
    """Matrix products and sums by torch."""

    def product(self, size: int) -> Callable[[], Any]:
        """Returns a function that multiplies two square matrices."""
        import torch

        torch.set_num_threads(cores())
        matrix = torch.ones(size, size)
        return lambda: matrix @ matrix

    def read(self, size: int) -> Callable[[], Any]:
        """Returns a function that adds up an array."""
        import torch

        torch.set_num_threads(cores())
        return torch.ones(size * 1_000_000 // 4).sum


class Numpy(_Machine):
    """Sums by numpy, one thread."""

    def read(self, size: int) -> Callable[[], Any]:
        """Returns a function that adds up an array."""
        return np.ones(size * 1_000_000 // 4, np.float32).sum
