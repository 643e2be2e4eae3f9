# make train [ARGS="model=baseline trainer.max_epochs=3"]   set up what is missing, then train
# make test  [ARGS="-k config"]                             set up what is missing, then lint and test
# make study                                                the study behind docs/evidence.md, or what is left of it
# make lint, make clean                                     the checks of `make test` alone; remove all but runs
# Needs Python 3.11 or newer with pip, gcc and make. Everything is installed into .venv.

PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check

.PHONY: train test study lint clean

train: .venv/installed
	$(BIN)/python train.py $(ARGS)

study: .venv/installed
	$(BIN)/python -m studies $(ARGS)

test: lint
	$(BIN)/python -m pytest -n auto --dist loadfile $(ARGS)

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# Stamps: a second call installs again only if pyproject.toml has changed.
.venv/created:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	@touch $@

.venv/installed: pyproject.toml | .venv/created
	@echo "Installing into .venv; the first time this takes some minutes."
	@$(INSTALL) --editable .
	@touch $@

.venv/installed-dev: pyproject.toml | .venv/created
	@echo "Installing into .venv; the first time this takes some minutes."
	@$(INSTALL) --editable '.[dev]'
	@touch .venv/installed $@

clean:
	rm -rf .venv build dist .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
