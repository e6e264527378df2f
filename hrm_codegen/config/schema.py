"""The schema: what can be configured, of what type, with what default.

One frozen dataclass a section, collected in `Config`. Nothing here reads a file or imports jax: loaders live beside
(`load.py`), and checks that need more than one field are in `checks.py`. Units and meanings are in the attribute docs;
`None` means "derived", and the property of the same purpose gives the derived value.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

Core = Literal["hrm", "trm", "looped", "transformer"]
MaskKind = Literal["prefix_lm", "causal"]
Dtype = Literal["auto", "float32", "bfloat16"]
MatmulDtype = Literal["float32", "bfloat16"]
RematPolicy = Literal["all", "elementwise"]
WandbMode = Literal["auto", "online", "offline", "disabled"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The recurrent core (HRM-Text, arXiv 2605.20613, section 2) and its size.

    Attributes:
      core: `hrm` has two stacks, `trm` one stack in both roles, `looped` one stack of twice the layers applied
        `h_cycles * (l_cycles + 1) / 2` times (the layer applications of `hrm`), `transformer` the same stack once.
      vocab_size: V, at least the tokenizer's size.
      hidden_dim: D.
      num_heads: N.
      head_dim: H; even. None: hidden_dim / num_heads.
      intermediate_dim: F. None: 8 D / 3 rounded up to a multiple of 256.
      layers_per_stack: Blocks in each of the two stacks.
      h_cycles: Outer, high-level cycles.
      l_cycles: Inner, low-level passes in each outer cycle.
      mask: `prefix_lm` lets prompt tokens see each other in both directions.
      x_inject: Adds the embedding to every L pass (HRM, TRM); not exportable to `hrm_text`.
      rope_theta: Base of the rotary embedding.
      norm_eps: Epsilon of the parameterless RMSNorm.
      max_seq_len: Longest prompt plus answer, in tokens.
      scan_layers: Scan over stacked layer weights: smaller programs for deep models on accelerators, slower on CPU.
      gradient_checkpointing: Recompute each block's activations in the backward pass.
      remat_policy: What that recomputes: `all` of a block, or only what is `elementwise`; products and attention stay.
      dtype: Compute type; `auto` is bfloat16 on accelerators and float32 on CPU. Weights are always float32.
    """

    core: Core = "hrm"
    vocab_size: int
    hidden_dim: int
    num_heads: int
    head_dim: int | None = None
    intermediate_dim: int | None = None
    layers_per_stack: int = 2
    h_cycles: int = 2
    l_cycles: int = 3
    mask: MaskKind = "prefix_lm"
    x_inject: bool = False
    rope_theta: float = 10000.0
    norm_eps: float = 1e-6
    max_seq_len: int = 512
    scan_layers: bool = False
    gradient_checkpointing: bool = False
    remat_policy: RematPolicy = "all"
    dtype: Dtype = "auto"

    @property
    def resolved_head_dim(self) -> int:
        """H, given or derived."""
        return self.head_dim or self.hidden_dim // self.num_heads

    @property
    def resolved_intermediate_dim(self) -> int:
        """F, given or derived as in HRM-Text."""
        return self.intermediate_dim or 256 * math.ceil(round(8 * self.hidden_dim / 3) / 256)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where tokens come from and how rows are made of them.

    Attributes:
      train: Token file (or raw JSON/JSONL problems) to train on; `--data` overrides it.
      eval: The same for the validation loss; None: no validation.
      tokenizer: `default` (bundled) or a `tokenizer.json`; used only when raw problems have to be tokenized.
      seq_len: T, tokens a row.
      packing: Put several documents into one row.
      prompt_tests: How many of a problem's asserts its prompt shows (the function's name appears only there).
      condition: HRM-Text's condition tokens that a prompt begins with, such as `direct` or `synth,cot`; usually none.
      loss_on_prompt: Also learn to predict the prompt (causal mask only).
    """

    train: str | None = None
    eval: str | None = None
    tokenizer: str = "default"
    seq_len: int = 256
    packing: bool = True
    prompt_tests: int = 1
    condition: str = ""
    loss_on_prompt: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """Optimizer, learning-rate schedule and the average of the weights.

    Attributes:
      name: `adam_atan2` (HRM), `adamw`, or `muon` for hidden matrices with AdamW for the rest.
      lr: Peak learning rate.
      schedule: After the warm-up: `constant`, or `cosine` down to `min_lr_ratio * lr`.
      warmup_steps: Linear warm-up, optimizer steps.
      min_lr_ratio: Last learning rate of `cosine` over `lr`.
      b1: Decay of the first moment.
      b2: Decay of the second moment.
      weight_decay: Decoupled decay, on matrices only.
      clip_norm: Global gradient norm limit; None: no clipping.
      ema_decay: Decay of the averaged weights that are evaluated and shipped; 0: no average.
    """

    name: Literal["adam_atan2", "adamw", "muon"] = "adam_atan2"
    lr: float = 1e-3
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_steps: int = 100
    min_lr_ratio: float = 0.1
    b1: float = 0.9
    b2: float = 0.95
    weight_decay: float = 0.1
    clip_norm: float | None = None
    ema_decay: float = 0.999


@dataclasses.dataclass(frozen=True, kw_only=True)
class MeshConfig:
    """Devices along each mesh axis; one of them may be -1, "all that are left".

    Attributes:
      data: Copies of the model, each with its share of the batch.
      fsdp: Shards of parameters and optimizer state, each with its share of the batch.
      tensor: Shards of heads and feed-forward columns.
    """

    data: int = -1
    fsdp: int = 1
    tensor: int = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The training run.

    Attributes:
      num_steps: Optimizer steps.
      batch_size: Rows of `data.seq_len` tokens in a global batch.
      grad_accum: Microbatches that a global batch is cut into.
      bp_min: Passes with gradient at the start (K_min). None: h_cycles + 1, the least that reaches the embedding.
      bp_max: Passes with gradient in the end (K_max). None: h_cycles + ceil(h_cycles * l_cycles / 2).
      matmul_dtype: Of what the step multiplies with weights, where activations are float32: with `bfloat16` operands
        are rounded, sums stay float32. Faster on CPUs with AVX512-BF16 or AMX, slower on others; `model.dtype` is the
        way for accelerators.
      bp_warmup_ratio: Share of `num_steps` over which K grows from bp_min to bp_max.
      seed: Of the weights and of the order of the data.
      log_every: Steps between lines of metrics.
      eval_every: Steps between validations.
      eval_batches: Batches a validation; None: the whole set.
      checkpoint_every: Steps between full-state checkpoints.
      keep_checkpoints: How many of the latest are kept.
      out_dir: The run's directory. None: `checkpoints/<run_name>`, and `best.pt` goes to `checkpoints/`.
      run_name: None: the config's name and the first free number.
      time_limit_minutes: Stop (and save) after this long; None: never.
      wandb: Weights & Biases: `auto` is online with a key, else offline.
      wandb_project: Its project.
      oom_fallback: `suggest` settings, or `auto`: retry with half the microbatch at the same global batch.
    """

    num_steps: int
    batch_size: int = 32
    grad_accum: int = 1
    bp_min: int | None = None
    bp_max: int | None = None
    matmul_dtype: MatmulDtype = "float32"
    bp_warmup_ratio: float = 0.2
    seed: int = 0
    log_every: int = 10
    eval_every: int = 200
    eval_batches: int | None = None
    checkpoint_every: int = 500
    keep_checkpoints: int = 2
    out_dir: str | None = None
    run_name: str | None = None
    time_limit_minutes: float | None = None
    wandb: WandbMode = "auto"
    wandb_project: str = "hrm-codegen"
    oom_fallback: Literal["suggest", "auto"] = "suggest"


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvalConfig:
    """Pass@k.

    Attributes:
      k: The k of each pass@k.
      num_samples: Programs a problem; None: max(k).
      timeout: CPU seconds a program.
      workers: Programs run at a time; None: the number of cores.
      batch_size: Sequences decoded together.
      limit: First so many problems only; None: all.
    """

    k: tuple[int, ...] = (1, 10)
    num_samples: int | None = None
    timeout: float = 2.0
    workers: int | None = None
    batch_size: int = 64
    limit: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class SampleConfig:
    """How an answer is drawn.

    Attributes:
      max_tokens: Longest answer.
      temperature: 0 is greedy.
      top_k: Keep the k likeliest tokens; 0: all.
      top_p: Keep the smallest set of tokens with at least this probability.
      seed: Of the draws.
    """

    max_tokens: int = 128
    temperature: float = 0.7
    top_k: int = 0
    top_p: float = 0.95
    seed: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Everything a run needs; saved with the run and inside every checkpoint.

    Attributes:
      name: The file's stem; names the run.
    """

    name: str = "run"
    model: ModelConfig
    data: DataConfig = DataConfig()
    optim: OptimConfig = OptimConfig()
    mesh: MeshConfig = MeshConfig()
    train: TrainConfig
    eval: EvalConfig = EvalConfig()
    sample: SampleConfig = SampleConfig()
