"""MBPP, small: a tiny model (1.4 M parameters) over the 374 training tasks of MBPP, to try the whole journey.

Cost: 200 steps of 3072 tokens, about ten epochs; some five minutes on two CPU cores. Expect a Pass@k near zero:
374 tasks do not teach a model from scratch to program.

    hrm-codegen data mbpp
    python -m hrm_codegen.main --config=configs/mbpp_dev.py --mode=train
    python -m hrm_codegen.main --mode=eval --data=data/mbpp/test_raw.json --k=1,10
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
                "max_seq_len": 512,
            },
            "data": {
                "train": "data/mbpp/train.bin",
                "eval": "data/mbpp/validation.bin",
                "seq_len": 384,
            },
            "optim": {
                "lr": 1e-3,
                "warmup_steps": 20,
                "schedule": "cosine",
                "ema_decay": 0.99,  # a memory of 100 steps; the default's 1000 is longer than the run
            },
            "train": {
                "num_steps": 200,
                "batch_size": 8,
                "eval_every": 50,
                "checkpoint_every": 100,
            },
            "eval": {
                "k": (1, 10),
            },
        }
    )
