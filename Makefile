# Needs make and Python 3.11 or newer. Nothing else: the first target that needs an environment makes it in .venv.
SHELL := /bin/sh
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV := .venv
PY   := $(VENV)/bin/python
PIP  := $(PY) -m pip --disable-pip-version-check -q --retries 10 --timeout 60
ARGS ?=
# The same order of tests, so that what turns red is the change; another SEED shows what leans on the order.
SEED ?= 1
# A process a core, four at most, of which one that has nothing left takes from another; ARGS='-n 0' keeps to one, and to the order.
EACH := -n auto --maxprocesses 4 --dist worksteal
# Whole files in two processes, each with servers of its own: these tests mostly wait.
SERVED := -n 2 --dist loadfile --no-loadscope-reorder
# As the command itself does: NumPy's second thread waits for the first at each step, for minutes where the machine is busy.
export OPENBLAS_NUM_THREADS ?= 1
# A name on PATH proves nothing (a pyenv shim can exist and fail), so each candidate is run.
PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13 python3.14 python; do \
  "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo "$$p"; break; }; done)

.PHONY: help run test test-long test-train live live-hec live-full bench-live lint docs golden bench coverage dev lock wheel clean

help:  ## list these targets
	@echo "make TARGET [ARGS='...']"
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r name text; do \
	  printf '  %-10s %s\n' "$$name" "$$text"; done

run: $(VENV)/.base  ## the demonstration, until Ctrl-C (ARGS=--once: one pass, under a minute)
	@$(VENV)/bin/spikebridge demo $(ARGS)

test: $(VENV)/.dev  ## every test that needs no server, about 3 minutes on two cores
	$(PY) -m pytest $(EACH) -m "not long and not train and not live and not live_hec and not live_full" --randomly-seed $(SEED) $(ARGS)

test-long: $(VENV)/.dev  ## repeated kills, long fuzzing, the demonstration, the wheel in a clean environment: 25 minutes on two slow cores
	HYPOTHESIS_PROFILE=long $(PY) -m pytest $(EACH) -m "long or fuzz" --timeout 1800 --randomly-seed $(SEED) $(ARGS)

test-train: $(VENV)/.dev  ## learning by gradients, and models in snnTorch and Norse: about 2 minutes, fetches torch once, needs gcc
	$(PY) -m pytest -m train --randomly-seed $(SEED) $(ARGS)

live: $(VENV)/.dev  ## against real servers, fetched once and started on loopback: 40 minutes on two slow cores, needs Java
	$(PY) -m pytest $(SERVED) -m "live and not live_full" -p no:randomly $(ARGS)

live-hec: $(VENV)/.dev  ## against a HEC receiver that we did not write, built once: about 5 minutes, then one, needs Go
	$(PY) -m pytest -m live_hec -p no:randomly $(ARGS)

live-full: $(VENV)/.dev  ## the crash runs whole, and the service tests with confluent: about 90 minutes
	$(PY) -m pytest -m live_full -p no:randomly -s $(ARGS)

lint: $(VENV)/.dev  ## format, lint, types, import directions, generated files
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	PYTHONPATH=connector:detectors $(VENV)/bin/lint-imports
	$(VENV)/bin/spikebridge docs --check

docs: $(VENV)/.base  ## write the generated parts of the manual and the JSON Schemas anew
	$(VENV)/bin/spikebridge docs

golden: $(VENV)/.dev  ## write the golden files anew; read the difference before you commit it
	GOLDEN=write $(PY) -m pytest -q -p no:randomly tests/golden $(ARGS)

bench: $(VENV)/.base  ## the figures of the README, under 8 minutes (ARGS='spine --json')
	@$(VENV)/bin/spikebridge bench $(ARGS)

bench-live: $(VENV)/.dev  ## against a real broker and Elasticsearch, beside Logprep and rsyslog: about 30 minutes on a quiet machine
	@$(PY) -m tests.live.bench $(ARGS)

coverage: $(VENV)/.dev  ## branch coverage of `make test`
	$(VENV)/bin/coverage run -m pytest -q -m "not long and not train and not live and not live_hec and not live_full" --randomly-seed $(SEED) $(ARGS)
	$(VENV)/bin/coverage report

dev: $(VENV)/.dev  ## the environment with all tools, to work in

wheel: $(VENV)/.base  ## build dist/*.whl
	$(PIP) wheel --no-deps --no-build-isolation -w dist .

lock:  ## maintainers, with uv on PATH: resolve the locks anew
	uv pip compile pyproject.toml --group build --universal --python-version 3.11 --generate-hashes \
	  --custom-compile-command 'make lock' -q -o requirements.lock
	uv pip compile pyproject.toml --group build --group test --group lint -c requirements.lock --universal \
	  --python-version 3.11 --generate-hashes --custom-compile-command 'make lock' -q -o requirements-dev.lock

clean:  ## remove the environment, builds and caches
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage htmlcov

# Stamps are written last: a half-made .venv (a Debian without python3-venv leaves one) never counts as made.
$(VENV)/.lock: requirements.lock
	@test -n "$(PYTHON)" || { \
	  echo "Python 3.11 or newer is needed. Name one with: make PYTHON=/path/to/python3.12"; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "$(PYTHON) is older than Python 3.11"; exit 1; }
	@"$(PYTHON)" -c 'import venv, ensurepip; ensurepip.version()' >/dev/null 2>&1 || { \
	  echo "$(PYTHON) cannot make virtual environments. On Debian or Ubuntu: apt install python3-venv"; exit 1; }
	@echo "making $(VENV) with $(PYTHON) ..."
	@rm -rf $(VENV)
	@"$(PYTHON)" -m venv $(VENV)
	@$(PIP) install --require-hashes -r requirements.lock
	@touch $@

$(VENV)/.base: $(VENV)/.lock pyproject.toml
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.lock requirements-dev.lock | $(VENV)/.base
	@echo "adding the tools for tests and lint ..."
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@touch $@
