# make demo   transcribe the example clip with the bundled model, into demo-output/
# make test   run all tests
# make lint   check style and types
# make fuzz   try it with damaged files, absurd numbers and faults of the machine, and write docs/reliability.md
# make docs   build the documentation into site/; open site/index.html, or with search: python3 -m http.server --directory site
# make wheel   build sdist and wheel into dist/, install the wheel into empty environments, and use it there offline
# make benchmark-set MIDI=FOLDER   the benchmark set into benchmark-set/, see data/benchmark/README.md
# make peers                       score mt3lite and other tools on it (RECORDINGS: more dataset folders)
#
# Each sets up what it needs in .venv first, from nothing but Python 3.11 and pip, and skips that when it is done.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

FUZZ_SCALE ?= 10

# Made again when setup.py changes: what is installed follows from it.
STAMP := $(VENV)/.installed
STAMP_ALL := $(VENV)/.installed-all
STAMP_DOCS := $(VENV)/.installed-docs

.PHONY: demo test lint fuzz docs wheel benchmark-set peers
demo: $(STAMP)
	@echo "== Transcribing data/demo/clip.flac with the bundled model 'small'"
	$(BIN)/mt3lite transcribe data/demo/clip.flac --output-dir demo-output --plot --overwrite --verbose
	@echo "== Scores against what was played, data/demo/clip.mid"
	$(BIN)/mt3lite evaluate data/demo/clip.mid demo-output/clip.mid
	@echo "== The notes are in demo-output/clip.mid, a picture of them in demo-output/clip.png"

test: $(STAMP_ALL)
	@echo "== Running the tests"
	$(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

fuzz: $(STAMP_ALL)
	@echo "== Trying $(FUZZ_SCALE) times as many cases as make test does, others every time"
	@rm -f tests/fuzz/counts.json
	MT3LITE_FUZZ_SCALE=$(FUZZ_SCALE) MT3LITE_FUZZ_COUNTS=tests/fuzz/counts.json $(BIN)/python -m pytest tests/fuzz
	$(BIN)/python tests/fuzz/report.py tests/fuzz/counts.json docs/reliability.md

lint: $(STAMP)
	@echo "== Checking style"
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(STAMP_DOCS)
	@echo "== Building the documentation into site/"
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "== Open site/index.html; with search: python3 -m http.server --directory site"

wheel: $(STAMP)
	$(BIN)/python .ci/check_wheel.py $(PYTHONS)

benchmark-set: $(STAMP)
	$(BIN)/python benchmarks/make_set.py --midi $(MIDI) --jobs 2 benchmark-set

peers: $(STAMP)
	$(BIN)/python benchmarks/peers.py benchmark-set $(RECORDINGS) --workdir benchmark-work

$(STAMP): setup.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "mt3lite needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Name another: make PYTHON=python3.12")'
	@echo "== Setting up $(VENV): mt3lite with what its demo and tests need (once, some minutes)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable '.[train,data,synth,plot,dev]'
	@sh .ci/system-libraries
	@touch $@

$(STAMP_DOCS): $(STAMP)
	$(BIN)/pip install --quiet --editable '.[docs]'
	@touch $@

$(STAMP_ALL): $(STAMP)
	@echo "== Setting up the rest for the tests: TensorFlow and seqio (once, some minutes, 2.6 GB)"
	$(BIN)/pip install --quiet --editable '.[all]'
	@touch $@
