"""Basics: a tiny model (0.7 M parameters) on the generated suite `basics`, the first run to make.

Cost: 1500 steps of 960 tokens, about four minutes on two CPU cores. How the sizes
were chosen is in docs/decisions.md.

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
                "intermediate_dim": 384,
                "layers_per_stack": 1,
                "h_cycles": 2,
                "l_cycles": 1,
            },
            "data": {
                "train": "data/basics/train.bin",
                "eval": "data/basics/validation.bin",
                "seq_len": 192,
            },
            "optim": {
                "lr": 4e-3,
                "warmup_steps": 50,
                "schedule": "cosine",
                "ema_decay": 0.99,  # a memory of 100 steps; the default's 1000 is most of the run
            },
            "train": {
                "num_steps": 1500,
                "batch_size": 5,
                "log_every": 50,
                "eval_every": 250,
                "checkpoint_every": 500,
            },
            "eval": {
                "k": (1, 10),
            },
            "sample": {
                "max_tokens": 128,
            },
        }
    )
