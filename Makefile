# make run    starts the gateway in front of the built-in simulated provider
# make test   runs the test suite
# Both set up what they need first: a virtual environment in .venv, the dependencies, the compiled modules.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/pip --disable-pip-version-check --quiet
COMPILED := $(shell find engine -name '*.pyx' -o -name '*.pxd' -o -name '*.h') $(patsubst %.pxd,%.py,$(shell find engine -name '*.pxd'))
COMPILED := $(wildcard $(COMPILED))
APT := apt-get install -y python3 python3-dev python3-venv gcc libc6-dev make

.PHONY: run test test-long lint types bench-gateway bench-policy bench-limits bench-count bench-record clean

run: .venv/compiled
	@$(BIN)/tidegate serve $(ARGS)

test: .venv/developer
	$(BIN)/python -m pytest -m "not long" $(ARGS)

test-long: .venv/developer
	$(BIN)/python -m pytest -m long $(ARGS)

lint: .venv/developer
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: .venv/developer
	$(BIN)/mypy

bench-gateway: .venv/compiled
	$(BIN)/python -m bench.gateway $(ARGS)

bench-policy: .venv/developer
	$(BIN)/python -m bench.policy $(ARGS)

bench-limits: .venv/developer
	$(BIN)/python -m bench.limits $(ARGS)

bench-count: .venv/developer
	$(BIN)/python -m bench.count $(ARGS)

bench-record: .venv/developer
	$(BIN)/python -m bench.record $(ARGS)

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "Tidegate needs Python 3.11 or newer as $(PYTHON):  $(APT)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "Python's venv module is missing:  $(APT)"; exit 1; }
	@test -e "$$($(PYTHON) -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" || \
	  { echo "Python's headers are missing:  $(APT)"; exit 1; }
	@command -v "$${CC:-gcc}" >/dev/null || { echo "a C compiler is missing:  $(APT)"; exit 1; }
	@echo "setting up .venv, once; compiling takes a few minutes"
	@$(PYTHON) -m venv .venv

.venv/compiled: .venv/installed $(COMPILED)
	@$(BIN)/python setup.py --quiet build_ext --inplace >.venv/build.log 2>&1 || { cat .venv/build.log; exit 1; }
	@touch $@

.venv/installed: .venv/bin/python pyproject.toml setup.py
	@rm -rf build/cython
	@$(PIP) install "setuptools>=80" wheel "Cython>=3.1,<4" "msgspec>=0.20"
	@COMPILE_LATER=1 $(PIP) install --no-build-isolation --editable .
	@touch $@

.venv/developer: .venv/compiled
	@$(BIN)/python -c 'import tomllib; project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
	  print("\n".join(project["optional-dependencies"]["dev"]))' >.venv/developer.txt
	@$(PIP) install --requirement .venv/developer.txt
	@touch $@

clean:
	rm -rf .venv build dist engine/*.egg-info bench/build
	find engine -name '*.so' -delete
