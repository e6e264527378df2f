"""`python -m hrm_codegen` is the command `hrm-codegen`."""

from __future__ import annotations

import sys

from hrm_codegen.cli import main

if __name__ == "__main__":
    sys.exit(main())
