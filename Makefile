# Everything a newcomer or CI runs. `make demo` and `make test` need only Python 3.11+, git and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export JAX_PLATFORMS ?= cpu

.PHONY: demo test test-extras slow lint format bench clean

demo: $(VENV)/.core  ## Prepare the basics data, train, score Pass@k, generate: under 10 minutes on two cores
	$(BIN)/hrm-codegen demo --out demo

test: $(VENV)/.dev  ## The default tests, under 8 minutes on two cores
	$(BIN)/python -m pytest -n 2 --dist worksteal -q

test-extras: $(VENV)/.extras  ## The tests that need torch, Transformers or ONNX Runtime
	$(BIN)/python -m pytest -m 'extras and not slow' -n 2 --dist worksteal -q

slow: $(VENV)/.dev  ## The tests that are too long for every run
	$(BIN)/python -m pytest -m slow -q

lint: $(VENV)/.dev  ## Style, types and the import contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.extras  ## Training and decoding beside Transformers and ONNX Runtime, on this machine when it is quiet
	$(BIN)/python -m benchmarks.speed $(BENCH)

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "HRM-CodeGen needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.core: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@ $(VENV)/.core

# torch's version is pinned here alone, so that CI does not take the build with CUDA where there is one for CPU.
$(VENV)/.extras: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,hf,export]'
	touch $(VENV)/.core $(VENV)/.dev $@

clean:
	rm -rf $(VENV) demo
