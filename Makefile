# make demo: a real runtime, and the client talking to it.
# make serve: a runtime that stays until Ctrl-C, to try things at (GRPC_PORT=8085 HTTP_PORT=8080).
# make check: what must be clean before a push, in a minute and a half.
# make hooks: lets git format and check what a commit changes.
# make test: all tests on the default engines, samples on grpcio and on the lowest dependencies, and those of schemas on
# protobuf's implementation in Python, in ten minutes.
# make matrix: the unit and wire tests on every Python here, with the lowest and the newest dependencies.
# make docs: the site of docs/, in site/; make docs-serve shows it while you write.
# make bench PLOT=1: measures, and publishes what it measured in docs/speed.md; make pictures draws all of docs/pictures/.
# make dist: the wheel and the sdist, in dist/, checked; the wheel calls a real runtime from an empty environment.
# make engines: a model inside Ray, Dask and Spark, which have an environment of their own.
# make test-all: everything.
PYTHON ?= python3
CLIENT := .venv
RUNTIME := .venv-runtime
ENGINES := .venv-engines
export RUNTIME_PYTHON := $(CURDIR)/$(RUNTIME)/bin/python
# The workers and the servers of the tests share compiled modules, even where the environment says that nobody may.
unexport PYTHONDONTWRITEBYTECODE
PIP := -m pip install --quiet --disable-pip-version-check

# Half of the time of the tests is waiting, so two cores keep four workers busy. Each has servers of its own.
WORKERS ?= 4
GRPC_PORT ?= 8085
HTTP_PORT ?= 8080
ALL = $(CLIENT)/bin/python -m pytest --numprocesses $(WORKERS) --dist worksteal
# Tests with caikit in their own process: the client inside caikit. The tests of a file share its runtimes, which
# `worksteal` would start in several workers.
CAIKIT = $(RUNTIME)/bin/python -m pytest --numprocesses 4 --dist loadfile tests/caikit
# What only `make test-all` runs are more cases of what the others try.
PYTEST = $(ALL) -m "not slow"

# What runs on grpcio in every `make test`; all of it does in `make test-all`.
SAMPLE := $(addprefix tests/wire/test_,calls.py cancel.py close.py early_end.py memory.py)
# What runs on the lowest dependencies in every `make test`; tests/unit and tests/wire do in `make matrix`.
LOWEST := tests/unit $(addprefix --ignore tests/unit/test_,any_differences.py handed_back.py hostile_documents.py)
LOWEST += $(addprefix --ignore tests/unit/test_,http2_fuzz.py regular_expressions.py schema_costs.py schema_fuzz.py)
LOWEST += $(addprefix tests/wire/test_,calls.py discovery.py http_calls.py http_schema.py close.py grpcio.py)
LOWEST += tests/testing/fake
# What runs on protobuf's implementation in Python, which PyPy and musl have: all that is about descriptors.
PURE := $(shell grep --files-with-matches --extended-regexp "protobuf|reflected|[.]library import|_schemas import" tests/unit/test_*.py)
PURE += $(addprefix tests/wire/test_,calls.py discovery.py hostile.py odd_names.py shared_names.py shared_types.py)

# What `make check` runs: the unit tests but those that take seconds, and some over real connections.
QUICK := tests/unit $(addprefix --ignore tests/unit/test_,any_differences.py command.py engine_units.py grpc_messages.py)
QUICK += $(addprefix --ignore tests/unit/test_,handed_back.py hostile_documents.py hostile_reflection.py http2_fuzz.py)
QUICK += $(addprefix --ignore tests/unit/test_,late_descriptions.py regular_expressions.py schema_costs.py schema_fuzz.py)
QUICK += --ignore tests/unit/test_stubs.py
QUICK += $(addprefix tests/wire/test_,calls.py cancel.py discovery.py http_calls.py light.py retries.py schema_on_file.py)
QUICK += $(addprefix tests/wire/test_,stubs.py tls.py)

.PHONY: demo serve test environments coverage test-all matrix interop engines check lint types verifytypes quick hooks format docs docs-serve bench bench-quick session pictures notebooks soak dist clean

demo: $(CLIENT)/ready $(RUNTIME)/ready
	$(CLIENT)/bin/python -W error -m tests.demo

serve: $(CLIENT)/ready $(RUNTIME)/ready
	@$(CLIENT)/bin/python -W error -m tests.serve --grpc-port $(GRPC_PORT) --http-port $(HTTP_PORT)

test: environments
	$(PYTEST) --ignore tests/interop --durations 10
	$(CAIKIT) -m "not slow"
	REMOTE_CLIENT_ENGINE=grpcio $(PYTEST) $(SAMPLE) -k "not http"
	PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION=python $(PYTEST) $(filter-out %/test_schema_costs.py %/test_any_differences.py,$(PURE))
	$(CLIENT)/bin/nox --session "tests-3.11(lowest)" -- -m "not slow" $(LOWEST)

# Two at a time, as each of them keeps one core busy.
environments:
	$(MAKE) --jobs 2 $(CLIENT)/ready $(RUNTIME)/ready .nox/ready

# Fuzzers and what measures growth take five times as long while lines are counted, and reach no more of them. The tests
# with caikit in their process complete the figures of those without.
COVERED := tests/unit tests/wire tests/sync tests/faults tests/cli $(addprefix --ignore tests/unit/test_,any_differences.py http2_fuzz.py)
COVERED += $(addprefix --ignore tests/unit/test_,hostile_documents.py regular_expressions.py schema_costs.py schema_fuzz.py)
COVERED += --ignore tests/wire/test_instrumented.py --deselect tests/wire/test_http_schema.py::test_large_documents
coverage: $(CLIENT)/ready $(RUNTIME)/ready
	$(PYTEST) $(COVERED) --timeout 240 --cov --cov-report= --cov-fail-under=0
	$(CAIKIT) --cov --cov-append --cov-report=term

# Both engines, HTTP over httpx as well, all Pythons, and all peers.
test-all: test matrix interop
	$(ALL) -m slow tests
	$(CAIKIT) -m slow
	REMOTE_CLIENT_ENGINE=grpcio $(CAIKIT)
	PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION=python $(ALL) $(addprefix tests/unit/test_,schema_costs.py any_differences.py)
	REMOTE_CLIENT_ENGINE=grpcio $(ALL) tests/wire tests/faults tests/live tests/cli -k "not http"
	REMOTE_CLIENT_TEST_HTTP=httpx $(ALL) tests/wire tests/faults tests/live -k http

matrix: $(CLIENT)/ready
	$(CLIENT)/bin/nox

# The proxies are Debian's packages: apt-get install nginx haproxy nghttp2-proxy nghttp2-server tinyproxy-bin squid. Missing ones are skipped.
interop: $(CLIENT)/interop $(RUNTIME)/ready
	$(CLIENT)/bin/python -m pytest tests/interop

# Spark needs Java, which is Debian's package: apt-get install default-jre-headless. The engines warn of their own code.
engines: $(ENGINES)/ready $(RUNTIME)/ready
	$(ENGINES)/bin/python -m pytest tests/engines -W default --disable-warnings --show-capture no --durations 5

# Two at a time, as each of them keeps one core busy.
check: $(CLIENT)/ready
	$(MAKE) --jobs 2 --output-sync lint types verifytypes quick

lint:
	$(CLIENT)/bin/ruff format --check .
	$(CLIENT)/bin/ruff check .
	$(CLIENT)/bin/lint-imports

types:
	$(CLIENT)/bin/mypy
	$(CLIENT)/bin/pyright

verifytypes:
	$(CLIENT)/bin/python tests/typing/verify_types.py

quick: WORKERS := 2
quick:
	$(PYTEST) $(QUICK) --durations 10

hooks: $(CLIENT)/ready
	$(CLIENT)/bin/pre-commit install

format: $(CLIENT)/ready
	$(CLIENT)/bin/ruff format .
	$(CLIENT)/bin/ruff check --fix .

# Warnings are errors, and nothing is loaded from elsewhere.
docs: $(CLIENT)/ready
	NO_MKDOCS_2_WARNING=1 $(CLIENT)/bin/mkdocs build --strict

docs-serve: $(CLIENT)/ready
	NO_MKDOCS_2_WARNING=1 $(CLIENT)/bin/mkdocs serve

# With PLOT=1 the figures become the tables and the plots of docs/speed.md, and the plot of the README.
bench: $(CLIENT)/interop $(RUNTIME)/ready
	$(CLIENT)/bin/python -m benchmarks --json benchmarks.json
	$(if $(PLOT),$(CLIENT)/bin/python -m benchmarks.page benchmarks.json)

bench-quick: $(CLIENT)/interop $(RUNTIME)/ready
	$(CLIENT)/bin/python -m benchmarks --quick

# Writes what the commands in docs/command-line.md print into the page.
session: $(CLIENT)/ready $(RUNTIME)/ready
	$(CLIENT)/bin/python -m tests.support.session

# Writes what the notebooks in examples/notebooks show into them.
notebooks: $(CLIENT)/ready $(RUNTIME)/ready
	$(CLIENT)/bin/python -m tests.support.notebooks

# Draws all of docs/pictures/: from texts, from what a runtime and a terminal do now, and from the figures of docs/speed.md.
pictures: $(CLIENT)/ready $(RUNTIME)/ready
	$(CLIENT)/bin/python -m docs.pictures.draw
	$(CLIENT)/bin/python -m docs.pictures.rotation
	$(CLIENT)/bin/python -m tests.support.recording
	$(CLIENT)/bin/python -m benchmarks.page

soak: $(CLIENT)/ready $(RUNTIME)/ready
	$(CLIENT)/bin/python -W error -m tests.soak --minutes 30

# Needs the network: the empty environment gets the client's dependencies.
dist: $(CLIENT)/release $(RUNTIME)/ready
	$(CLIENT)/bin/python -m tests.dist

clean:
	rm -rf $(CLIENT) $(RUNTIME) $(ENGINES) .nox

$(CLIENT)/ready: tests/requirements/client.txt pyproject.toml remote_client/_version.py
	$(PYTHON) -m venv $(CLIENT)
	$(CLIENT)/bin/python $(PIP) -r tests/requirements/client.txt
	$(CLIENT)/bin/python $(PIP) --no-deps --no-build-isolation --editable .
	touch $@

$(CLIENT)/release: tests/requirements/release.txt $(CLIENT)/ready
	$(CLIENT)/bin/python $(PIP) -r tests/requirements/release.txt
	touch $@

$(CLIENT)/interop: tests/requirements/interop.txt $(CLIENT)/ready
	$(CLIENT)/bin/python $(PIP) -r tests/requirements/interop.txt
	touch $@

.nox/ready: tests/requirements/lowest.txt $(CLIENT)/ready
	$(CLIENT)/bin/nox --install-only --session "tests-3.11(lowest)"
	touch $@

$(RUNTIME)/ready: tests/requirements/runtime.txt
	$(PYTHON) -m venv $(RUNTIME)
	$(RUNTIME)/bin/python $(PIP) -r tests/requirements/runtime.txt
	touch $@

$(ENGINES)/ready: tests/requirements/engines.txt pyproject.toml
	$(PYTHON) -m venv $(ENGINES)
	$(ENGINES)/bin/python $(PIP) -r tests/requirements/engines.txt
	$(ENGINES)/bin/python $(PIP) --no-deps --no-build-isolation --editable .
	touch $@
