"""Planning: compile the real steps for accelerators that are not here, and say what the result costs on them.

Why: whether a run fits, and how fast it can be at best, is known before a machine is rented. Light at import: the
targets alone, so that the command line can list them; `plan.make_plan` needs jax. Not a simulator: nothing runs.
"""

from hrm_codegen.planning.targets import Target, find_target

__all__ = ["Target", "find_target"]
