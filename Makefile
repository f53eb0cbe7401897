.DEFAULT_GOAL := help
SHELL := /bin/sh
# The first Python that is new enough. Only `.venv` is made with it; everything else runs in `.venv`.
PYTHON := $(shell for p in python3.11 python3.12 python3.13 python3.14 python3; do \
  "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; done)

.PHONY: help setup run demo test unit lint bench chaos fuzz sbom audit browser screenshots

help: ## lists what make can do
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{ printf "%-16s %s\n", $$1, $$2 }'

setup: .kafka/.ready .venv/.ready ## makes .venv and fetches Kafka's jars; after it no network is needed

run: setup ## starts everything in the foreground and says where the UI is; Ctrl-C stops it
	@exec .venv/bin/handsent up

demo: setup ## does the main job on a list and checks it against the carrier's ledger; CSV=file for a list of your own
	@exec .venv/bin/handsent demo $(if $(CSV),"$(CSV)")

test: setup browser lint ## passes every test, with a short slice of chaos and bench
	@.venv/bin/python -m pytest tests

unit: setup ## passes the tests that need no server
	@.venv/bin/python -m pytest tests/unit tests/tidy

lint: setup ## ruff and mypy --strict
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check -q .
	@.venv/bin/mypy

bench: setup ## measures messages a second and latency, with the CPU of each part; ratios against yardsticks of the same run
	@.venv/bin/python -m tests.bench

chaos: setup ## kills parts in the middle of the work, at T and at every named step, from a seed (SEED=1 MODE=races; CAMPAIGNS KILLS ROUNDS FOLDS PROVIDER)
	@.venv/bin/python -m tests.chaos $(MODE) --seed $(or $(SEED),1) --rounds $(or $(ROUNDS),20) --campaigns $(or $(CAMPAIGNS),2000) --kills $(or $(KILLS),300) --folds $(or $(FOLDS),100) --provider $(or $(PROVIDER),twilio)

screenshots: setup browser ## takes the README's pictures of every page from a real stack, into deploy/screenshots
	@SCREENSHOTS=deploy/screenshots .venv/bin/python -m pytest -q tests/e2e/pages/test_pages_look.py -k picture

browser: ## installs the browser the tests of the pages drive, if it is missing
	@command -v chromium >/dev/null || { test "$$(id -u)" = 0 && apt-get install -y -q --no-install-recommends chromium fonts-dejavu-core >/dev/null; } \
	  || { apt-get update -q >/dev/null && apt-get install -y -q --no-install-recommends chromium fonts-dejavu-core >/dev/null; } \
	  || { echo "the tests of the pages need Debian's chromium: apt-get install chromium" >&2; exit 1; }

fuzz: setup ## asks each service thousands of things made up from its OpenAPI document (CASES=3000 SEED=1)
	@CASES=$(or $(CASES),3000) SEED=$(or $(SEED),1) .venv/bin/python -m pytest tests/e2e/test_fuzz.py

sbom: setup ## writes what the image is made of to deploy/sbom.json (CycloneDX)
	@.venv/bin/python deploy/sbom.py > deploy/sbom.json.new && mv deploy/sbom.json.new deploy/sbom.json

audit: setup ## checks that what is installed is what was pinned and hashed; looks up no vulnerabilities (SECURITY.md)
	@.venv/bin/python -m pip --disable-pip-version-check check
	@.venv/bin/python -m pytest tests/tidy/test_supply.py

# Kafka comes first: without a Java it says so in a second, before anything large is fetched.
.kafka/.ready: deploy/local/kafka/pom.xml | python
	@echo "fetching Kafka's jars (once, about 20 s)"
	@PYTHONPATH=deploy/local $(PYTHON) -m handsent.kafka_jars .kafka
	@touch $@

.venv/.ready: requirements.txt pyproject.toml | python
	@echo "making .venv (once, about a minute)"
	@$(PYTHON) -m venv .venv
	@.venv/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.txt
	@.venv/bin/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: python
python:
	@test -n "$(PYTHON)" || { echo "Handsent needs Python 3.11 or newer, and there is none on the PATH" >&2; exit 1; }
