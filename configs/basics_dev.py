"""Basics: a tiny model (1.4 M parameters) on the generated suite `basics`, the first run to make.

Cost: 1500 steps of 4096 tokens; well under an hour on two CPU cores, minutes on an accelerator.

    hrm-codegen data basics
    python -m hrm_codegen.main --config=configs/basics_dev.py --mode=train
    python -m hrm_codegen.main --mode=eval --data=data/basics/test_raw.json --k=1,10
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    return ConfigDict(
        {
            "model": {
                "vocab_size": 1024,  # the bundled tokenizer's
                "hidden_dim": 128,
                "num_heads": 4,
                "intermediate_dim": 512,
                "layers_per_stack": 2,
                "h_cycles": 2,
                "l_cycles": 2,
            },
            "data": {
                "train": "data/basics/train.bin",
                "eval": "data/basics/validation.bin",
                "seq_len": 256,
            },
            "optim": {
                "lr": 1e-3,
                "warmup_steps": 100,
                "schedule": "cosine",
            },
            "train": {
                "num_steps": 1500,
                "batch_size": 16,
                "eval_every": 250,
                "eval_batches": 8,
                "checkpoint_every": 250,
            },
            "eval": {
                "k": (1, 10),
            },
            "sample": {
                "max_tokens": 128,
            },
        }
    )
