"""The network: blocks, the recurrent cores, and the schedule of truncated backpropagation.

Single-device code with no sharding in it; `parallel` places its parameters on a mesh from outside. NNX modules are
containers of parameters here: `init` splits them once, and every step merges them inside a pure function.
"""

from hrm_codegen.model.build import abstract, count_params, init, merge
from hrm_codegen.model.cache import Cache
from hrm_codegen.model.hrm import HRM
from hrm_codegen.model.schedule import bp_schedule, num_passes

__all__ = ["HRM", "Cache", "abstract", "bp_schedule", "count_params", "init", "merge", "num_passes"]
