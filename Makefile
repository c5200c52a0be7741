# SmartQueue. `make` or `make help` lists the targets.

.DEFAULT_GOAL := help
SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
AUDIT := .venv-audit

# The first Python from 3.11 to 3.13 that really runs.
FIND_PYTHON = for name in $(PYTHON) python3 python3.13 python3.12 python3.11; do \
	$$name -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && { echo $$name; break; }; done

.PHONY: help setup run test e2e chaos bench test-oracle lint audit fmt docs retrain migrate clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(VENV)/.runtime ## Start everything with a demo organisation; Ctrl-C stops it
	@exec $(BIN)/python manage.py up

setup: $(VENV)/.dev ## Make the virtual environment with everything for development

$(VENV)/bin/python:
	@python=$$($(FIND_PYTHON)); \
	if [ -z "$$python" ]; then echo "SmartQueue needs Python 3.11, 3.12 or 3.13; none was found (set PYTHON=/path/to/python3)." >&2; exit 1; fi; \
	echo "Making a virtual environment with $$($$python --version) ..."; \
	$$python -m venv $(VENV) || { rm -rf $(VENV); echo "Python's venv module failed; on Debian or Ubuntu: apt-get install python3-venv" >&2; exit 1; }

$(VENV)/.runtime: $(VENV)/bin/python requirements.txt
	@echo "Installing what SmartQueue needs (about a minute on a first run) ..."
	@$(BIN)/python -m pip install --disable-pip-version-check --progress-bar on -r requirements.txt
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements-dev.txt
	@echo "Installing what the tests need ..."
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet -r requirements-dev.txt
	@touch $@

test: $(VENV)/.dev ## Lint, types, layering and the whole test suite
	@sh scripts/check.sh $(BIN)

lint: $(VENV)/.dev ## Ruff, mypy, import-linter
	@sh scripts/check.sh $(BIN) --static

$(AUDIT)/.tools: $(VENV)/.dev requirements-audit.txt
	@$(BIN)/python -m venv $(AUDIT)
	@$(AUDIT)/bin/python -m pip install --disable-pip-version-check --quiet -r requirements-audit.txt
	@touch $@

audit: $(AUDIT)/.tools ## Bandit over the code, pip-audit over the dependencies
	@$(BIN)/python scripts/audit.py $(AUDIT)/bin $(BIN)/python

fmt: $(VENV)/.dev ## Format the code and sort imports
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

e2e: $(VENV)/.dev ## The browser tests in long form (needs Chromium)
	@sh scripts/ensure_chromium.sh && $(BIN)/python -m pytest tests/e2e -q -m "e2e or slow"

chaos: $(VENV)/.dev ## Kill workers and leaders in the middle of the work
	@$(BIN)/python -m pytest tests/chaos -q -m "slow or not slow"

bench: $(VENV)/.dev ## Throughput, latency, growth and pressure beside raw SQL and other queues
	@$(BIN)/python -m bench

test-oracle: $(VENV)/.dev ## Compare the LSTM with PyTorch (installs PyTorch into a venv of its own)
	@sh scripts/test_oracle.sh

docs: $(VENV)/.dev ## Write the generated parts of docs/ again
	@$(BIN)/python manage.py writedocs

retrain: $(VENV)/.runtime ## Train the predictor on what has run so far
	@$(BIN)/python manage.py retrain

migrate: $(VENV)/.runtime ## Bring the database up to date
	@$(BIN)/python manage.py migrate

clean: ## Remove the virtual environment and generated files (data folders stay)
	@rm -rf $(VENV) $(AUDIT) staticfiles .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
