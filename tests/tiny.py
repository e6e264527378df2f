"""What several test files need: a model of bytes that is made in an instant, and rows that it can learn from."""

from __future__ import annotations

from hrm_codegen.config import Config, DataConfig, ModelConfig, SampleConfig, TrainConfig

TINY = Config(
    name="tiny",
    model=ModelConfig(
        vocab_size=264, hidden_dim=32, num_heads=2, intermediate_dim=32, layers_per_stack=1, h_cycles=1, l_cycles=1,
        max_seq_len=96,
    ),
    data=DataConfig(tokenizer="byte", seq_len=32),
    train=TrainConfig(num_steps=1),
    sample=SampleConfig(max_tokens=12, temperature=1.0),
)  # fmt: skip
ADDITIONS = [
    {"text": f"add {n}", "code": f"def add(a):\n    return a + {n}", "test_list": [f"assert add(1) == {n + 1}"]}
    for n in range(40)
]
# A model's products: of one equation, the matrix's name and its shape as the equation has it.
PRODUCTS = [
    ("BTD,DCNH->BTCNH", "gqkv", (64, 4, 2, 32)),
    ("BTNH,NHD->BTD", "out", (2, 32, 64)),
    ("BTD,DCF->BTCF", "gate_up", (64, 2, 96)),
    ("BTF,FD->BTD", "down", (96, 64)),
    ("BTD,DV->BTV", "head", (64, 96)),
]
