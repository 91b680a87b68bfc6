# Everything the project needs on a machine is put into .venv by these targets; they need Python 3.11+ and git. The tests
# of large files need git-lfs, those of clusters etcd, those of the sandbox bubblewrap, those of pages chromium: without
# them they are skipped.
PYTHON ?= python3
BIN := .venv/bin

# Each of the many processes of the tests would compile anew what it loads.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo demo-cluster test etcd bubblewrap chromium check tested compiled docs screenshots benchmarks fuzz clean

demo: .venv/.runtime
	$(BIN)/mao demo

demo-cluster: .venv/.runtime etcd
	$(BIN)/mao demo --cluster

test: .venv/.development etcd bubblewrap chromium
	$(MAKE) --jobs=2 check tested

# Put where it may be: by root, where there is apt. What the tests use are processes of their own.
etcd:
	@command -v etcd >/dev/null && command -v etcdctl >/dev/null || { \
	  test "$$(id -u)" = 0 && command -v apt-get >/dev/null && apt-get update --quiet=2 && \
	  apt-get install --yes --quiet=2 --no-install-recommends etcd-server etcd-client; } || \
	  echo "etcd is not installed and cannot be by this user (Debian: apt install etcd-server etcd-client):" \
	    "clusters cannot be made, and their tests are SKIPPED"

bubblewrap:
	@command -v bwrap >/dev/null || { \
	  test "$$(id -u)" = 0 && command -v apt-get >/dev/null && apt-get update --quiet=2 && \
	  apt-get install --yes --quiet=2 --no-install-recommends bubblewrap; } || \
	  echo "bubblewrap is not installed and cannot be by this user (Debian: apt install bubblewrap):" \
	    "tools are not confined, and the tests of the sandbox are SKIPPED"

chromium:
	@command -v chromium >/dev/null || { \
	  test "$$(id -u)" = 0 && command -v apt-get >/dev/null && apt-get update --quiet=2 && \
	  apt-get install --yes --quiet=2 --no-install-recommends chromium fonts-dejavu-core; } || \
	  echo "chromium is not installed and cannot be by this user (Debian: apt install chromium):" \
	    "the tests of pages in a browser are SKIPPED"

check: .venv/.development
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/generate.py --check

tested: compiled
	$(BIN)/python -m pytest --numprocesses 4 --dist worksteal

# The tests as pytest wants them, made once for all its workers. What is wrong with them, pytest says when it runs them.
compiled: .venv/.development
	@$(BIN)/python -m pytest --collect-only --quiet >/dev/null || true

docs: .venv/.development
	$(BIN)/python docs/generate.py

screenshots: .venv/.development chromium
	$(BIN)/python docs/screenshots.py

benchmarks: .venv/.development
	for name in end_to_end confinement server pages publishing contention cluster leases; do $(BIN)/python benchmarks/$$name.py || exit 1; done

# What nobody has thought of, for as many seconds as wanted; a crash is left in a file beside the corpus.
SECONDS ?= 3600
fuzz: .venv/.development
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[fuzz]'
	$(BIN)/python -m pytest --hypothesis-profile=long --timeout=0 tests/test_definitions_at_random.py tests/web/test_every_operation.py
	mkdir -p fuzz/new
	PYTHONPATH=tests $(BIN)/python fuzz/definition.py -dict=fuzz/definition.dict -max_len=8192 -timeout=20 \
	  -rss_limit_mb=2000 -max_total_time=$(SECONDS) -artifact_prefix=fuzz/ fuzz/new fuzz/corpus

.venv/.runtime: WANTED := .
.venv/.development: WANTED := .[dev]
.venv/.runtime .venv/.development: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "MAO needs Python 3.11 or newer; give it: make PYTHON=python3.11")'
	@git --version >/dev/null || { echo "MAO needs git: apt install git"; exit 1; }
	test -x $(BIN)/pip || $(PYTHON) -m venv .venv || { echo "venv is missing: apt install python3-venv"; exit 1; }
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt --editable '$(WANTED)'
	@touch .venv/.runtime $@

clean:
	rm -rf .venv dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
