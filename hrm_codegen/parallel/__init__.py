"""Meshes, sharding rules and batches over devices: everything that the model code does not know."""

from hrm_codegen.parallel.batch import batch_sharding, put_batch, put_tree
from hrm_codegen.parallel.mesh import AXES, BATCH_AXES, make_mesh
from hrm_codegen.parallel.rules import RULES, shardings

__all__ = ["AXES", "BATCH_AXES", "RULES", "batch_sharding", "make_mesh", "put_batch", "put_tree", "shardings"]
