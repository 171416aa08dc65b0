# One command for each thing that is done often. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help venv research dev demo peers lint format test bench viewer-check docs lock clean

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
# One process more than the two cores of CI: tests of the whole way wait for peers half of their time. Files begin in their
# order, not the largest first: those of the whole way (tests/e2e) come early, so that none is left alone at the end.
PYTEST_ARGS ?= -n 3 --dist loadfile --no-loadscope-reorder

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.venv/bin/uv:
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet uv

# Compiled once here, and not by every process that starts: where the cache cannot be written, the node's parts would each
# compile ten thousand modules again.
INSTALL := $(BIN)/uv pip install --quiet --compile-bytecode
COMPILE := $(BIN)/python -m compileall -q node pipelines models sr_templates

.venv/.installed: requirements.txt pyproject.toml | .venv/bin/uv
	$(INSTALL) -r requirements.txt -e .
	$(COMPILE)
	@touch $@

.venv/.installed-dev: requirements-dev.txt pyproject.toml | .venv/bin/uv
	$(INSTALL) -r requirements-dev.txt -e .
	$(COMPILE)
	@touch $@ .venv/.installed

venv: .venv/.installed ## .venv with the command .venv/bin/mammonode in it
	@echo "ready: $(BIN)/mammonode"

research: venv ## and what `mammonode train` and `evaluate` need: scikit-learn, matplotlib, pyradiomics (wants a C compiler), ...
	$(INSTALL) -c requirements-dev.txt -e ".[research]"

dev: .venv/.installed-dev ## the same as venv, and what tests and linters need

demo: venv ## a node, a small PACS and a sender; a generated study goes in, results come back into demo-out/
	$(BIN)/mammonode demo --out demo-out

peers: ## the programs that tests talk to (DCMTK, Orthanc, Redis, PostgreSQL, validators), where apt can install them
	@.ci/peers

lint: dev ## ruff, mypy, and who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: dev ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# One thread a network: two test processes with networks on all cores would wait for each other.
test: dev peers ## every test; PYTEST_ARGS="tests/node -k settings" for some
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(PYTEST_ARGS)

bench: dev peers ## the figures of the README, measured here
	$(BIN)/python tests/benchmarks/run.py

viewer-check: dev peers ## are boxes at their place in a viewer, marks answered? needs Chromium, chromedriver, OHIF by npm; pictures in viewer-out/
	$(BIN)/python -m tests.viewer.run --out viewer-out

docs: venv ## the tables in docs/SETTINGS.md and docs/CONFORMANCE.md, from the program itself
	$(BIN)/python -m node.settings_table docs/SETTINGS.md
	$(BIN)/python -m node.conformance docs/CONFORMANCE.md

# Run with the index of your choice; neither its address nor that of any host goes into the files.
LOCK := uv pip compile --quiet --no-header --python-version 3.11 pyproject.toml
lock: .venv/bin/uv ## pin again what pyproject.toml asks for (UPGRADE=--upgrade for newer versions)
	$(BIN)/$(LOCK) $(UPGRADE) -o requirements.txt
	$(BIN)/$(LOCK) $(UPGRADE) --extra dev -c requirements.txt -o requirements-dev.txt

clean: ## everything that was made, but not .venv
	rm -rf demo-out bench-out viewer-out state build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
