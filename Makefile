# From a fresh clone: `make run` serves, `make check` proves. Everything is installed into .venv.
# Packages come from wherever pip is configured to look; requirements/ has their versions, and the
# digests of their files, without which pip takes none.

PYTHON ?= python3
PORT ?= 8080
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
install = $(PIP) install --require-hashes $(foreach list,$(1),-r requirements/$(list).txt) && \
	$(PIP) install --no-deps --no-build-isolation -e .

# The dashboard's tests need a browser; what drives it is large, so it comes only where there is one.
BROWSER := $(if $(shell command -v chromium),browser)

# The SOAP stacks and the Tomcat that tests call and are called by, where their package managers are.
STACKS := $(if $(and $(shell command -v mvn),$(shell command -v npm)),$(VENV)/.stacks)

# One worker for each of two cores; a worker that is done takes over tests of the other.
SPREAD := -n 2 --dist worksteal
# For what may take longer than a test that hangs is waited for (pyproject.toml).
PATIENT := -o faulthandler_timeout=0

.DEFAULT_GOAL := help
.PHONY: help run demo test lint check stacks faults fuzz soak faults-table docs lock clean bench bench-quick

help: ## list what make can do
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

run: $(VENV)/.run ## install and serve on PORT (default 8080)
	ADMISSION__SERVER__PORT=$(PORT) $(BIN)/admission serve $(ARGS)

demo: $(VENV)/.run ## install and show the service deciding for simulated dialers
	ADMISSION__SERVER__PORT=$(PORT) $(BIN)/admission demo $(ARGS)

test: $(VENV)/.dev ## run the tests; ARGS="-k notifications" to choose
	$(BIN)/pytest $(SPREAD) $(ARGS)

lint: $(VENV)/.dev ## ruff, its formatting, mypy --strict, imports that point one way
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache --no-logo

stacks: $(VENV)/.dev $(STACKS) ## meet Axis, Axis2, CXF, JAX-WS, node soap and Tomcat; needs mvn, javac, npm
	$(BIN)/pytest -m stacks $(SPREAD) tests/sources/stacks $(ARGS)

faults: $(VENV)/.dev ## break everything that can break, under load; some minutes
	$(if $(ARGS),,rm -rf build/faults)
	$(BIN)/pytest -m faults $(SPREAD) tests/faults $(ARGS)

fuzz: $(VENV)/.dev ## send some 20,000 generated requests, as each role; ARGS="-k dialer"
	$(BIN)/pytest -m fuzz $(PATIENT) $(SPREAD) tests/fuzz $(ARGS)

soak: $(VENV)/.dev ## a quarter of an hour at half load with churn: nothing grows
	ADMISSION_SOAK_S=900 $(BIN)/pytest -m faults $(PATIENT) -n 0 tests/faults/test_soak.py $(ARGS)

faults-table: $(VENV)/.dev ## write docs/faults.md from the last `make faults`
	$(BIN)/python -m tests.faults.table

bench: $(VENV)/.bench ## measure everything against peers and limits: an hour; ARGS=http to choose
	$(BIN)/python -m benchmarks $(ARGS)

bench-quick: $(VENV)/.bench ## the same in 2 minutes, rougher; results are not kept
	$(BIN)/python -m benchmarks --quick $(ARGS)

check: lint test ## what must pass before a change goes in

lock: $(VENV)/.made ## resolve requirements/ anew; ARGS=aiohttp renews one package, ARGS=--upgrade all
	$(PYTHON) -m venv build/lock && build/lock/bin/python -m pip --quiet install uv
	PATH=$(CURDIR)/build/lock/bin:$$PATH $(PYTHON) requirements/lock.py $(ARGS)

docs: $(VENV)/.dev ## write the pages that are made from the code
	$(BIN)/python docs/generate.py

clean: ## remove what make made; never the data
	rm -rf $(VENV) dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find admission tests -name __pycache__ -type d -prune -exec rm -rf {} +

# Each stamp is touched last, so an interrupted step is done again.
$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "$(PYTHON) is missing or older than 3.11; name another: make PYTHON=python3.12 ..." >&2; \
		exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

# The package itself has no digest: what it needs is installed before it, with digests.
$(VENV)/.run: $(VENV)/.made pyproject.toml requirements/build.txt requirements/run.txt
	$(call install,build run)
	@touch $@

$(VENV)/.dev: $(VENV)/.made pyproject.toml $(wildcard requirements/*.txt)
	$(call install,dev $(BROWSER))
	@touch $@ $(VENV)/.run

$(VENV)/.bench: $(VENV)/.dev
	$(call install,bench)
	@touch $@

# Maven and npm fetch the pinned versions from wherever they are configured to look.
$(VENV)/.stacks: $(VENV)/.made $(wildcard tests/sources/stacks/java/pom.xml tests/sources/stacks/java/*/pom.xml tests/sources/stacks/node/*.json)
	rm -rf $(VENV)/stacks && mkdir -p $(VENV)/stacks/node
	mvn -q -B -ntp -f tests/sources/stacks/java dependency:copy-dependencies \
		-DoutputDirectory='$(CURDIR)/$(VENV)/stacks/$${project.artifactId}'
	cp tests/sources/stacks/node/package*.json $(VENV)/stacks/node
	npm ci --prefix $(VENV)/stacks/node --ignore-scripts --no-audit --no-fund --silent
	@touch $@
