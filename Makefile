# make search   set up, search TUNet on simulated frames, end with the path of the leaderboard
# make test     set up, then lint, types and every test

PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup search test quick-test lint clean

setup: .venv/ready

.venv/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "gapsearch needs Python 3.11 or newer, got $$($(PYTHON) -V); say which one with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	@echo "setting up .venv (some minutes and some GB the first time)"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

search: setup
	$(BIN)/python -m search.run tunet

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest

quick-test: setup
	$(BIN)/python -m pytest -m "not slow"

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache build *.egg-info
