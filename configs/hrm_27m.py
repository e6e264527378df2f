"""HRM 27 M: the size of the original HRM (27.3 M parameters), for a cluster.

Cost: 20000 steps of 2.4 M tokens on 8 accelerators; a day's work, not measured here. For one accelerator raise
train.grad_accum, which keeps the global batch. Give it a tokenizer of up to 5120 entries and more data than `basics`.

    hrm-codegen data basics
    python -m hrm_codegen.main --config=configs/hrm_27m.py --mode=train --config.mesh.fsdp=2
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    return ConfigDict(
        {
            "model": {
                "vocab_size": 5120,
                "hidden_dim": 512,
                "num_heads": 4,
                "intermediate_dim": 1536,
                "layers_per_stack": 3,
                "h_cycles": 2,
                "l_cycles": 3,
                "max_seq_len": 1024,
                "gradient_checkpointing": True,
                "dtype": "auto",  # bfloat16 on accelerators
            },
            "data": {
                "train": "data/basics/train.bin",
                "eval": "data/basics/validation.bin",
                "seq_len": 1024,
            },
            "optim": {
                "lr": 1e-3,
                "warmup_steps": 2000,
                "schedule": "cosine",
            },
            "mesh": {
                "data": -1,
            },
            "train": {
                "num_steps": 20000,
                "batch_size": 2304,
                "grad_accum": 4,
                "eval_every": 500,
                "eval_batches": 4,
                "checkpoint_every": 1000,
            },
            "eval": {
                "k": (1, 10, 100),
            },
            "sample": {
                "max_tokens": 512,
            },
        }
    )
