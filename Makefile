# `make help` lists the targets. Everything is installed into .venv; nothing needs configuring.

PYTHON ?= python3
JOBS ?= 2

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input
PYTEST := $(BIN)/python -bb -m pytest
# Workers do not inherit the flags of the interpreter that starts them, so they are spelled out.
PARALLEL := --dist load --tx '$(JOBS)*popen//python=$(BIN)/python -bb'

# A stamp is newer than pyproject.toml while its extra is installed: a second `make` is quick.
RUN_STAMP := $(VENV)/.installed-cli
DEV_STAMP := $(VENV)/.installed-dev
DOCS_STAMP := $(VENV)/.installed-docs

.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help setup demo check fix format lint types layers coverage test interop interop-peers \
        bench soak walk attackers nightly versions fuzz docs man clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(DEV_STAMP) ## make .venv with everything that check and test need

demo: $(RUN_STAMP) ## two peers trade a file over bitswap (FILE=path for one of yours)
	@$(BIN)/python -m libp2p.ipfs_lite.demo $(if $(FILE),"$(FILE)")

check: format lint types layers coverage ## format, lint, types, layers, coverage of the cores

fix: $(DEV_STAMP) ## format the code, and mend what the linter can mend
	@$(BIN)/ruff check --fix --exit-zero .
	@$(BIN)/ruff format --quiet .

format: $(DEV_STAMP)
	@$(BIN)/ruff format --check --quiet . || { echo "make check: run make fix" >&2; exit 1; }

lint: $(DEV_STAMP)
	@$(BIN)/ruff check --quiet .

types: $(DEV_STAMP)
	@$(BIN)/mypy

layers: $(DEV_STAMP)
	@$(PYTEST) -q tests/architecture

coverage: $(DEV_STAMP) ## 100 % branch coverage of the protocol cores
	@$(BIN)/python -bb -m coverage run -m pytest -q tests/unit
	@$(BIN)/python -m coverage report --fail-under=100 \
	    --include="$$($(BIN)/python -m tests.architecture.source_tree cores)"

test: $(DEV_STAMP) ## all tests that need no peer to be built
	@$(PYTEST) $(PARALLEL) -m "not interop or wheel"

interop: $(DEV_STAMP) interop-peers ## tests against Go, Rust, JavaScript, Python peers (LONG=1: 10 min more)
	@INTEROP_REQUIRED=1 $(PYTEST) -m "interop$(if $(LONG),, and not long)" tests/interop

interop-peers: ## build these peers into the user's cache folder (needs go, cargo, npm)
	@$(PYTHON) tests/interop/build_peers.py

bench: $(DEV_STAMP) ## ratios beside py-libp2p 0.8.1, go-libp2p and Kubo (ROWS="stream add")
	@$(PYTHON) tests/interop/build_peers.py kubo libp2p-peer boxo-peer
	@$(BIN)/python -m bench.run $(ROWS)

soak: $(DEV_STAMP) ## one busy connection for minutes: no stall, flat memory, short streams <= 50 ms
	@$(BIN)/python -m bench.soak --seconds $(or $(SOAK_SECONDS),300)

walk: $(DEV_STAMP) ## a random walk over a host, by default of 10,000 steps (STEPS=500 SEED=7)
	@STEPS=$(or $(STEPS),10000) SEED=$(SEED) $(PYTEST) -s tests/integration/test_random_walk.py

attackers: $(DEV_STAMP) ## 400 attackers at one host: its memory, its loop, an honest peer beside them
	@$(BIN)/python -m bench.attackers --attackers $(or $(ATTACKERS),400)

nightly: $(DEV_STAMP) interop-peers walk attackers soak ## what takes an hour: these, and each test that has a NIGHTLY size
	@NIGHTLY=1 INTEROP_REQUIRED=1 $(PYTEST) $$(grep -rlw NIGHTLY tests --include='test_*.py')

versions: ## the tests with each newer Python that is here, in environments of their own
	@for version in 3.12 3.13 3.14; do \
	    python$$version -c "" 2>/dev/null || { echo "python$$version is not here"; continue; }; \
	    own=build/python$$version/bin/python; \
	    python$$version -m venv build/python$$version && \
	    $$own -m pip --quiet --disable-pip-version-check --no-input install --editable '.[dev]' && \
	    $$own -m pip --quiet --no-input uninstall --yes trio-typing && \
	    $$own -bb -m pytest -q --ignore tests/architecture -m "not interop" || exit 1; \
	done

fuzz: $(DEV_STAMP) ## all that reads bytes from peers, then the properties 50 times as long
	@$(PIP) install --only-binary :all: atheris 2>/dev/null || echo "no atheris for this Python"
	@$(BIN)/python -m fuzz.run --seconds $(or $(FUZZ_SECONDS),15) $(TARGETS)
	@$(PYTEST) $(PARALLEL) -m hypothesis --hypothesis-profile=fuzz --timeout=1800 tests/unit

docs: $(DOCS_STAMP) ## build docs/_build/html
	@$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

man: $(DOCS_STAMP) ## write man pages of ipfs-lite into build/man
	@$(BIN)/python -m docs.man_pages build/man
	@echo "build/man"

clean: ## remove .venv and everything that was built
	rm -rf $(VENV) build dist docs/_build *.egg-info .coverage .coverage.* \
	    .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	    echo "make: Python 3.11 or newer is needed, and '$(PYTHON)' is not; name one with make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	    echo "make: '$(PYTHON) -m venv' failed; on Debian and Ubuntu install python3-venv" >&2; exit 1; }

# multiaddr requires trio-typing and never imports it; its stubs of an old trio would shadow the types
# that trio itself has, so it goes after every installation.
define install
	@$(PIP) install --editable '.[$(1)]'
	@$(PIP) uninstall --yes trio-typing
endef

$(RUN_STAMP): pyproject.toml | $(BIN)/python
	$(call install,cli)
	@touch $@

$(DEV_STAMP): pyproject.toml | $(BIN)/python
	$(call install,dev)
	@touch $(RUN_STAMP) $@

$(DOCS_STAMP): pyproject.toml | $(BIN)/python
	$(call install,docs)
	@touch $@
