# make search   set up, search TUNet on simulated frames, end with the path of the leaderboard
# make inpaint  set up, fill a simulated frame with the model that comes along, end with a picture before and after
# make test     set up, then lint, types and every test; those against dlsia in an environment of their own
# make quick-test   the tests that start no Ray, no browser and no whole run
# make test-gpu     the tests that need a GPU, with the python3 of the path, whose PyTorch knows CUDA
# make soak     random tests at length, for hours; SEED=N repeats one of them

PYTHON ?= python3
BIN := .venv/bin
# Two workers: whole runs one after another on one, Ray within the tests on the other, between them the rest
# (tests/conftest.py).
PYTEST := -m pytest -n 2 --dist loadscope --no-loadscope-reorder --durations=10

.PHONY: setup search inpaint test test-pymsdtorch test-gpu quick-test soak lint clean

setup: .venv/ready

.venv/ready: pyproject.toml constraints.txt constraints-shared.txt
.venv/ready: SETUP := -c constraints.txt -e '.[dev]'

.venv-pymsdtorch/ready: pyproject.toml constraints-pymsdtorch.txt constraints-shared.txt
.venv-pymsdtorch/ready: SETUP := -c constraints-pymsdtorch.txt -e '.[dev,pymsdtorch]'

%/ready:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "gapsearch needs Python 3.11 or newer, got $$($(PYTHON) -V); say which one with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	@echo "setting up $* (some minutes and some GB the first time)"
	$(PYTHON) -m venv $*
	$*/bin/python -m pip install --quiet --disable-pip-version-check $(SETUP)
	@touch $@

search: setup
	$(BIN)/python -m search.run tunet

inpaint: setup
	$(BIN)/python -m scattering.simulate --frames 1 --exposures 1 --seed 5 -o filled/measured.h5
	$(BIN)/python -m search.inpaint models/pilatus2m.safetensors filled/measured.h5 -o filled/filled.h5 \
	  --picture filled/before_after.png
	@echo "before and after: filled/before_after.png"

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/python $(PYTEST)
	@$(MAKE) --no-print-directory test-pymsdtorch

test-pymsdtorch: .venv-pymsdtorch/ready
	.venv-pymsdtorch/bin/python $(PYTEST) -m dlsia

test-gpu:
	$(PYTHON) -m pytest -m gpu -n 0 tests/trainables/test_card.py

soak: SEED ?= $(shell date +%s)
soak: setup
	SOAK=$(SEED) $(BIN)/python $(PYTEST) --hypothesis-seed=$(SEED) -m "fuzz or hypothesis"

quick-test: setup
	$(BIN)/python $(PYTEST) -m "not slow"

clean:
	rm -rf .venv .venv-pymsdtorch .mypy_cache .ruff_cache .pytest_cache build *.egg-info
