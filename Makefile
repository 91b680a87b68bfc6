# Everything the project needs on a machine is put into .venv by these targets; they need Python 3.11+ and git, and the
# tests of large files git-lfs, without which they are skipped.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check docs benchmarks clean

demo: .venv/.runtime
	$(BIN)/mao demo

test: .venv/.development check
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal

check: .venv/.development
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/generate.py --check

docs: .venv/.development
	$(BIN)/python docs/generate.py

benchmarks: .venv/.development
	for name in end_to_end server publishing contention cluster leases; do $(BIN)/python benchmarks/$$name.py || exit 1; done

.venv/.runtime: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "MAO needs Python 3.11 or newer; give it: make PYTHON=python3.11")'
	@git --version >/dev/null || { echo "MAO needs git: apt install git"; exit 1; }
	test -x $(BIN)/pip || $(PYTHON) -m venv .venv || { echo "venv is missing: apt install python3-venv"; exit 1; }
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	@touch $@

.venv/.development: .venv/.runtime
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

clean:
	rm -rf .venv dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
