# riskfed: `make help` lists the targets. Every target sets up what it needs.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# Nothing here talks to anybody outside: no telemetry, no update checks.
export FLWR_TELEMETRY_ENABLED := 0
export FLWR_DISABLE_UPDATE_CHECK := 1
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := true

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*?## ' $(MAKEFILE_LIST) | awk -F':.*?## ' '{printf "  make %-15s %s\n", $$1, $$2}'

.PHONY: setup
setup: $(READY) ## Private virtual environment with pinned packages

$(READY): pyproject.toml constraints.txt overrides.txt
	@test -n "$(PYTHON)" || { echo "riskfed needs Python 3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --override overrides.txt --editable '.[dev]'
	@touch $@

.PHONY: demo
demo: $(READY) ## Five banks train one model under encryption on real Flower processes; table at the end
	$(BIN)/riskfed demo

MODEL := xgboost
.PHONY: demo-vertical
demo-vertical: $(READY) ## A lender and a partner train on their common customers, encrypted, and score jointly; MODEL=logistic for a scorecard
	$(BIN)/riskfed demo-vertical --model $(MODEL)

.PHONY: up
up: $(READY) ## The demo's whole stack, kept running (MLflow, scoring API)
	$(BIN)/riskfed up

.PHONY: down
down: $(READY) ## Stop what `make up` started
	$(BIN)/riskfed down

.PHONY: test
test: lint ## Lint, types, layers and all tests
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder --nbmake tests notebooks

.PHONY: test-quick
test-quick: lint ## As `test`, without the slow ones
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder -m 'not slow'

.PHONY: lint
lint: $(READY) ## Lint, format, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: format
format: $(READY) ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: bench
bench: $(READY) ## Cost and exactness tables; writes runs/bench/trees.json
	$(BIN)/python -m benchmarks.trees

.PHONY: bench-scale
bench-scale: $(READY) ## One bank of 1M to 50M rows, and two threads; writes runs/bench/scale.json
	$(BIN)/python -m benchmarks.scale

.PHONY: bench-rounds
bench-rounds: $(READY) ## One round over each transport; writes runs/bench/rounds.json
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --override overrides.txt --editable '.[bench]'
	$(BIN)/python -m benchmarks.rounds

.PHONY: bench-models
bench-models: $(READY) ## riskfed beside pooled xgboost, Flower's stock strategies and each bank alone; writes runs/bench/models.json
	$(BIN)/python -m benchmarks.models

.PHONY: bench-vertical
bench-vertical: $(READY) ## Vertical XGBoost under Paillier beside peers and phe, 10,000 to 300,000 rows; writes runs/bench/vertical.json
	$(BIN)/python -m benchmarks.vertical

.PHONY: bench-field
bench-field: $(READY) ## Vertical logistic regression, transfer, contribution, compression, privacy; writes runs/bench/field.json
	$(BIN)/python -m benchmarks.field

.PHONY: bench-serving
bench-serving: $(READY) ## The scoring service beside `mlflow models serve`, and 60 s of load with faults; writes runs/bench/serving.json
	$(BIN)/python -m benchmarks.serving

.PHONY: faults
faults: $(READY) ## Kill, stop, cut off and fill up every part of a running federation; writes runs/faults.json
	$(BIN)/python -m tests.faults

.PHONY: fuzz
fuzz: $(READY) ## Hostile bytes for every border, FUZZ_SECONDS long (600), with a new seed
	$(BIN)/python -m tests.fuzz

.PHONY: notebooks
notebooks: $(READY) ## Run the notebooks and render them, with their outputs, into docs/notebooks
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --override overrides.txt --editable '.[docs]'
	rm -rf docs/notebooks
	$(BIN)/jupyter nbconvert --log-level WARN --to markdown --execute --output-dir docs/notebooks notebooks/*.ipynb
	sed -i '/<style/,/<\/style>/d' docs/notebooks/*.md

.PHONY: clean
clean: ## Remove what runs and builds leave
	rm -rf runs .pytest_cache .mypy_cache .ruff_cache .hypothesis
