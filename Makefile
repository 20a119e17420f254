# make report: everything from an empty folder to the report. make test: the tests. Both set themselves up.
# make report CONFIG=config/course.yaml CORES=2: another configuration, fewer processor cores.
PYTHON ?= python3
CORES ?= all
CONFIG ?=
VENV := .venv
READY := $(VENV)/.ready
TOOLS := $(VENV)/.tools
CONFIGURED := $(if $(CONFIG),--configfile $(CONFIG))

.PHONY: report test check generated unlock lock clean

report: $(READY)
	@$(VENV)/bin/snakemake --cores $(CORES) $(CONFIGURED)

test: $(TOOLS)
	$(VENV)/bin/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(PYTEST)

# What CI asks of the code besides the tests.
check: $(TOOLS)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/snakefmt --check Snakefile workflow
	$(VENV)/bin/snakemake --lint
	$(VENV)/bin/mypy
	$(VENV)/bin/basedpyright --pythonpath $(VENV)/bin/python

# What is generated from the methods' source: the configuration's schema and page, and what editors read of each room.
generated: $(READY)
	$(VENV)/bin/rivalry schema > workflow/schemas/config.schema.json
	$(VENV)/bin/rivalry schema --page > config/README.md
	for room in architectures attacks data defenses filters fooling poisoning targeted_poisoning training; do \
	  $(VENV)/bin/rivalry schema --room $$room > src/rivalry/$$room/__init__.pyi; done

# After kill -9 or power loss; refused runs say that the folder is locked. Make sure that no other run goes on here.
unlock: $(READY)
	@$(VENV)/bin/snakemake --unlock $(CONFIGURED)

# Exact versions, all of them, from one file; the package itself is linked, so that edits count at once.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "rivalry needs Python 3.11 or newer; set PYTHON=python3.11, for example")'
	@echo 'setting up $(VENV): once, a few minutes'
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --requirement requirements.lock
	@$(VENV)/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $(READY)

# What tests and checks need besides.
$(TOOLS): $(READY) requirements-test.lock
	@$(VENV)/bin/python -m pip install --quiet --requirement requirements-test.lock
	@touch $(TOOLS)

# The lock files anew, from the ranges in pyproject.toml: what a report needs, and what tests and checks need besides.
FREEZE := .venv-lock/bin/python -m pip freeze --all --exclude pip --exclude rivalry | sed 's/+cpu//'
lock:
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet --upgrade 'setuptools>=77' '.[reports,slurm]'
	$(FREEZE) > requirements.lock
	.venv-lock/bin/python -m pip install --quiet --constraint requirements.lock '.[test,models]'
	$(FREEZE) | grep -vxFf requirements.lock > requirements-test.lock
	rm -r .venv-lock

clean:
	rm -rf results .snakemake $(VENV)
