SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
PYTHON := .venv/bin/python
BIN := .venv/bin

.PHONY: help install lock lock-check format lint types imports check test test-slow test-unit bench jars

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: ## Create .venv and install the locked dependencies
	@scripts/install.sh

lock: ## Resolve the dependency groups anew into requirements-*.txt
	@scripts/lock.sh

lock-check: ## Fail if requirements-*.txt no longer match pyproject.toml
	@scripts/lock.sh --check

jars: ## Download the pinned Kafka, Spark and Hudi jars
	@scripts/download_jars.sh

format: ## Rewrite the code in the project's format
	@$(BIN)/ruff check --fix-only --quiet . && $(BIN)/ruff format .

lint: ## Ruff, shellcheck and format
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/shellcheck -x ./*.sh scripts/*.sh .ci/run

types: ## mypy, strict
	@$(BIN)/mypy

imports: ## The import contracts
	@$(BIN)/lint-imports --no-cache

check: lint types imports lock-check ## Everything that needs no running

test: ## Every test that belongs in CI, with the coverage of all but the end-to-end ones
	@$(BIN)/pytest tests/unit tests/contract -n 2 --cov --cov-report= --cov-fail-under=0
	@$(BIN)/coverage report --rcfile=tests/pure.coveragerc
	@$(BIN)/pytest tests/integration -m "spark and not slow" -n 2 --dist loadfile --cov --cov-append \
	  --cov-report= --cov-fail-under=0
	@$(BIN)/pytest tests/integration -m "not spark and not slow" -n 2 --dist loadfile --cov --cov-append \
	  --cov-report=term
	@$(BIN)/pytest tests/e2e -m "not slow" --durations=20

test-slow: ## The tests that CI has no time for, about 10 minutes
	@$(BIN)/pytest tests/integration tests/e2e -m slow

test-unit: ## The pure tests only, in seconds
	@$(BIN)/pytest tests/unit tests/contract -q

bench: ## Benchmarks, each beside a rival or floor in the same run
	@$(PYTHON) benchmarks/run.py
