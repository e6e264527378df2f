"""ONNX Runtime: a plain greedy loop over our exported graph with past. One sequence; values stay in its own memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime

from benchmarks.speed import timing, work
from hrm_codegen.machine import cores


class Decoder:
    """Greedy decoding of one sequence."""

    def prepare(self, graph: str, vocab_size: int) -> dict[str, Any]:
        """Opens the graph."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = cores()
        self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self._outputs = [value.name for value in self._session.get_outputs()]
        inputs = {value.name: value.shape for value in self._session.get_inputs()}
        slots = {name: shape for name, shape in inputs.items() if name.startswith("past_key_values.")}
        self._empty = {name: np.zeros((1, shape[1], 0, shape[3]), np.float32) for name, shape in slots.items()}
        self._vocab_size = vocab_size
        tokens, prefix = work.probe(vocab_size)
        logits, _ = self._run(tokens, np.arange(tokens.shape[1])[None], prefix, self._start())
        return {"logits": logits.tolist()}

    def measure(self, batch: int, prompt_len: int, new_tokens: int, seconds: float) -> dict[str, Any]:
        """Repeats writing only the first token, and then all."""
        assert batch == 1
        prompt = np.asarray(work.prompts(self._vocab_size, 1, prompt_len))
        return {
            "units": new_tokens,
            "seconds": timing.repeat(lambda: self._decode(prompt, new_tokens), seconds),
            "first": timing.repeat(lambda: self._decode(prompt, 1), seconds),
        }

    def _decode(self, tokens: np.ndarray, count: int) -> list[int]:
        written: list[int] = []
        past, positions, prefix = self._start(), np.arange(tokens.shape[1])[None], np.ones_like(tokens)
        while True:
            logits, past = self._run(tokens, positions, prefix, past)
            written.append(int(logits[0, -1].argmax()))
            if len(written) == count:
                return written
            tokens, positions, prefix = np.array([[written[-1]]]), positions[:, -1:] + 1, np.zeros((1, 1))

    def _start(self) -> dict[str, Any]:
        return {name: onnxruntime.OrtValue.ortvalue_from_numpy(array) for name, array in self._empty.items()}

    def _run(self, tokens: Any, positions: Any, prefix: Any, past: dict[str, Any]) -> tuple[np.ndarray, dict[str, Any]]:
        """Returns the logits of new tokens, and the past with them."""
        arrays = {
            "input_ids": tokens,
            "attention_mask": np.ones((1, int(positions[0, -1]) + 1)),
            "token_type_ids": prefix,
            "position_ids": positions,
        }
        feeds = {
            name: onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array, np.int64))
            for name, array in arrays.items()
        }
        logits, *present = self._session.run_with_ort_values(self._outputs, feeds | past)
        return logits.numpy(), dict(zip(past, present, strict=True))
