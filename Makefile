# make demo   set up, train on the digits, and say where the pictures are
# make test   set up with everything for development, then run the tests
# make lint | types | docs   what CI runs besides; make site serves the documentation at http://127.0.0.1:8000
#
# PYTHON (3.11 or newer) and VENV may be set: make test PYTHON=python3.12 VENV=/tmp/venv

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check install -q -c constraints.txt
export PATH := $(abspath $(VENV))/bin:$(PATH)
export NO_MKDOCS_2_WARNING = 1

.PHONY: demo test lint types docs site
.DELETE_ON_ERROR:

demo: $(VENV)/.demo
	$(BIN)/diffkit train

test: $(VENV)/.dev
	$(BIN)/python -m pytest

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/.dev
	$(BIN)/mypy

docs: $(VENV)/.dev
	$(BIN)/mkdocs build --strict
	@echo "The site is in site/index.html; make site serves it, with its search."

site: $(VENV)/.dev
	$(BIN)/mkdocs serve

# torch goes first and by itself, so that the build pip finds for this machine is kept by what follows.
$(VENV)/.torch: constraints.txt
	@echo "Setting up $(VENV) with $(PYTHON); this takes a few minutes the first time."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "diffkit needs Python 3.11 or newer: make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch
	@touch $@

$(VENV)/.demo: $(VENV)/.torch pyproject.toml
	$(PIP) -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.torch pyproject.toml
	$(PIP) -e '.[dev]'
	@touch $@ $(VENV)/.demo
