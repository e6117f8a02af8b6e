# Each target does all the set-up it needs: `make demo` and `make test` work on a fresh machine with Python >= 3.10.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PEERS := .venv-peers
MINIMUM := .venv-minimum
# Which lines of src the tests run; `make test COVERAGE=` does without.
COVERAGE ?= --cov

.PHONY: demo test test-native test-browser test-minimum docs soak rehearsal quality style bench bench-peers release clean

demo: $(VENV)/installed
	$(BIN)/m4ser demo

test: $(VENV)/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto $(COVERAGE)

# transformers' own common tests of models, configurations and processors, from the source release of its version.
test-native: $(VENV)/installed
	$(BIN)/python -m tests.native.source_release
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m native tests/native

# All tests with the lowest versions that pyproject.toml names; needs Python 3.10, as PYTHON=python3.10 names it.
test-minimum: $(MINIMUM)/installed
	OMP_NUM_THREADS=1 $(MINIMUM)/bin/python -m pytest -n auto

$(MINIMUM)/installed: pyproject.toml constraints-minimum.txt
	$(PYTHON) -m venv $(MINIMUM)
	$(MINIMUM)/bin/pip install --quiet --constraint constraints-minimum.txt torch
	$(MINIMUM)/bin/pip install --quiet --constraint constraints-minimum.txt --editable '.[test,report,export]'
	touch $@

# Needs chromium: apt-get install chromium
test-browser: $(VENV)/browser
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m browser tests/hub_scripts tests/docs

# The documentation site, in site/; a warning or a broken link is an error.
docs: $(VENV)/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# The attacks of docs/reliability.md that take long; about 20 minutes.
soak: $(VENV)/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m soak --durations=0

# Every command of the README and the guides on a twentieth of IEMOCAP and MELD; made-up recordings.
rehearsal: $(VENV)/installed
	rm -rf .rehearsal
	$(BIN)/python -m experiments.rehearsal --quick --work_dir .rehearsal

quality: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

style: $(VENV)/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Minutes; benchmarks/ has others that take longer.
bench: $(VENV)/installed
	$(BIN)/python -m benchmarks

# What others offer on the same machine; 5 GB, for its torch comes with CUDA.
bench-peers: $(VENV)/installed $(PEERS)/installed
	$(BIN)/python -m benchmarks throughput one_pass

$(PEERS)/installed:
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/pip install --quiet --requirement benchmarks/peers.txt
	touch $@

# torch is installed first and by itself, so that nothing after it resolves to another build.
$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[test,report,export]'
	touch $@

$(VENV)/docs: $(VENV)/installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[docs]'
	touch $@

$(VENV)/browser: $(VENV)/installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[test,report,export,demo,browser,docs]'
	touch $@

# Wheel, sdist and notes in dist/, checked on Python 3.10 and 3.13, or with PYTHONS="PYTHON ...".
release: $(VENV)/installed
	$(BIN)/python .ci/release.py $(PYTHONS)

clean:
	rm -rf $(VENV) $(PEERS) $(MINIMUM) .native .rehearsal data runs dist site
