# make demo: install and run the main job.  make test: install and run every check and test.  make quick: the fast ones.
# make help lists the rest.
#
# PYTHON     the interpreter that .venv is made with (default: the first that fits)
# PIP_FLAGS  for example --extra-index-url https://download.pytorch.org/whl/cpu, for a torch without CUDA
# WORKERS    processes over which the tests are distributed
# HOURS      duration of make fuzz

PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3; do \
	if $$python -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	then echo $$python; break; fi; done)
PIP_FLAGS ?= $(if $(CI),--quiet --progress-bar off)
WORKERS ?= 2
HOURS ?= 1

# Folders whose fast tests finish within half a minute together; make test runs the others.
FAST_TESTS := $(addprefix tests/,network domains encodings programs bounds verification io) tests/test_vocabulary.py

VENV := .venv
BIN := $(VENV)/bin
PINS := pyproject.toml constraints.txt
or_say = || { echo "make: $(1)" >&2; exit 1; }

export PIP_DISABLE_PIP_VERSION_CHECK = 1
export NO_MKDOCS_2_WARNING = true

.DEFAULT_GOAL := help
.PHONY: help demo test quick lint types imports unit fast fuzz docs format clean

help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.run ## Install, then find the strongest concrete mix with configs/quickstart.yaml
	@$(BIN)/relu-attack maximize configs/quickstart.yaml $(call or_say,the demo failed: see above)

test: ## Install, then run every check and test
	@$(MAKE) --no-print-directory -j $(WORKERS) lint types imports docs
	@$(MAKE) --no-print-directory unit

quick: ## Check style, types and imports, and run the fast tests: under a minute
	@$(MAKE) --no-print-directory -j 2 lint types imports fast

lint: $(VENV)/.dev ## Check style and format
	@$(BIN)/ruff check . $(call or_say,ruff found the problems above; make format fixes most of them)
	@$(BIN)/ruff format --check . $(call or_say,the files above are not formatted; run make format)

types: $(VENV)/.dev ## Check types
	@$(BIN)/mypy $(call or_say,mypy found the type errors above)

imports: $(VENV)/.dev ## Check which package imports which
	@$(BIN)/lint-imports $(call or_say,an import violates the layer contract: see the broken contracts above)

unit: $(VENV)/.dev ## Run tests and doctests with coverage
	@OMP_NUM_THREADS=1 $(BIN)/pytest -n $(WORKERS) --dist worksteal --cov --doctest-modules relu_attack tests \
		$(call or_say,a test failed or coverage fell below its bound: see above)

fast: $(VENV)/.dev ## Run the fast tests of the parts
	@OMP_NUM_THREADS=1 $(BIN)/pytest -q -n $(WORKERS) --dist worksteal -m "not slow" $(FAST_TESTS) \
		$(call or_say,a test failed: see above)

fuzz: $(VENV)/.dev ## Draw networks, sets and claims for HOURS and check every answer in exact arithmetic
	@OMP_NUM_THREADS=1 $(BIN)/python -m tests.fuzz.run --hours $(HOURS) \
		$(call or_say,the cases above have faults; python -m tests.fuzz.run --problems 1 --seed SEED runs one again)

docs: $(VENV)/.dev ## Build the documentation into site/
	@$(BIN)/mkdocs build --strict --quiet $(call or_say,the documentation does not build without warnings)

format: $(VENV)/.dev ## Format the code and fix what ruff can fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## Remove caches and built files (delete .venv by hand to install again)
	rm -rf site build dist *.egg-info .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -exec rm -rf {} +

# Stamp files: the installation is repeated only after a change of pyproject.toml or constraints.txt.

$(BIN)/python:
	@test -n "$(PYTHON)" $(call or_say,no Python 3.11 or later with venv was found: set PYTHON=/path/to/python3)
	@echo "Creating $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv $(VENV) $(call or_say,$(PYTHON) could not create $(VENV): is its venv package installed?)

$(VENV)/.run: $(PINS) | $(BIN)/python
	@echo "Installing relu-attack into $(VENV) (some minutes the first time)"
	@$(BIN)/python -m pip install $(PIP_FLAGS) -c constraints.txt -e . $(call or_say,the installation failed: see above)
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	@echo "Installing the development dependencies into $(VENV)"
	@$(BIN)/python -m pip install $(PIP_FLAGS) -c constraints.txt -e ".[dev]" \
		$(call or_say,the installation failed: see above)
	@touch $@
