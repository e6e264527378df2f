"""Decoding: sampling strategies, the compiled KV-cached loop, beam search.

Works on token ids and parameters; it knows neither text nor files. `codegen` puts a tokenizer around it.
"""

from hrm_codegen.generation.beam import beam_search
from hrm_codegen.generation.completion import Completion
from hrm_codegen.generation.sample import generate

__all__ = ["Completion", "beam_search", "generate"]
