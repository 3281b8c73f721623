# Needs make and Python 3.11 or newer. Nothing else: the first target that needs an environment makes it in .venv.
SHELL := /bin/sh
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV := .venv
PY   := $(VENV)/bin/python
PIP  := $(PY) -m pip --disable-pip-version-check -q --retries 10 --timeout 60
ARGS ?=
# A name on PATH proves nothing (a pyenv shim can exist and fail), so each candidate is run.
PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13 python3.14 python; do \
  "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo "$$p"; break; }; done)

.PHONY: help run test test-long lint docs golden bench coverage dev lock wheel clean

help:  ## list these targets
	@echo "make TARGET [ARGS='...']"
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r name text; do \
	  printf '  %-10s %s\n' "$$name" "$$text"; done

run: $(VENV)/.base  ## the demonstration, until Ctrl-C (ARGS=--once: one pass, under a minute)
	@$(VENV)/bin/spikebridge demo $(ARGS)

test: $(VENV)/.dev  ## every test that needs no server, under 3 minutes
	$(PY) -m pytest -m "not long" $(ARGS)

test-long: $(VENV)/.dev  ## repeated kills, long fuzzing, the wheel in a clean environment: under 20 minutes
	HYPOTHESIS_PROFILE=long $(PY) -m pytest -m "long or fuzz" $(ARGS)

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

coverage: $(VENV)/.dev  ## branch coverage of `make test`
	$(VENV)/bin/coverage run -m pytest -q -m "not long" $(ARGS)
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
