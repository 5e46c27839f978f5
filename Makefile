# make run    set up, run the whole pipeline on the embedded default, say where the results are
# make test   set up, run the quick tests (minutes)
# make test-all   all tests: with DVC, in a browser, killed, on every architecture
# make check  format, lint, types
# make lock   resolve pyproject.toml anew into requirements.lock
PYTHON ?= python3.11
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: run test test-all check lock clean

run: .venv/installed
	PATH="$(CURDIR)/$(BIN):$$PATH" dvc repro
	@$(BIN)/wazn where

test: .venv/installed
	$(BIN)/python -m pytest -n auto

test-all: test
	$(BIN)/python -m pytest -n auto -m slow

# What .ci/run holds besides the tests: format, lint, types.
check: .venv/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# The stamp is written last, so an interrupted installation is taken up again.
.venv/installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(PIP) install -r requirements.lock
	$(PIP) install --no-deps --editable .
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pipeline.report.offline_plots
	touch $@

# Local version labels such as +cpu name a machine's own build; the lock names the release.
lock:
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/pip install --quiet pip-tools
	.venv-lock/bin/pip-compile --quiet --upgrade --strip-extras --extra dev --no-emit-index-url \
		--no-emit-find-links --no-emit-trusted-host --output-file requirements.lock pyproject.toml
	sed -i 's/^\(torch==[0-9.]*\)+.*/\1/' requirements.lock

clean:
	rm -rf .venv .venv-lock
