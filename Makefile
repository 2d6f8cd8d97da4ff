PYTHON ?= python3
BIN := .venv/bin

.PHONY: movie test lint

# Trains the shipped model a little further, measures it, and makes three five-sense movies with it.
movie: .venv/installed
	rm -rf runs/movie
	$(BIN)/python -m experiments.train --config=configs/movie.py --workdir=runs/movie
	$(BIN)/python -m experiments.evaluate --workdir=runs/movie --suite=captions --clips=240
	$(BIN)/python -m experiments.generate --workdir=runs/movie --out=movies \
	  --prompt="a red seven moves left quickly" \
	  --prompt="a cyan two moves down slowly" \
	  --prompt="a yellow five moves right quickly"

test: .venv/installed
	$(BIN)/python -m pytest -n 2 --dist worksteal

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

.venv/installed: setup.py
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@
