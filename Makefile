# Everything lands in .venv and out/. A second run of any target installs nothing.

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
INSTALL = $(or $(PYTHON),$(error Armchair needs Python 3.11 or newer: name one with make PYTHON=/path/to/python)) \
	tools/environment.py
BIN = .venv/bin

.PHONY: demo test test-all check setup

demo:  ## draw with every shipped bundle, into out/demo.png
	$(INSTALL)
	$(BIN)/python scripts/demo.py

test:  ## the tests, in under ten minutes on two cores
	$(INSTALL) train serve dev
	$(BIN)/pytest -n 2 --durations 10 -m "not slow and not network and not references"

test-all:  ## the slow ones too, and those against the published implementations
	$(INSTALL) train serve dev references
	$(BIN)/pytest -n 2 --durations 10 -m "not network"

check:  ## lint, format, types and layers
	$(INSTALL) train serve dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/basedpyright
	$(BIN)/pytest -q tests/test_layers.py

setup:  ## the full development environment
	$(INSTALL) train serve hub llm dev
