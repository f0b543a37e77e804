# Needs GNU make and Python 3.11 or newer; everything else comes from the lock files. `make help` lists what there is.

VENV := .venv
BIN := $(VENV)/bin
UV ?= uv
# ARGS goes to the program behind a target: make run ARGS="--port 3000", make test ARGS="-k sse -x".
ARGS ?=
# PYTHON names one interpreter; otherwise the first of these that is new enough makes the environment.
PYTHONS = $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11)

# pip obeys its environment. Where packages come from (index, mirror, certificate, cache) is the machine's business and
# stays; where they go and what is allowed to be installed is ours.
unexport PIP_BUILD_CONSTRAINT PIP_CONSTRAINT PIP_DRY_RUN PIP_IGNORE_INSTALLED PIP_NO_BINARY PIP_NO_BUILD_ISOLATION
unexport PIP_NO_DEPS PIP_ONLY_BINARY PIP_PREFIX PIP_PYTHON PIP_QUIET PIP_REQUIRE_HASHES PIP_REQUIREMENT PIP_ROOT
unexport PIP_TARGET PIP_VERBOSE PYTHONHOME PYTHONPATH
export PIP_USER := 0
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# $(call install,bin folder,what): silent, unless it fails; then everything that pip had to say.
install = "$(1)/python" -m pip install --quiet $(2) 2>$(VENV)/pip.log || { cat $(VENV)/pip.log >&2; exit 1; }
LOCKED = --require-hashes --requirement
# The project itself: its dependencies and its build backend are already there, from the lock file.
PROJECT = --no-deps --no-build-isolation --force-reinstall

.DEFAULT_GOAL := help
.PHONY: help run test fuzz lint types format bench news lock wheel installed clean

help:  ## list the targets
	@awk -F ':.*## +' '/^[a-z]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' Makefile

run: $(VENV)/.installed  ## start the gateway with its built-in demo provider
	@exec $(BIN)/twistd -n --pidfile= llmgateway --demo $(ARGS)

test: $(VENV)/.dev  ## run every test and show what they cover
	@$(BIN)/python -m pytest --cov --cov-report=term $(ARGS)

fuzz: $(VENV)/.dev  ## search for input that breaks a promise; make fuzz ARGS="--seconds 600 streams"
	@$(BIN)/python -m tests.fuzz $(ARGS)

lint: $(VENV)/.dev  ## ruff, and whether the code is formatted
	@$(BIN)/ruff check $(ARGS)
	@$(BIN)/ruff format --check

types: $(VENV)/.dev  ## mypy, strict
	@$(BIN)/mypy $(ARGS)

format: $(VENV)/.dev  ## format the code and mend what ruff can mend
	@$(BIN)/ruff check --fix $(ARGS)
	@$(BIN)/ruff format

bench: $(VENV)/.installed  ## compare the cost of calls and streams with nginx's (needs wrk and nginx; docs/performance.md)
	@$(BIN)/python -m benchmarks $(ARGS)

news: $(VENV)/.dev  ## show what the newsfragments say
	@$(BIN)/towncrier build --draft $(ARGS)

lock:  ## resolve both lock files again (needs uv; ARGS=--upgrade takes newer versions)
	@command -v $(UV) >/dev/null || { echo "make lock needs uv; UV=/path/to/uv names it." >&2; exit 1; }
	$(LOCK) --group build --output-file requirements.lock $(ARGS)
	$(LOCK) --group build --group dev --constraints requirements.lock --output-file requirements-dev.lock $(ARGS)

# One lock for every platform and Python, and nothing in it that belongs to one machine.
LOCK = @$(UV) pip compile --quiet --no-config --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-emit-find-links --custom-compile-command "make lock" pyproject.toml

wheel: $(VENV)/.dev  ## build the wheel into dist/
	@rm -rf dist
	@$(BIN)/python -m build --wheel --no-isolation

installed: wheel  ## install that wheel and nothing else into a new environment, DEST=folder
	@test -n "$(DEST)" || { echo "make installed needs DEST=folder for the new environment." >&2; exit 1; }
	@$(BIN)/python -m venv --clear "$(DEST)"
	@$(call install,$(DEST)/bin,$(LOCKED) requirements.lock)
	@$(call install,$(DEST)/bin,$(PROJECT) dist/*.whl)

clean:  ## remove everything that the targets above made
	@rm -rf $(VENV) build dist .coverage .coverage.* htmlcov .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@rm -f twisted/plugins/dropin.cache
	@find llm_gateway tests twisted examples benchmarks maintenance -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

$(VENV)/.made:
	@for name in $(PYTHONS); do \
		if "$$name" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
			echo "Making $(VENV) with $$("$$name" --version) ..."; \
			"$$name" -m venv --clear $(VENV) && touch $@; exit; \
		fi; \
	done; \
	echo "No Python 3.11 or newer, with its venv module, under these names: $(PYTHONS)." >&2; \
	echo "Install one (Debian and Ubuntu keep venv in python3-venv) or name it: make run PYTHON=/path/to/python3" >&2; \
	exit 1

$(VENV)/.installed: $(VENV)/.made requirements.lock pyproject.toml
	@echo "Installing the gateway from requirements.lock ..."
	@$(call install,$(BIN),$(LOCKED) requirements.lock)
	@$(call install,$(BIN),$(PROJECT) --editable .)
	@touch $@

$(VENV)/.dev: $(VENV)/.installed requirements-dev.lock
	@echo "Installing the development tools from requirements-dev.lock ..."
	@$(call install,$(BIN),$(LOCKED) requirements-dev.lock)
	@touch $@
