# Everything here sets itself up: `git clone`, then `make run` or `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

# One thread for each of the two test processes: OpenMP threads that wait for a busy core slow torch down tenfold.
# Bytecode is kept, whatever the environment says: the tests begin hundreds of processes that import the package.
TEST := OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 2 --dist loadgroup

.DEFAULT_GOAL := help
.PHONY: help run test check format bench bench-sweep bench-kills bench-views screenshots clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

run: $(VENV)/.installed ## train the default network on the shipped digits; ARGS="model=net" changes what runs
	$(BIN)/python -m cnnexp $(ARGS)

test: $(VENV)/.installed-dev ## format, lint, types and all tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(TEST)

check: $(VENV)/.installed-dev ## format, lint, types and the fast tests: under a minute
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(TEST) -m "not slow"

format: $(VENV)/.installed-dev ## format the code and repair what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.installed-dev ## speed against hand-written PyTorch, as ratios
	$(BIN)/python benchmarks/bench.py

bench-sweep: $(VENV)/.installed-dev ## speed of a sweep against Hydra's basic launcher and single processes, as ratios
	$(BIN)/python benchmarks/sweep.py

bench-kills: $(VENV)/.installed-dev ## 200 kills of launchers and workers of sweeps: nothing may be lost
	$(BIN)/python benchmarks/kills.py

screenshots: $(VENV)/.installed-dev ## the README's pictures, made anew from real runs; needs Chromium
	$(BIN)/python docs/screenshots.py

bench-views: $(VENV)/.installed-dev ## what views cost a training, as ratios and shares
	$(BIN)/python benchmarks/views.py

clean: ## remove what was installed and cached; recorded runs stay
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' \
	  || { echo "cnnexp needs Python 3.11 to 3.13; name one with: make run PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing cnnexp and torch into $(VENV) (some gigabytes, once)"
	@$(PIP) --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(VENV)/.installed
	@$(PIP) --editable '.[dev]'
	@touch $@
