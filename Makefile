# The same targets for a person and for CI. Set-up is remembered by the content of the files it installs from.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
WORKERS ?= 2
BENCH ?= smollm2 smollm2:nf4 smollm2:int8

key = $(shell cat $(1) | cksum | cut -d ' ' -f 1)
INSTALLED := $(VENV)/.installed-$(call key,requirements.txt constraints.txt)
INSTALLED_DEV := $(VENV)/.installed-dev-$(call key,requirements.txt requirements-dev.txt constraints.txt)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run setup model dev browser postgres vllm test lint prove bench bench-page bench-vllm bench-divergence methods
.PHONY: bench-quantize bench-viewers doctor screenshots table try-space vendor
.PHONY: check-resolves clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /|/' | awk -F '|' '{printf "  make %-16s %s\n", $$1, $$2}'

run: setup ## set everything up and open the page; ARGS="--share" passes options on
	@$(PY) -m playground run $(ARGS)

setup: model ## venv, pinned packages, the bundled model; nothing to do the second time

model: $(INSTALLED)
	@$(PY) -m playground setup

dev: $(INSTALLED_DEV) ## the packages of the tests too

browser: dev ## Chromium for the tests, unless there is one
	@PYTHON=$(PY) sh scripts/browser.sh

postgres: ## PostgreSQL's server for the tests, unless there is one; without it they say so and go on
	@sh scripts/postgres.sh

vllm: | $(VENV)/.made ## vLLM in an environment of its own (.venv-vllm, about 3.5 GB), where there is a wheel for it
	@PYTHON=$(PY) sh scripts/vllm.sh

test: dev setup browser postgres vllm ## set everything up and run the tests; ARGS="-k timing" passes options on
	$(PY) -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

lint: dev ## ruff (rules and format), mypy --strict, and which room may import which (import-linter)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports

prove: dev setup ## what tests are too short for, one script a claim in scripts/prove/, JSON into prove/; goes on where it stopped
	@mkdir -p prove; failed=; for script in scripts/prove/*.py; do echo "$$script"; \
	  PYTHONPATH=. PLAYGROUND_OFFLINE=1 $(PY) $$script > prove/$$(basename $$script .py).json || failed="$$failed $$script"; done; \
	  [ -z "$$failed" ] || { echo "Not proven:$$failed" >&2; exit 1; }

bench: setup ## prefill and decode tok/s into bench/, and the decode loop against transformers' own
	@mkdir -p bench
	$(PY) -m playground bench $(BENCH) -p 512 -n 128 -r 5 --json > bench/.partial
	@mv bench/.partial bench/$$(date +%Y%m%d-%H%M%S).json
	$(PY) -m playground bench --against-generate

bench-page: setup browser ## what watching in a browser on this machine costs the engine
	PYTHONPATH=. $(PY) scripts/bench_page.py

bench-vllm: setup vllm ## bench against vLLM's own benchmark on one server, in turn; ARGS="--rounds 6" passes options on
	@mkdir -p bench
	PYTHONPATH=. $(PY) scripts/bench_vllm.py $(ARGS) > bench/.partial
	@mv bench/.partial bench/vllm-$$(date +%Y%m%d-%H%M%S).json

methods: setup ## docs/methods.md, and every method on the bundled model (30 minutes and more on a CPU); ARGS="--list" only the table
	PYTHONPATH=. $(PY) scripts/methods_table.py $(ARGS)

table: setup ## size, speed and quality of the main variants into docs/measurements.md; ARGS="--limit 40" passes options on
	PYTHONPATH=. $(PY) scripts/quality_table.py $(ARGS)

bench-divergence: setup ## divergence against the bare loop of two forward passes; ARGS="--rounds 8" passes options on
	@mkdir -p bench
	PYTHONPATH=. $(PY) scripts/bench_divergence.py $(ARGS) > bench/.partial
	@mv bench/.partial bench/divergence-$$(date +%Y%m%d-%H%M%S).json

bench-quantize: setup ## a quantize job against the bare llm-compressor script; ARGS="--rounds 5" passes options on
	@mkdir -p bench
	PYTHONPATH=. $(PY) scripts/bench_quantize.py $(ARGS) > bench/.partial
	@mv bench/.partial bench/quantize-$$(date +%Y%m%d-%H%M%S).json

bench-viewers: setup dev ## fifty viewers of a stored run while one generation runs; ARGS="--viewers 20" passes options on
	@mkdir -p bench
	PYTHONPATH=. $(PY) scripts/bench_viewers.py $(ARGS) > bench/.partial
	@mv bench/.partial bench/viewers-$$(date +%Y%m%d-%H%M%S).json

doctor: setup ## what this machine is, what can run on it, and what is missing
	@$(PY) -m playground doctor

screenshots: setup browser ## the pictures in docs/, taken from the running app
	$(PY) scripts/screenshots.py

vendor: ## bundle the page's libraries again (needs Node); LOCK=1 takes the versions of scripts/vendor/package.json
	folder=$$(mktemp -d) && cp scripts/vendor/* $$folder && (cd $$folder && \
	  npm $(if $(LOCK),install --omit-lockfile-registry-resolved,ci) --ignore-scripts --no-audit --no-fund && \
	  node build.mjs $(CURDIR)/playground/web/static/vendor) && cp $$folder/package-lock.json scripts/vendor/ && rm -rf $$folder

try-space: setup dev ## start the page as a free CPU Space would: user 1000, read-only code, an empty home (Linux, root)
	@$(PY) scripts/try_space.py $(ARGS)

check-resolves: dev ## do the requirements resolve on every platform and Python we support? (needs uv)
	@PYTHON=$(PY) sh scripts/check_resolves.sh

clean: ## remove the venv and every cache in this folder; the restored model stays in the user's cache
	rm -rf $(VENV) .venv-vllm build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .gradio
	find playground tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  found=$$(command -v $(PYTHON) >/dev/null && $(PYTHON) -V 2>&1 || echo missing); \
	  echo "Python 3.11 or newer is needed; $(PYTHON) is $$found. Try: make run PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
	  echo "No virtual environment could be made. On Debian: apt install python3-venv" >&2; exit 1; }
	@touch $@

$(INSTALLED): | $(VENV)/.made
	$(PY) -m pip install -r requirements.txt -c constraints.txt
	@rm -f $(VENV)/.installed-[0-9]* && touch $@

$(INSTALLED_DEV): | $(INSTALLED)
	$(PY) -m pip install -r requirements.txt -r requirements-dev.txt -c constraints.txt
	@rm -f $(VENV)/.installed-dev-* && touch $@
