# make run and make test need Python >= 3.11 and nothing else; the environment is made once, and again when the lock changes.
PYTHON ?= python3

# Where this is set, every job would compile torch and pandas anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test coverage lint clean

run: .venv/ready
	.venv/bin/snakemake --cores all --quiet host reason

# Two files of tests at a time: one waits for Snakemake to start most of its time.
test: .venv/ready
	.venv/bin/python -m pytest -q -rs -n 2 --dist loadfile --no-loadscope-reorder

coverage: .venv/ready
	.venv/bin/python -m pytest -q -rs --cov=kernel_atlas --cov-report=term-missing --cov-fail-under=95

lint: .venv/ready
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/snakefmt --check Snakefile rules
	.venv/bin/snakemake --lint

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
	rm -rf .venv .snakemake
	find results -mindepth 1 ! -name README.md -delete
