"""Started in several processes by the tests: joins the others and adds up over all devices."""

from __future__ import annotations

import json
import sys


def main() -> None:
    from hrm_codegen.loading import start_jax

    start_jax("auto", join=True)
    import jax
    import jax.numpy as jnp
    import numpy as np

    from hrm_codegen.config import MeshConfig
    from hrm_codegen.parallel import make_mesh, put_batch
    from hrm_codegen.parallel.distributed import Agreement

    mesh = make_mesh(MeshConfig())
    total = jax.jit(jnp.sum)(put_batch(np.arange(8.0), mesh))
    agree = Agreement()
    answers = [agree(jax.process_index()), agree(0), agree(0)]
    found = [jax.process_count(), jax.device_count(), jax.local_device_count(), float(total), answers]
    sys.stderr.write(f"found {json.dumps(found)}\n")
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
