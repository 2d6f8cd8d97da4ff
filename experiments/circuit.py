"""Fits a circuit to the clips of a config, with which experiments.generate fills in clips (--circuit).

python -m experiments.circuit --config=configs/digits.py --out=circuit.safetensors

The last line of stdout is one JSON object: the log-likelihood per clip of held-out clips, in nats, under the
circuit and under independent values.
"""

import dataclasses
import json

from absl import flags

from experiments.config_flag import define_experiment
from experiments.main import run
from stale_jax.progress import Stage

CONFIG = define_experiment()
OUT = flags.DEFINE_string("out", None, "Circuit file (.safetensors) to write.")
CLIPS = flags.DEFINE_integer("clips", None, "Training clips; default: 2048.")
EPOCHS = flags.DEFINE_integer("epochs", None, "Passes through the training clips; default: 2.")
STATES = flags.DEFINE_integer("states", None, "States of a region; default: 24.")
SEED = flags.DEFINE_integer("seed", 0, "Seed of the fit.", lower_bound=0, upper_bound=2**32 - 1)
flags.mark_flags_as_required(["config", "out"])


def main() -> None:
  from stale_jax.checkpoints.circuit_file import save_circuit
  from stale_jax.config import build_system
  from stale_jax.construct import construct
  from stale_jax.errors import UserError
  from stale_jax.files import at, make_folder
  from stale_jax.sampling.inpainting import CircuitSettings, fit
  from stale_jax.sampling.inpainting.em import stacked
  from stale_jax.sampling.inpainting.independent import compare

  given = {"clips": CLIPS.value, "epochs": EPOCHS.value, "states": STATES.value}
  settings = construct(CircuitSettings, {k: v for k, v in given.items() if v is not None}, "circuit")
  out = at(OUT.value)
  data = build_system(CONFIG.value.to_dict()).data
  if data.source.sizes or data.source.pixels is not data.source:
    raise UserError("a circuit needs clips of pixels of one size: leave out the buckets and the codec.")
  with Stage("reading clips"):
    clips = stacked(data.source, data.senses, range(min(settings.clips, len(data.source))))
  with Stage("fitting the circuit"):
    circuit = fit(clips, settings, SEED.value)
  held_out = stacked(data.source.test_split(), data.senses, range(64))
  result = compare(circuit, clips, held_out)
  make_folder(out.parent)
  save_circuit(out, circuit, {**dataclasses.asdict(settings), "seed": SEED.value, **result})
  print(f"circuit: {out}")
  print(json.dumps(result))


if __name__ == "__main__":
  run(main)
