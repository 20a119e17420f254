# make report: everything from an empty folder to the report. make test: the tests. Both set themselves up.
PYTHON ?= python3
CORES ?= all
VENV := .venv
READY := $(VENV)/.ready

.PHONY: report test check lock clean

report: $(READY)
	$(VENV)/bin/snakemake --cores $(CORES)
	@ls -1 results/report/report.html results/report/report.tex results/report/report.pdf 2>/dev/null

test: $(READY)
	$(VENV)/bin/python -m pytest $(PYTEST)

# What CI asks of the code besides the tests.
check: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/snakefmt --check Snakefile workflow
	$(VENV)/bin/snakemake --lint
	$(VENV)/bin/mypy

# Exact versions, all of them, from one file; the package itself is linked, so that edits count at once.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "rivalry needs Python 3.11 or newer; set PYTHON=python3.11, for example")'
	@echo 'setting up $(VENV): once, a few minutes'
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --requirement requirements.lock
	@$(VENV)/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $(READY)

# The lock file anew, from the ranges in pyproject.toml.
lock:
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet 'setuptools>=77' '.[reports,slurm,test]'
	.venv-lock/bin/python -m pip freeze --exclude rivalry | sed 's/+cpu//' > requirements.lock
	rm -r .venv-lock

clean:
	rm -rf results .snakemake $(VENV)
