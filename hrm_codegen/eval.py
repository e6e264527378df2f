"""`python -m hrm_codegen.eval`: the absl front door with `--mode=eval`."""

from __future__ import annotations

from absl import flags

from hrm_codegen import main

flags.adopt_module_key_flags(main)

if __name__ == "__main__":
    main.run(mode="eval")
