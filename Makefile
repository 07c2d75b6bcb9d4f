# Every command sets itself up first: a virtual environment in .venv with the pinned versions.
# Nothing here asks a question, and nothing sends telemetry.

PYTHON ?= python3
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export DVC_NO_ANALYTICS := 1
export GX_ANALYTICS_ENABLED := false
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export DO_NOT_TRACK := 1
export PREFECT_HOME := $(CURDIR)/.prefect
READY := .venv/.ready
JOBS ?= 2

.PHONY: help run all plan flow results test test-slow benchmark check check-contract format clean

help: ## say what there is
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 22

run: $(READY) ## build the main pipeline, retail, from raw data to data/bundle/retail
	dvc repro package@retail

all: $(READY) ## = dvc repro: every pipeline that params.yaml lists, JOBS side by side; a failed one stops no other
	@# dvc fails with 255, on which xargs would begin no other; threads that spin while they wait starve those beside them
	dvc stage list --name-only | grep '^package@' | OMP_WAIT_POLICY=PASSIVE xargs -P $(JOBS) -I {} \
		sh -c 'dvc --wait-for-lock repro {} || exit 1'

plan: $(READY) ## say what would run, and why
	@python -m flows.plan

flow: $(READY) ## the same as `make all`, run by Prefect with no server set up
	python -m flows.run

results: $(READY) ## print the table of results from the reports below data/
	@python scripts/results.py

test: $(READY) ## the default tests, a few minutes
	python -m pytest -q -n 2 --dist loadfile

test-slow: $(READY) ## the slow tests: real registries, a real Prefect server, full pipelines
	python -m pytest -q -m slow

benchmark: $(READY) ## speed and memory of the data stages beside pandas, Polars and DuckDB (minutes; needs a quiet machine)
	test -d data/raw/delays || python -m stages.fetch --pipeline delays --lock sources/delays/lock.json --out data/raw/delays
	python -m benchmarks.data

check: $(READY) ## ruff, mypy --strict, and the contract
	ruff check .
	ruff format --check .
	mypy
	python -m stages.contract check

check-contract: $(READY) ## hold params.yaml against what every stage allows
	@python -m stages.contract check

format: $(READY) ## ruff's formatting
	ruff check --fix-only -q .
	ruff format -q .

clean: ## remove the environment; data, cache and bundles stay
	rm -rf .venv

# uv installs in seconds what pip takes minutes for. It does not read pip's configuration, so the
# addresses and certificates that pip is set up with are handed on (docs/decisions.md). Byte code is
# compiled here once, so that no stage pays for it.
$(READY): constraints.txt pyproject.toml scripts/install.sh
	PYTHON="$(PYTHON)" sh scripts/install.sh
	@touch $(READY)
