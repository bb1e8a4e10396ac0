# make demo: a real runtime, and the client talking to it.  make test: all tests.  make check: what must be clean before a commit.
PYTHON ?= python3
CLIENT := .venv
RUNTIME := .venv-runtime
export RUNTIME_PYTHON := $(CURDIR)/$(RUNTIME)/bin/python
PIP := -m pip install --quiet --disable-pip-version-check

.PHONY: demo test interop check format bench bench-quick soak clean

demo: $(CLIENT)/ready $(RUNTIME)/ready
	$(CLIENT)/bin/python -W error -m tests.demo

test: $(CLIENT)/ready $(RUNTIME)/ready
	$(CLIENT)/bin/python -m pytest --cov --cov-report=term

# The proxies are Debian's packages: apt-get install nginx haproxy nghttp2-proxy nghttp2-server. Missing ones are skipped.
interop: $(CLIENT)/interop $(RUNTIME)/ready
	$(CLIENT)/bin/python -m pytest tests/interop

check: $(CLIENT)/ready
	$(CLIENT)/bin/ruff format --check .
	$(CLIENT)/bin/ruff check .
	$(CLIENT)/bin/mypy
	$(CLIENT)/bin/pyright
	$(CLIENT)/bin/lint-imports
	$(CLIENT)/bin/python -m pytest tests/unit tests/wire

format: $(CLIENT)/ready
	$(CLIENT)/bin/ruff format .
	$(CLIENT)/bin/ruff check --fix .

bench: $(CLIENT)/interop $(RUNTIME)/ready
	$(CLIENT)/bin/python -m benchmarks --json benchmarks.json

bench-quick: $(CLIENT)/interop $(RUNTIME)/ready
	$(CLIENT)/bin/python -m benchmarks --quick

soak: $(CLIENT)/ready $(RUNTIME)/ready
	$(CLIENT)/bin/python -W error -m tests.soak --minutes 30

clean:
	rm -rf $(CLIENT) $(RUNTIME)

$(CLIENT)/ready: tests/requirements/client.txt pyproject.toml
	$(PYTHON) -m venv $(CLIENT)
	$(CLIENT)/bin/python $(PIP) -r tests/requirements/client.txt
	$(CLIENT)/bin/python $(PIP) --no-deps --no-build-isolation --editable .
	touch $@

$(CLIENT)/interop: tests/requirements/interop.txt $(CLIENT)/ready
	$(CLIENT)/bin/python $(PIP) -r tests/requirements/interop.txt
	touch $@

$(RUNTIME)/ready: tests/requirements/runtime.txt
	$(PYTHON) -m venv $(RUNTIME)
	$(RUNTIME)/bin/python $(PIP) -r tests/requirements/runtime.txt
	touch $@
