# Everything runs in .venv, with the versions of constraints.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt
SOURCES := setup.cfg pyproject.toml constraints.txt
FUZZ_SECONDS ?= 60

.PHONY: demo test lint format bench bench-gpu fuzz clean

demo: $(VENV)/.installed
	$(BIN)/python examples/make_example.py examples/out
	$(BIN)/sbert-vcf annotate examples/out/toy.vcf -r examples/out/toy.fa -g examples/out/toy.gtf -o examples/out/demo.vcf.gz --overwrite
	$(BIN)/python examples/show.py examples/out/demo.vcf.gz

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed-dev
	for script in benchmarks/bench_*.py; do $(BIN)/python $$script || exit 1; done

# On a machine with an NVIDIA GPU, and a build of PyTorch for it in .venv.
bench-gpu: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/gpu_all.py -o gpu.md

# Python 3.11 or newer, Linux on x86-64: for others there is no wheel of atheris.
fuzz: $(VENV)/.installed-fuzz
	for harness in records consequences annotation; do \
		$(BIN)/python -m fuzz.run $$harness -max_total_time=$(FUZZ_SECONDS) || exit 1; \
	done

clean:
	rm -rf $(VENV) examples/out fuzz/found build *.egg-info .pytest_cache .mypy_cache .ruff_cache

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(BIN)/python $(SOURCES)
	$(PIP) -e .
	touch $@

$(VENV)/.installed-dev: $(BIN)/python $(SOURCES)
	$(PIP) -e '.[dev]'
	touch $@ $(VENV)/.installed

$(VENV)/.installed-fuzz: $(BIN)/python $(SOURCES)
	$(PIP) -e '.[fuzz]'
	touch $@ $(VENV)/.installed
