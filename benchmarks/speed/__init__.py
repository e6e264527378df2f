"""Speed of this project beside other programs that run the same model: `python -m benchmarks.speed`.

Why: a figure alone says nothing on a shared machine, and figures of two runs cannot be compared. Here all contenders
alternate, round by round, on the same weights and the same work, each in a process of its own. Not a profiler, and
not a test of quality: weights and most tokens are random.

`sections/` says what is compared, `engines/` how each program does it; the rest starts, asks and shows.
"""
