# make demo, make test: both set everything up by themselves. See CONTRIBUTING.md.
SHELL := /bin/bash
BIN := .venv/bin
WORKERS ?= 2
# Jobs and tests start hundreds of Python processes, each of which would compile this project again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup browser classes peers demo check test test-versions lint types rules airflow kafka hadoop bench reference docs screenshots constraints clean intro faults fuzz faketime release-check

help: ## Show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 15

setup: ## Virtual environment, pinned dependencies, Java; only when something changed
	@bash scripts/setup.sh

demo: setup ## Train, wait, register, predict: the example DAG, for real
	@$(BIN)/python scripts/demo.py

lint: setup ## ruff, mypy, import contracts, declared dependencies
	@$(MAKE) --no-print-directory --jobs 2 types rules

types:
	@$(BIN)/mypy

rules:
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports
	@$(BIN)/deptry .

browser:
	@bash scripts/setup.sh browser

classes: setup
	@bash scripts/setup.sh classes

check: lint ## lint, and the tests that start neither a JVM nor Airflow: a few minutes
	@$(BIN)/python -m pytest --numprocesses $(WORKERS) -m light $(ARGS)

test: intro lint browser classes ## lint, then all tests; make test ARGS='-k sensor' runs some, WORKERS=0 without processes beside this one
	@$(BIN)/python -m pytest --numprocesses $(WORKERS) $(ARGS)

intro:
	@echo 'make test: lint, the tests of make check, then those that start Spark, Kafka, Airflow and Chromium.'
	@echo 'All of it takes about an hour on two cores; Ctrl-C ends everything that it has started.'

test-versions: setup ## The oldest versions that pyproject.toml allows, and older versions of Airflow; SETS=oldest for some of the sets
	@$(BIN)/python scripts/test_versions.py $(SETS)

release-check: setup ## What a release would publish: changelog, wheel, an installation of its own, the demo there
	@$(BIN)/python scripts/release_check.py $(CHECKS)

airflow: setup ## Airflow with its UI on http://127.0.0.1:8080, the example DAGs loaded
	@$(BIN)/python scripts/standalone.py

kafka: setup ## An Apache Kafka broker on 127.0.0.1 to play with, until Ctrl-C
	@$(BIN)/python scripts/jvm/broker.py

hadoop: setup ## HDFS and YARN on 127.0.0.1 and 127.0.0.2, until Ctrl-C
	@$(BIN)/python scripts/jvm/hadoop.py

peers: setup
	@bash scripts/setup.sh bench

bench: peers ## Benchmarks against peers; writes benchmarks/results
	@for each in scoring columns parquet; do PYTHONPATH=.work/bench $(BIN)/python benchmarks/$$each.py || exit 1; done
	@for each in data_path training fixed_costs kafka_transport mlsql_fit language waiting pages storage; do \
		$(BIN)/python benchmarks/$$each.py || exit 1; done

fuzz: setup ## Broken input of every kind; make fuzz SEED=2 COUNT=1000, or KIND=manifest CASE=17 for one case again
	@$(BIN)/python benchmarks/fuzz.py $(if $(SEED),--seed $(SEED)) $(if $(COUNT),--count $(COUNT)) $(if $(KIND),--kind '$(KIND)') $(if $(CASE),--case $(CASE))

faults: setup classes faketime ## Jobs with faults at random moments, for 20 minutes, from where it stopped; MINUTES=60; SEED=17 for one case again
	@$(BIN)/python benchmarks/faults.py $(if $(SEED),--seed $(SEED)) $(if $(COUNT),--count $(COUNT)) $(if $(MINUTES),--minutes $(MINUTES)) $(if $(ONLY),--only '$(ONLY)') $(if $(BUG),--bug '$(BUG)')

faketime: # a library for clocks that jump, outside of .venv
	@[ -d .work/faults/libfaketime ] || $(BIN)/uv pip install --quiet --no-deps --python $(BIN)/python --target .work/faults libfaketime==3.0.1 \
		|| echo 'faults: no libfaketime; cases with a clock that jumps are left out'

reference: setup ## Write docs/reference/options.md from the declarations of the options
	@$(BIN)/python scripts/reference.py

screenshots: setup browser classes ## Pictures of Airflow's UI for docs/images, from the browser tests
	@$(BIN)/python -m pytest --numprocesses 0 tests/ui/test_form.py
	@$(BIN)/python scripts/pictures.py

docs: setup ## The documentation as a site in .work/site; make docs SERVE=1 shows it on http://127.0.0.1:8000 while you write
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs $(if $(SERVE),serve,build --quiet && echo 'docs: .work/site/index.html')

constraints: setup ## Resolve constraints.txt again, for every supported Python
	@printf 'pyspark==4.2.0\npyspark-client==4.2.0\nuv\n' > .work/pins.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.10 --upgrade --extra dev --no-header --no-annotate \
		--constraint .work/pins.txt pyproject.toml .work/pins.txt --output-file .work/constraints.txt
	@mv .work/constraints.txt constraints.txt
	@cp constraints.txt .work/bench.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.10 --extra dev --extra bench --no-header --no-annotate \
		--constraint .work/pins.txt pyproject.toml .work/pins.txt --output-file .work/bench.txt
	@grep -vxFf constraints.txt .work/bench.txt >benchmarks/requirements.txt

clean: ## Remove what setup, demo and tests made
	rm -rf .venv .work .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
