PYTHON ?= python3
BIN := .venv/bin

.PHONY: movie test test-slow lint plans plans-gpu results benchmark

# Trains the packaged model of cartoons a little further, measures it, and makes three five-sense movies with it.
movie: .venv/installed
	rm -rf runs/movie
	$(BIN)/python -m experiments.train --config=configs/movie.py --workdir=runs/movie
	$(BIN)/python -m experiments.evaluate --workdir=runs/movie --suite=cartoons --clips=16
	$(BIN)/python -m experiments.generate --workdir=runs/movie --out=movies \
	  --prompt="a burglar in a green striped shirt runs right through a museum at night" \
	  --prompt="a fairy in a purple tunic dances in a magical forest by day" \
	  --prompt="a fan in a red T-shirt waves on a stage at sunset, holding a guitar"

test: .venv/installed
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow"

# The tests that `make test` leaves out; or a part of them: make test-slow SLOW="slow and not long".
SLOW ?= slow
test-slow: .venv/installed
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "$(SLOW)"

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# Renders docs/results.md from docs/results.
results: .venv/installed
	$(BIN)/python -m experiments.results

# What the large configs need and cost, on 256 chips of v5e and on a v5p-256 (256 cores, 128 chips).
plans: .venv/installed
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[plan]'
	mkdir -p docs/plans
	set -e; for config in stale_1b stale_14b; do for size in 480p 720p; do \
	  for on in v5e:16x16 v5p:4x4x8; do \
	    $(BIN)/python -m experiments.plan --config=configs/$$config.py:$$size --topology=$$on \
	      --json=docs/plans/$${config}_$${size}_$${on%%:*}-256.json; done; done; done

# The same on machines with eight H100, and for real videos and cartoons on one GPU.
plans-gpu: .venv/installed
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[cuda]'
	mkdir -p docs/plans
	$(BIN)/python -m experiments.plan --config=configs/stale_1b.py:480p --topology=h100:8 --num_slices=4 \
	  --config.mesh.data=4 --config.mesh.fsdp=8 --config.mesh.context=1 --config.mesh.ulysses=1 \
	  --config.training.batch=32 --json=docs/plans/stale_1b_480p_h100-32.json
	$(BIN)/python -m experiments.plan --config=configs/stale_14b.py:480p --topology=h100:8 --num_slices=16 \
	  --config.mesh.data=2 --config.mesh.fsdp=64 --config.mesh.context=1 --config.mesh.ulysses=1 \
	  --config.training.batch=128 --json=docs/plans/stale_14b_480p_h100-128.json
	$(BIN)/python -m experiments.plan --config=configs/stale_14b.py:720p --topology=h100:8 --num_slices=16 \
	  --config.mesh.data=1 --config.mesh.fsdp=16 --config.mesh.context=8 --config.mesh.ulysses=8 \
	  --config.training.batch=16 --json=docs/plans/stale_14b_720p_h100-128.json
	for gpu in l4 a100; do \
	  $(BIN)/python -m experiments.plan --config=configs/real_gpu.py:plan --topology=$$gpu:1 \
	    --json=docs/plans/real_gpu_$$gpu-1.json || exit; \
	done
	for config in cartoons cartoons_small; do \
	  $(BIN)/python -m experiments.plan --config=configs/$$config.py --topology=h200:1 \
	    --json=docs/plans/$${config}_h200-1.json || exit; \
	done

# Runs all benchmarks of a GPU, into docs/results/gpu_*.json. Each has a time limit, and one that fails does not
# stop the others: at most 290 seconds after the installation.
benchmark: .venv/installed
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[cuda]' torch diffusers
	-timeout 80 $(BIN)/python -m experiments.benchmark --suite=train --config=configs/stale_1b.py:480p \
	  --config.training.batch=1 --config.mesh.context=1 --config.mesh.ulysses=1 --config.mesh.fsdp=1 \
	  --json=docs/results/gpu_train.json --peer=diffusers
	-timeout 60 $(BIN)/python -m experiments.benchmark --suite=rollout --config=configs/stale_1b_causal.py \
	  --json=docs/results/gpu_rollout.json
	-timeout 60 $(BIN)/python -m experiments.benchmark --suite=start --config=configs/digits.py \
	  --json=docs/results/gpu_start.json
	-timeout 50 $(BIN)/python -m experiments.benchmark --suite=train --config=configs/stale_1b.py:480p \
	  --config.training.batch=1 --config.mesh.context=1 --config.mesh.ulysses=1 --config.mesh.fsdp=1 \
	  --config.training.deterministic=False --json=docs/results/gpu_train_free.json
	-timeout 40 $(BIN)/python -m experiments.benchmark --suite=sample,train,loader --config=configs/digits.py \
	  --json=docs/results/gpu_digits.json

# xpk, the client of Kubernetes clusters, which needs older versions of our dependencies.
.xpk/installed:
	$(PYTHON) -m venv .xpk
	.xpk/bin/pip install --quiet --disable-pip-version-check 'xpk>=1.16'
	touch $@

.venv/installed: setup.py
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@
