# make rollout   set everything up in .venv and fly the default rollout
# make test      set everything up with the development tools, then lint, type check and test, two tests at a time
# PYTHON=python3.12 picks the interpreter; ARGS="--depth oracle" adds options to the rollout.

PYTHON ?= python3
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
TYPED := asyncmde_sim scenes envs agents scripts
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: rollout test clean

rollout: $(VENV)/.stamp-run
	$(BIN)/python scripts/rollout.py --env ExtremeMotion-v0 $(ARGS)

test: $(VENV)/.stamp-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@if $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))'; \
	  then echo "$(BIN)/mypy $(TYPED)"; $(BIN)/mypy $(TYPED); \
	  else echo "types are not checked: numpy for Python 3.10 has older type hints"; fi
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

clean:
	rm -rf $(VENV) runs

$(VENV)/.stamp-run: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable .
	touch $@

$(VENV)/.stamp-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable ".[dev]"
	touch $@ $(VENV)/.stamp-run

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 14))' || \
	  { echo "$(PYTHON) is missing or not Python 3.10 to 3.13: name another one with PYTHON=..." >&2; exit 1; }
	@command -v c++ >/dev/null && $(PYTHON) -c 'import os, sys, sysconfig as s; \
	  sys.exit(not os.path.exists(s.get_path("include") + "/Python.h"))' || \
	  { echo "scikit-fmm is compiled when it is installed, which needs a compiler and Python's headers" \
	  "(Debian, Ubuntu: apt install build-essential python3-dev)" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "$(PYTHON) could not make a virtual environment (Debian, Ubuntu: apt install python3-venv)" >&2; exit 1; }
