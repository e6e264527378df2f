"""Smoke: does everything run? 20 steps of the smallest model (0.3 M parameters) on the generated suite `basics`.

Cost: about a minute on two CPU cores, most of it compilation. It learns nothing worth scoring.

    hrm-codegen data basics
    python -m hrm_codegen.main --config=configs/smoke.py --mode=train
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    return ConfigDict(
        {
            "model": {
                "vocab_size": 1024,  # the bundled tokenizer's
                "hidden_dim": 64,
                "num_heads": 2,
                "intermediate_dim": 256,
                "layers_per_stack": 1,
                "h_cycles": 2,
                "l_cycles": 2,
            },
            "data": {
                "train": "data/basics/train.bin",
                "eval": "data/basics/validation.bin",
                "seq_len": 128,
            },
            "optim": {
                "warmup_steps": 5,
            },
            "train": {
                "num_steps": 20,
                "batch_size": 8,
                "log_every": 5,
                "eval_every": 10,
                "eval_batches": 2,
                "checkpoint_every": 10,
            },
        }
    )
