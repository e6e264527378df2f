"""What runs inside the sandbox's own processes: a judge that is trusted and a solver that is not.

Standard library only, started by path in an interpreter of its own (`worker.py`): nothing in here imports the rest of
the project, and nothing of the project runs beside untrusted code. Its processes, their walls and the way a verdict
takes are told in `docs/security.md`.
"""
