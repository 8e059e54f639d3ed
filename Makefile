# Each target does all the set-up it needs on a fresh machine with Python ≥ 3.11.
PYTHON ?= python3
BUILD ?= cpu
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready-$(BUILD)
MARKER := requirements/wheels/.built

.DEFAULT_GOAL := help
.PHONY: help install demo serve test check format bench clean

help: ## this text
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 12

install: $(READY) ## make .venv with everything in it

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("upnext needs Python 3.11 or newer, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)

$(MARKER): packaging/fbgemm-gpu-marker/pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check setuptools==80.9.0 wheel==0.45.1
	$(BIN)/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir requirements/wheels packaging/fbgemm-gpu-marker
	@touch $@

$(READY): pyproject.toml requirements/*.txt $(MARKER)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements/$(BUILD).txt -r requirements/dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(READY) ## a simulated world, trained, published and served, with simulated viewers
	$(BIN)/upnext demo

serve: $(READY) ## the live release, http://127.0.0.1:8000
	$(BIN)/upnext serve

test: $(READY) ## the whole test suite
	$(BIN)/pytest -n 2 --dist loadfile

check: $(READY) ## format, lint, types, layers, sizes
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest tests/test_architecture.py

format: $(READY) ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY) ## the measurements behind the README, into benchmarks/results/
	$(BIN)/python -m benchmarks.latency

clean: ## remove what was built; keeps nothing but the sources
	rm -rf $(VENV) var build dist requirements/wheels *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
