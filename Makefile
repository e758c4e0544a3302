# Everything runs in .venv, which is made on demand: a machine needs only make,
# Python 3.10 or later, and its package index. Nothing has to be activated.

PYTHON ?= python3 python3.14 python3.13 python3.12 python3.11 python3.10 python

VENV := $(CURDIR)/.venv
BIN := $(VENV)/bin
INSTALLED := .venv/.installed

# Node.js, too, is the one in .venv, whatever the machine has.
export PATH := $(BIN):$(PATH)
export VIRTUAL_ENV := $(VENV)
export PYTHONPATH :=

# A folder's time tells of files that were added or removed.
LABEXTENSION := $(wildcard $(addprefix labextension/, \
	*.json yarn.lock .yarnrc.yml schema/* style/* src src/* src/*/* src/*/*/*))

# Two processes of tests: see tests/conftest.py.
SIDE_BY_SIDE := -n 2 --dist loadgroup

.PHONY: help lab test test-all check bench simulate chromium jest

help:
	@echo "make lab       open JupyterLab on notebooks/quickstart.ipynb (ARGS=--no-browser prints the URL)"
	@echo "make test      checks and all tests but the slow ones, in a real browser too (ARGS go to pytest)"
	@echo "make test-all  the slow ones as well"
	@echo "make check     formatting, lint and types, of Python and of TypeScript"
	@echo "make bench     measure speed (ARGS go to the benchmarks)"
	@echo "make simulate  run up to 10,000 simulated workers, and write docs/scaling.md (ARGS=--quick prints only)"
	@echo "Each does its own set-up first."

lab: $(INSTALLED)
	@echo "JupyterLab starts now. Press Ctrl-C twice to stop it. The last line below is its address."
	@jupyter lab --ServerApp.root_dir=notebooks --LabApp.default_url=/lab/tree/quickstart.ipynb \
		--ServerApp.log_level=WARN $(if $(filter 0,$(shell id -u)),--allow-root) $(ARGS)

test: check chromium jest
	pytest $(SIDE_BY_SIDE) -m "not slow and not soak" $(ARGS)

test-all: check chromium jest
	pytest $(SIDE_BY_SIDE) -m "not soak" $(ARGS)

check: $(INSTALLED)
	ruff format --check .
	ruff check .
	mypy --python-version 3.10
	mypy --python-version 3.12
	cd labextension && jlpm check

jest: $(INSTALLED)
	cd labextension && jlpm test

bench: $(INSTALLED)
	@python -m tests.benchmarks $(ARGS)

simulate: $(INSTALLED)
	@python -m tests.simulation.scale $(ARGS)

chromium: $(INSTALLED)
	@python -m tools.chromium

# Building the package also builds the lab extension, with its own Node.js.
$(INSTALLED): $(BIN)/uv pyproject.toml jupyter-config/nbcluster.json $(LABEXTENSION)
	uv pip install --quiet --reinstall-package nbcluster --editable '.[dev]'
	@touch $@

$(BIN)/uv:
	@for python in $(PYTHON); do \
		if $$python -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then \
			echo "Setting up .venv with $$python. The first time, this takes a minute or two."; \
			$$python -m venv .venv && .venv/bin/python -m pip install --quiet --disable-pip-version-check uv; \
			exit; \
		fi; \
	done; \
	echo "nbcluster needs Python 3.10 or later, and found none. If you have one, say where:" >&2; \
	echo "    make PYTHON=/path/to/python $(MAKECMDGOALS)" >&2; \
	exit 1
