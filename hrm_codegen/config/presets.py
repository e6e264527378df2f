"""Model sizes by name, for `--size` and for benchmarks: fields of `ModelConfig`, nothing else.

Parameters: two stacks of `n` blocks of `5 D^2 + 3 D F` (gated attention with N H = D: query, key, value, gate, output;
and SwiGLU), and `2 V D` for the embedding and the head.
"""

from __future__ import annotations

from typing import Any

PRESETS: dict[str, dict[str, Any]] = {
    # Tests and smoke runs; seconds.
    "smoke": {
        "vocab_size": 512,
        "hidden_dim": 64,
        "num_heads": 2,
        "head_dim": 32,
        "intermediate_dim": 256,
        "layers_per_stack": 1,
        "h_cycles": 2,
        "l_cycles": 2,
    },
    # 1.4 M; the size of the bundled model, trains on a laptop.
    "tiny": {
        "vocab_size": 1024,
        "hidden_dim": 128,
        "num_heads": 4,
        "head_dim": 32,
        "intermediate_dim": 512,
        "layers_per_stack": 2,
        "h_cycles": 2,
        "l_cycles": 2,
    },
    # 4.0 M; development on one accelerator or a patient laptop.
    "dev": {
        "vocab_size": 1024,
        "hidden_dim": 256,
        "num_heads": 4,
        "head_dim": 64,
        "intermediate_dim": 704,
        "layers_per_stack": 2,
        "h_cycles": 2,
        "l_cycles": 2,
    },
    # 27.3 M; the size of the original HRM (arXiv 2506.21734).
    "27m": {
        "vocab_size": 5120,
        "hidden_dim": 512,
        "num_heads": 4,
        "head_dim": 128,
        "intermediate_dim": 1536,
        "layers_per_stack": 3,
        "h_cycles": 2,
        "l_cycles": 3,
    },
    # 1.2 B; the shape of sapientinc/HRM-Text-1B.
    "hrm-text-1b": {
        "vocab_size": 65536,
        "hidden_dim": 1536,
        "num_heads": 12,
        "head_dim": 128,
        "intermediate_dim": 4096,
        "layers_per_stack": 16,
        "h_cycles": 2,
        "l_cycles": 3,
        "max_seq_len": 4097,
    },
}
