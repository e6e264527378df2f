"""MBPP, full: the dev model (4.0 M parameters) over the 374 training tasks of MBPP until it knows them.

Cost: 4000 steps of 16384 tokens; made for one accelerator (hours on a CPU).

    hrm-codegen data mbpp
    python -m hrm_codegen.main --config=configs/mbpp.py --mode=train
    python -m hrm_codegen.main --mode=eval --data=data/mbpp/test_raw.json --k=1,10,100
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    return ConfigDict(
        {
            "model": {
                "vocab_size": 1024,  # the bundled tokenizer's
                "hidden_dim": 256,
                "num_heads": 4,
                "intermediate_dim": 704,
                "layers_per_stack": 2,
                "h_cycles": 2,
                "l_cycles": 2,
                "max_seq_len": 1024,
            },
            "data": {
                "train": "data/mbpp/train.bin",
                "eval": "data/mbpp/validation.bin",
                "seq_len": 512,
            },
            "optim": {
                "lr": 1e-3,
                "warmup_steps": 200,
                "schedule": "cosine",
            },
            "train": {
                "num_steps": 4000,
                "batch_size": 32,
                "eval_every": 200,
                "checkpoint_every": 500,
            },
            "eval": {
                "k": (1, 10, 100),
            },
            "sample": {
                "max_tokens": 256,
            },
        }
    )
