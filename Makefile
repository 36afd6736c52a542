# `make demo` and `make test` need a Python >= 3.11 and nothing else: no GPU, no display, no system GL.
PYTHON ?= python3
VENV ?= .venv
# pytest workers; each runs its arithmetic on one thread.
JOBS ?= 2
# PyTorch's own index holds the CPU build; PyPI's Linux wheel of the same version brings CUDA along.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP = $(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt
TORCH = torch --retries 2 --extra-index-url $(TORCH_INDEX)
PYTEST = OMP_NUM_THREADS=1 SDL_VIDEODRIVER=dummy $(BIN)/pytest -n $(JOBS)
SOURCES = gato_gym envs agents demos runs benchmarks tests setup.py

.DEFAULT_GOAL := help
.PHONY: help venv demo test suite check wheel-check links bench lint format types clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

venv: $(STAMP) ## .venv with the pinned packages and this checkout, editable

$(STAMP): setup.py constraints.txt
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("gato-gym needs Python >= 3.11: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade pip
	$(PIP) $(TORCH)
	$(PIP) -e '.[all,dev]'
	@touch $@

demo: venv ## play bundled tasks of every domain: videos/*.mp4 and videos/scores.json
	$(BIN)/python demos/record.py

test: venv ## all tests
	$(PYTEST)

suite: venv ## build and play every task of the catalogue; figures in build/suite.jsonl
	@rm -f build/suite.jsonl
	$(PYTEST) -m suite

check: venv links ## what a change must pass: format, lint, types, tests
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(PYTEST)

lint: venv ## format and lint, without changing a file
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)

format: venv ## rewrite the files the way `lint` wants them
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

types: venv links ## mypy over the three roots as one package
	$(BIN)/mypy

# Type checkers cannot follow the editable install's import hook: they see one tree of links instead.
links: ## .links/gato_gym, the package as one folder
	@rm -rf .links && mkdir -p .links/gato_gym
	@ln -s $(addprefix $(CURDIR)/,$(wildcard gato_gym/*) envs agents) .links/gato_gym/

# The tests run from an empty folder, so that only the installed wheel can answer the imports.
wheel-check: venv ## build the wheel, install it into a fresh venv, run the tests on it
	rm -rf build dist && mkdir -p build/wheel/empty
	$(BIN)/python -m build --wheel --outdir dist/wheel .
	$(PYTHON) -m venv build/wheel/venv
	$(MAKE) --no-print-directory wheel-test VENV=build/wheel/venv

.PHONY: wheel-test
wheel-test:
	$(PIP) --upgrade pip
	$(PIP) $(TORCH)
	$(PIP) "$$(ls dist/wheel/*.whl)[all,dev]"
	cd build/wheel/empty && PATH="$(CURDIR)/$(BIN):$$PATH" OMP_NUM_THREADS=1 SDL_VIDEODRIVER=dummy \
		$(CURDIR)/$(BIN)/pytest -n $(JOBS) -c $(CURDIR)/pyproject.toml --rootdir $(CURDIR) \
		-p no:cacheprovider $(CURDIR)/tests

bench: venv ## speed, one JSON object per line
	@for what in env collect data train act; do $(BIN)/gato-gym bench $$what --json || exit 1; done

clean: ## remove caches and build outputs; keeps .venv, videos and runs
	rm -rf build dist .links .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find gato_gym envs agents demos runs benchmarks tests -name __pycache__ -prune -exec rm -rf {} +
