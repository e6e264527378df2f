"""How cost grows with one size at a time: `python -m benchmarks.growth`.

Why: one figure says what a size costs, its growth says what the next size will cost, and whether something in the
program grows that should not. Measured with the real train step and the real decoder, random weights and tokens. Not
a comparison with other programs (`benchmarks.speed`), and not a statement about other machines.

`work.py` says what is measured, `engine.py` does it in processes of its own, `formulas.py` has what is expected.
"""
