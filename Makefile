# `make demo` and `make test` need Python 3.11 or newer and nothing else: they make .venv themselves.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test slow check format lint types docs clean

demo: .venv/runtime
	$(BIN)/nmt demo --out demo

test: .venv/development
	$(BIN)/python -m pytest -n 2 --dist loadfile --durations 10

slow: .venv/development
	$(BIN)/python -m pip install -qq -r requirements-slow.txt
	$(BIN)/python -m pytest -m slow --timeout 0

check: format lint types test

format: .venv/development
	$(BIN)/ruff format --check .

lint: .venv/development
	$(BIN)/ruff check .

types: .venv/development
	$(BIN)/mypy

docs: .venv/documentation # the site, without a warning, and the notebook, from its first cell to its last
	$(BIN)/mkdocs build --quiet --site-dir build/site
	$(BIN)/jupyter execute --timeout=600 docs/transformer.ipynb

.venv/bin/python:
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -qq --upgrade pip

.venv/runtime: .venv/bin/python requirements.txt pyproject.toml
	$(BIN)/python -m pip install -qq -e .
	@touch $@

.venv/development: .venv/runtime requirements-dev.txt requirements-marian.txt
	$(BIN)/python -m pip install -qq -e '.[dev]'
	@touch $@

.venv/documentation: .venv/runtime requirements-docs.txt
	$(BIN)/python -m pip install -qq -e '.[docs]'
	@touch $@

clean:
	rm -rf .venv demo
