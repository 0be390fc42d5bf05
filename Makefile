# make demo: see a mask. make test: everything, then pytest. Both need Python 3.11 or newer, make and a network.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
PIP = $(VENV)/bin/python -m pip --disable-pip-version-check install --quiet --constraint requirements/constraints.txt
# flit_core first: without a build environment of its own for each of them, the plugins install in seconds.
INSTALL = $(PIP) -r requirements/build.txt && $(PIP) --no-build-isolation

.PHONY: demo test lint bench requirements clean

demo: $(VENV)/demo.stamp
	$(VENV)/bin/maskkit render causal --seq-len 64

test: $(VENV)/test.stamp
	$(VENV)/bin/python -m pytest

lint: $(VENV)/test.stamp
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy

bench: $(VENV)/test.stamp
	$(VENV)/bin/python -m pytest tests/benchmarks --benchmark-enable --benchmark-only

requirements: $(VENV)/python.stamp
	$(VENV)/bin/python requirements/write.py

$(VENV)/python.stamp:
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/demo.stamp: $(VENV)/python.stamp pyproject.toml plugins/masks/causal/pyproject.toml requirements/constraints.txt
	$(INSTALL) -e . -e plugins/masks/causal
	touch $@

$(VENV)/test.stamp: $(VENV)/python.stamp pyproject.toml $(wildcard plugins/*/*/pyproject.toml) $(wildcard requirements/*)
	$(VENV)/bin/python requirements/write.py
	$(INSTALL) -r requirements/test.txt
	touch $@

clean:
	rm -rf $(VENV)
