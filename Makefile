# Every command anyone types. `make` alone lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PYTHONUTF8 := 1

.DEFAULT_GOAL := help

.PHONY: help
help:  ## List these targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/:/' | awk -F': ' '{printf "  %-10s %s\n", $$1, $$2}'

.PHONY: run
run: $(VENV)/.run  ## The main job, end to end; without vendor keys a rehearsal on this machine
	@$(BIN)/python -m relay.rehearsal.run

.PHONY: test
test: $(VENV)/.dev  ## Everything that is checked: lint, types, unit tests, dbt build
	$(BIN)/python -m pytest -n 2 --dist worksteal -q -m "not proof"
	$(MAKE) --no-print-directory lint

.PHONY: install
install: $(VENV)/.dev  ## Make .venv with what the product and its developers need

.PHONY: lint
lint: $(VENV)/.dev  ## ruff, mypy, sqlfluff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/sqlfluff lint --processes 2 models tests/dbt

.PHONY: format
format: $(VENV)/.dev  ## Rewrite Python and SQL to the project's layout
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/sqlfluff fix --processes 2 models tests/dbt

.PHONY: docs
docs: $(VENV)/.dev  ## Write docs/cli.md from the commands' help, and dbt's documentation to target/
	$(BIN)/python -m relay.cli.reference docs/cli.md
	$(BIN)/dbt docs generate --static --quiet

.PHONY: bench
bench: $(VENV)/.dev  ## Measure, as ratios in one run; CASE=name for one case
	$(BIN)/python -m bench $(CASE)

.PHONY: proof
proof: $(VENV)/.dev  ## The long proofs: kills at every durable write, random histories
	$(BIN)/python -m pytest -n 2 -q -m proof -s

.PHONY: check
check: test  ## What CI runs, and that the written documentation is current
	$(BIN)/python -m relay.cli.reference --check docs/cli.md

.PHONY: lock
lock: $(VENV)/.dev  ## Resolve requirements/*.in anew (needs uv)
	uv pip compile requirements/dev.in --universal --python-version 3.11 --upgrade --generate-hashes --no-emit-index-url --no-header -q -o requirements/dev.txt
	uv pip compile requirements/run.in -c requirements/dev.txt --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q -o requirements/run.txt

.PHONY: clean
clean:  ## Remove .venv and everything built; never landing/, outbox/ or ledger/
	rm -rf $(VENV) target logs .pytest_cache .mypy_cache .ruff_cache .hypothesis

# Wheels only, each with its hash: nothing is built, nothing runs while installing. Then dbt reads the
# project once: it keeps what it made of it, and the first run need not wait for that.
DBT_PARSE := unset RELAY_HOME; $(BIN)/dbt parse --quiet --no-write-json

$(VENV)/.run: requirements/run.txt pyproject.toml
	@test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all: -r requirements/run.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@$(DBT_PARSE)
	@touch $@

$(VENV)/.dev: requirements/dev.txt pyproject.toml
	@test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all: -r requirements/dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@$(DBT_PARSE)
	@touch $(VENV)/.run $@
