# make run and make test need Python >= 3.11 and nothing else; the environment is made once, and again when the lock changes.
PYTHON ?= python3

# Where this is set, every job would compile torch and pandas anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test coverage docs lint clean

run: .venv/ready
	.venv/bin/snakemake --cores all --quiet host reason

# Two files of tests at a time: one waits for Snakemake to start most of its time.
test: .venv/ready profiles/_packages/ready
	.venv/bin/python -m pytest -q -rs -n 2 --dist loadfile --no-loadscope-reorder

coverage: .venv/ready profiles/_packages/ready
	.venv/bin/python -m pytest -q -rs --cov=kernel_atlas --cov-report=term-missing --cov-fail-under=95

# The site, docs/_build/html/index.html. What builds it lies beside the environment, not in it.
docs: .venv/ready docs/_packages/ready
	PYTHONPATH="$(CURDIR)/docs/_packages:$(CURDIR)" .venv/bin/python -m sphinx -W --keep-going -q docs docs/_build/html

docs/_packages/ready: docs/requirements.lock .venv/ready
	rm -rf docs/_packages
	PATH="$$PATH:$(CURDIR)/.venv/bin" uv pip install --quiet --no-deps --target docs/_packages -r docs/requirements.lock
	touch $@

# Plugins for the cloud, apart for the same reason and another: each start of Snakemake imports all that it finds, which takes seconds.
profiles/_packages/ready: profiles/requirements.lock .venv/ready
	rm -rf profiles/_packages
	PATH="$$PATH:$(CURDIR)/.venv/bin" uv pip install --quiet --no-deps --target profiles/_packages -r profiles/requirements.lock
	touch $@

lint: .venv/ready
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/snakefmt --check Snakefile rules
	.venv/bin/snakemake --lint
	.venv/bin/hadolint Dockerfile
	.venv/bin/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/ci.yml

# A new lock gets a new environment, so that nothing of the old one is left. uv is used if it is there, else put inside.
# The lock is complete but for what the code of packages needs of which only the weights are read.
.venv/ready: requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "kernel-atlas needs Python 3.11 or newer")'
	rm -rf .venv
	$(PYTHON) -m venv .venv
	command -v uv >/dev/null || .venv/bin/python -m pip install --quiet uv
	PATH="$$PATH:$(CURDIR)/.venv/bin" VIRTUAL_ENV="$(CURDIR)/.venv" uv pip install --quiet --no-deps -r requirements.lock
	touch $@

clean:
	rm -rf .venv .snakemake docs/_build docs/_generated docs/_packages profiles/_packages
	find results -mindepth 1 ! -name README.md -delete
