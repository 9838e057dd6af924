# Everything needs Python 3.11 or newer and make; each target sets up .venv for itself.
PYTHON ?= python3
BIN := .venv/bin
DATA ?= ../shared/data
PIP_INSTALL := $(BIN)/pip install --constraint constraints.txt --editable

.PHONY: help dataset demo test lint format bench real clean
help:
	@echo "make dataset            build the embedded sample into out/sample"
	@echo "make demo               train the smallest model on it, and write sixteen pieces into out/demo/pieces"
	@echo "make test               run the tests, one process a core"
	@echo "make lint               ruff, format check, mypy"
	@echo "make bench DATA=FOLDER  speed on real LPD-5, with ratios to the plain way"
	@echo "make real DATA=FOLDER   build LPD-5 and Nottingham (lpd_5/lpd_5_full and nottingham in FOLDER) into out/real"

$(BIN)/python:
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'moodroll needs Python 3.11 or newer: make PYTHON=python3.12 $(MAKECMDGOALS)')"
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --upgrade pip

.venv/pipelines: $(BIN)/python pyproject.toml constraints.txt
	$(PIP_INSTALL) ".[pipelines]"
	@touch $@

.venv/dev: .venv/pipelines
	$(PIP_INSTALL) ".[pipelines,training,evaluate,dev]"
	@touch $@

dataset: .venv/pipelines
	$(BIN)/moodroll-data build manifests/builds/sample.toml --out out/sample
	@echo
	@echo "The release stands in out/sample/release. Try next:"
	@echo "  $(BIN)/moodroll-data verify out/sample"
	@echo "  $(BIN)/moodroll-data describe out/sample"
	@echo "  $(BIN)/moodroll-data split manifests/splits/half.toml --corpus out/sample --out out/half"

# A process a core, a file at a time, since what a file's tests share is made once; in the order of
# tests/conftest.py, long files first. One thread each: the cores are taken.
test: .venv/dev
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses=auto --dist=loadfile --no-loadscope-reorder

lint: .venv/dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: .venv/dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: .venv/dev
	$(BIN)/python tests/bench/ingest_speed.py --data $(DATA)
	$(BIN)/python tests/bench/key_speed.py --data $(DATA)

real: .venv/pipelines
	$(BIN)/moodroll-data build manifests/builds/lpd5-nottingham.toml --out out/real \
		--set sources.lpd5.root=$(DATA)/lpd_5/lpd_5_full --set sources.nottingham.root=$(DATA)/nottingham

# The smallest model on the sample, and sixteen pieces by it: out/demo/pieces says which run made what.
demo: .venv/dev
	@test -f out/sample/release/manifest.json || $(MAKE) dataset
	$(BIN)/moodroll-model train manifests/runs/tiny.toml --data out/sample/release --out out/demo/run
	@for emotion in happy tense sad calm; do $(BIN)/moodroll-model sample out/demo/run --emotion $$emotion --n 4 \
		--strength 2 --out out/demo/pieces || exit 1; done

clean:
	rm -rf .venv out
