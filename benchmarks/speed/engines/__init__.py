"""What a worker process runs: one module a program (this project, Transformers, ONNX Runtime, llama.cpp).

An engine is a class without arguments. Its methods take and return JSON. `measure` returns `units`, the work of one
repetition, and `seconds`, a list with the time of each repetition.
"""
