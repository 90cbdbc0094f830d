# Needs Python 3.11 or newer and GNU make; everything else goes into .venv.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# The first interpreter that is new enough. Choose another with `make setup PYTHON=…`.
PYTHON ?= $(firstword $(foreach name,python3 python3.14 python3.13 python3.12 python3.11,$(shell \
	$(name) -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $(name))))
# Test processes side by side.
JOBS ?= 2
# Further arguments for the program that a target runs, for example `make test ARGS='-k echo'`.
ARGS ?=
BUF_VERSION := 1.75.0
NPM_DIR := $(VENV)/npm
BUF := $(NPM_DIR)/node_modules/.bin/buf

.DEFAULT_GOAL := help
.PHONY: help setup run test check lint types generated buf imports house-rules fix proto docs bench clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

setup: $(STAMP) ## Create .venv with everything that development needs

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer was not found. Install it, or name it: make setup PYTHON=/path/to/python3" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "'$(PYTHON) -m venv' failed; on Debian and Ubuntu install python3-venv" >&2; rm -rf $(VENV); exit 1; }
	@echo "Installing into $(VENV) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

run: $(STAMP) ## Start the platform with examples and print how to call them
	@$(BIN)/penstock up examples/echo examples/voice_activity examples/word_stream examples/voice_agent/voice_agent.py $(ARGS)

test: $(STAMP) ## Run every test
	@$(BIN)/pytest -n $(JOBS) --dist loadfile $(ARGS)

check: lint types generated buf imports house-rules ## Run every check that is not a test of behaviour

lint: $(STAMP)
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check

types: $(STAMP)
	@$(BIN)/mypy

generated: $(STAMP)
	@$(BIN)/python tools/generate_proto.py --check
	@$(BIN)/python tools/generate_docs.py --check

buf: $(STAMP)
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory $(BUF) && $(BUF) lint && $(BUF) format --diff --exit-code; \
	else echo "buf lint is skipped: npm was not found"; fi

$(BUF): Makefile
	@npm install --silent --no-audit --no-fund --no-save --prefix $(NPM_DIR) @bufbuild/buf@$(BUF_VERSION)
	@touch $@

imports: $(STAMP)
	@$(BIN)/lint-imports

house-rules: $(STAMP)
	@$(BIN)/pytest -q tests/test_house_rules.py tests/unit/test_proto.py tests/unit/test_docs.py \
		tests/integration/docs/test_documented_tables.py

fix: $(STAMP) ## Mend what ruff can mend, and format
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

# protoc finds its plugins by PATH. Only here: `make run` prints commands for the PATH that the user has.
generated proto: export PATH := $(abspath $(BIN)):$(PATH)

proto: $(STAMP) ## Generate the Python code of proto/ again
	@$(BIN)/python tools/generate_proto.py

docs: $(STAMP) ## Generate the pages of docs/ that are made from code
	@$(BIN)/python tools/generate_docs.py

bench: $(STAMP) ## Compare with other servers on this machine; writes bench/RESULTS.md
	@$(BIN)/python bench/run.py $(ARGS)

clean: ## Remove .venv and caches
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache bench/.build
