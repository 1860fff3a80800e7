PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint samples clean

demo: .venv/runtime
	rm -rf demo-output
	$(BIN)/platebeam read samples --truth samples/truth.csv --output demo-output --show-reads 30

test: .venv/development
	$(BIN)/python -m pytest -n auto

lint: .venv/development
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

samples: .venv/development
	$(BIN)/platebeam generate samples --output samples --seed 7

clean:
	rm -rf .venv build *.egg-info demo-output

.venv/bin/pip:
	$(PYTHON) -m venv .venv

.venv/runtime: setup.py | .venv/bin/pip
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	touch $@

.venv/development: setup.py | .venv/bin/pip
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[train,dev]'
	touch $@ .venv/runtime
