"""Hostile, broken and ordinary programs with the verdicts that they must get, and tests that run them in each tier.

The `cases_*` modules are data; `case.py` says what a case is, `surroundings.py` sets up what a program must not reach,
`run.py` runs cases without pytest (an ordinary user's interpreter may have none).
"""
