# make demo: a real runtime, and the client talking to it.  make test: all tests, on the default engines.  make test-all: on all.
# make check: what must be clean before a commit.
PYTHON ?= python3
CLIENT := .venv
RUNTIME := .venv-runtime
FLOORS := .venv-floors
export RUNTIME_PYTHON := $(CURDIR)/$(RUNTIME)/bin/python
PIP := -m pip install --quiet --disable-pip-version-check

# What runs on grpcio in every `make test`; all of it does in `make test-all`.
SAMPLE := $(addprefix tests/wire/test_,calls.py cancel.py close.py early_end.py memory.py)

.PHONY: demo test coverage test-all interop check format bench bench-quick soak clean

demo: $(CLIENT)/ready $(RUNTIME)/ready
	$(CLIENT)/bin/python -W error -m tests.demo

test: $(CLIENT)/ready $(RUNTIME)/ready
	$(CLIENT)/bin/python -m pytest --ignore tests/interop --durations 10
	REMOTE_CLIENT_ENGINE=grpcio $(CLIENT)/bin/python -m pytest $(SAMPLE)

# On its own: the fuzzers take five times as long while lines are counted.
coverage: $(CLIENT)/ready $(RUNTIME)/ready
	$(CLIENT)/bin/python -m pytest --ignore tests/interop --cov --cov-report=term

# Both engines, HTTP over httpx as well, the oldest dependencies, and all peers.
test-all: test $(FLOORS)/ready interop
	REMOTE_CLIENT_ENGINE=grpcio $(CLIENT)/bin/python -m pytest tests/wire tests/faults tests/live -k "not http"
	REMOTE_CLIENT_TEST_HTTP=httpx $(CLIENT)/bin/python -m pytest tests/wire tests/faults tests/live -k http
	# grpcio 1.66 leaves tasks of its own behind where interceptors and uploads meet.
	$(FLOORS)/bin/python -m pytest tests/unit tests/wire --ignore tests/wire/test_grpcio.py
	REMOTE_CLIENT_ENGINE=grpcio $(FLOORS)/bin/python -m pytest $(SAMPLE)

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
	rm -rf $(CLIENT) $(RUNTIME) $(FLOORS)

$(CLIENT)/ready: tests/requirements/client.txt pyproject.toml
	$(PYTHON) -m venv $(CLIENT)
	$(CLIENT)/bin/python $(PIP) -r tests/requirements/client.txt
	$(CLIENT)/bin/python $(PIP) --no-deps --no-build-isolation --editable .
	touch $@

$(FLOORS)/ready: tests/requirements/client.txt tests/requirements/floors.txt pyproject.toml
	$(PYTHON) -m venv $(FLOORS)
	$(FLOORS)/bin/python $(PIP) -r tests/requirements/client.txt
	$(FLOORS)/bin/python $(PIP) -r tests/requirements/floors.txt
	$(FLOORS)/bin/python $(PIP) --no-deps --no-build-isolation --editable .
	touch $@

$(CLIENT)/interop: tests/requirements/interop.txt $(CLIENT)/ready
	$(CLIENT)/bin/python $(PIP) -r tests/requirements/interop.txt
	touch $@

$(RUNTIME)/ready: tests/requirements/runtime.txt
	$(PYTHON) -m venv $(RUNTIME)
	$(RUNTIME)/bin/python $(PIP) -r tests/requirements/runtime.txt
	touch $@
