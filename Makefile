# Everything a contributor or an operator does here, from a fresh machine with Python 3.11+ and make.
# PYTHON=/path/to/python chooses the interpreter; ARGS=... is passed on to the command that a target runs.

PYTHON ?=
ARGS ?=
BIN := .venv/bin
# Tests wait for processes more than they compute, so run four per core; at least eight, so that tests which disturb one another show it
# on a small machine, too. With worksteal, a process that has run all its tests takes some from the others.
SIDE_BY_SIDE := $(shell n=$$(( 4 * $$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2) )); [ "$$n" -gt 8 ] && echo "$$n" || echo 8) --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help setup demo test stories check format bench chaos long examples pictures axe prove mutants contract lock clean

help: ## show this help
	@awk 'BEGIN {FS = ":.*## "} /^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile

setup: ## create .venv with the locked dependencies, and a Redis if this machine has none
	@PYTHON="$(PYTHON)" sh scripts/setup.sh

demo: setup ## run one of each job against a private Redis and the API stand-in
	@$(BIN)/coupontools-worker demo $(ARGS)

# With PYTHONDONTWRITEBYTECODE set, each of these processes would compile every module and rewrite every assertion itself.
test stories: export PYTHONDONTWRITEBYTECODE :=
test: setup ## run the tests
	@# In a fresh clone, compile all tests once before: otherwise each process would, at eight seconds of CPU each.
	@[ -d tests/__pycache__ ] || $(BIN)/python -m pytest --collect-only -q > /dev/null 2>&1 || true
	@$(BIN)/python -m pytest -n $(SIDE_BY_SIDE) $(ARGS)

stories: setup ## run the long stories of real processes; `make test` tests their parts one by one
	@$(BIN)/python -m pytest -n $(SIDE_BY_SIDE) -m story $(ARGS)

check: setup ## lint, format check, type check, import rules, lock files
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo --no-cache
	@$(BIN)/python scripts/lock.py --check

format: setup ## format the code and mend what the linter can
	@$(BIN)/ruff check --fix --exit-zero --quiet .
	@$(BIN)/ruff format .

bench: setup ## measure
	@$(BIN)/python -m benchmarks $(ARGS)

chaos: setup ## break everything at once for a while (ARGS="--seed 7 --seconds 600"), and count
	@$(BIN)/python -m tests.chaos $(ARGS)

long: setup ## run all tests at ten times their length (CHAOS_SCALE), and those that `make test` leaves out
	@CHAOS_SCALE="$${CHAOS_SCALE:-10}" $(BIN)/python -m pytest -m "" $(ARGS)

examples: setup ## run each example whose language is installed here, as its page says, and name the others
	@EXAMPLES=install $(BIN)/python -m pytest tests/test_examples.py -m "" -p no:xdist -v -s $(ARGS)

pictures: setup ## take the pictures of docs/web.md from the running page; needs Chromium
	@$(BIN)/python -m tests.pictures $(ARGS)

axe: setup ## look at every page for operators with axe-core; needs Chromium and npm
	@npm install --silent --no-save --prefix .venv/axe axe-core@4.14.1
	@AXE_CORE="$$PWD/.venv/axe/node_modules/axe-core/axe.min.js" $(BIN)/python -m pytest -m chaos tests/workers/web $(ARGS)

prove: ## check the model of the delivery protocol (docs/proof) whole; needs spin and gcc
	@python3 scripts/prove.py $(ARGS)

mutants: setup ## change one thing at a time in delivery and the broker, and see whether a test notices (ARGS="--count 30 claim.lua")
	@$(BIN)/python scripts/mutants $(ARGS)

contract: setup ## write docs/contract anew
	@$(BIN)/coupontools-worker contract --folder docs/contract

lock: setup ## choose the newest allowed dependencies for requirements/*.lock (for maintainers; needs uv)
	@$(BIN)/python scripts/lock.py

clean: ## remove .venv, caches and everything built
	@rm -rf .venv build dist *.egg-info .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
