"""Compares settings that keep long movies alive: rolls a model out with each of them alone.

python -m experiments.remedies --workdir=runs/digits_causal --out=runs/remedies [--windows=50] [--seeds=3]

A window is as long as a training clip. Liveliness and retention are means over windows 8 to 10 and over the
last three windows. Each cell of the table is a file in the folder of --out: the same command continues where
it was stopped. The file remedies.md in this folder holds the table so far. The last line of stdout is one
JSON object.
"""

import functools
import json
from pathlib import Path

from absl import flags

from experiments.main import run
from experiments.model_flag import define_model
from stale_jax.files import check_on_disk, make_folder, write_whole
from stale_jax.progress import Stage

WORKDIR = define_model()
OUT = flags.DEFINE_string("out", None, "Folder to write the table and its cells to.")
WINDOWS = flags.DEFINE_integer("windows", 50, "Windows of a movie.", lower_bound=10, upper_bound=64)
CLIPS = flags.DEFINE_integer("clips", 8, "Movies per cell.", lower_bound=2)
SEEDS = flags.DEFINE_integer("seeds", 3, "Number of seeds, counted from 0.", lower_bound=1)
STEPS = flags.DEFINE_integer("steps", None, "Solver steps; default: the config's.")
flags.mark_flags_as_required(["out"])

_PERIOD = 40  # Frames between two changes of the prompt.
_OPPOSITE = {"left": "right", "right": "left", "up": "down", "down": "up"}


def _turning(caption: str, frames: int) -> list[tuple[int, str]]:
  """A script, (first frame, prompt) pairs: the caption alternates with that of the opposite direction."""
  other = " ".join(_OPPOSITE.get(word, word) for word in caption.split())
  return [(start, other if start // _PERIOD % 2 else caption) for start in range(0, frames, _PERIOD)]


# One frame at a time, without any remedy.
BASE = {"how": "causal", "chunk": 1, "sinks": 0}
# Name -> settings of `sampling.Rollout` that replace those of BASE.
REMEDIES = {
  "none": {},
  "chunks of 2": {"chunk": 2},
  "chunks of 4": {"chunk": 4},
  "chunks of 4, a sink": {"chunk": 4, "sinks": 1},
  "chunks of 4, two sinks": {"chunk": 4, "sinks": 2},
  "chunks of 4, noise .1": {"chunk": 4, "noise": 0.1},
  "chained frames": {"how": "windows", "conditioning_frames": 1},
  "windows of 4 given frames": {"how": "windows", "conditioning_frames": 4},
  "windows of 7 given frames": {"how": "windows", "conditioning_frames": 7},
  "noise .1": {"noise": 0.1},
  "noise .2": {"noise": 0.2},
  "chained, noise .2": {"how": "windows", "conditioning_frames": 1, "noise": 0.2},
  "noise as motion falls": {"revive": 0.5},
  "shorter window": {"window": 4},
  "a sink": {"sinks": 1},
  "averaging sink": {"sinks": 1, "sink_decay": 0.9},
  "rope jitter": {"rope_jitter": 0.8},
  "prompts change, kept": {"told": _turning, "on_change": "keep"},
  "prompts change, flushed": {"told": _turning, "on_change": "flush"},
  "prompts change, recached": {"told": _turning, "on_change": "recache"},
}


def main() -> None:
  from stale_jax.evaluation import evaluate_liveliness
  from stale_jax.evaluation.remedies import ABOUT, read_cell, scores_of, told_by_all
  from stale_jax.evaluation.table import estimates, markdown
  from stale_jax.pipeline import load

  check_on_disk("--", out=OUT.value)
  model, out = load(WORKDIR.value), make_folder(OUT.value)
  sizes = {"windows": WINDOWS.value, "clips": CLIPS.value, "steps": STEPS.value}
  settings_of_all = {"model": model.name, **sizes}
  cells = {
    (name, seed): Path(out) / f"{name}-{seed}.json" for seed in range(SEEDS.value) for name in REMEDIES
  }
  for path in cells.values():  # Cells of other settings are reported before hours of sampling.
    read_cell(path, settings_of_all)
  seconds = WINDOWS.value * model.frames / next(iter(model.source.senses.values())).rate
  done: dict[str, dict[int, dict[str, float]]] = {}
  for seed in range(SEEDS.value):
    for name, settings in REMEDIES.items():
      cell = read_cell(cells[name, seed], settings_of_all)
      if cell is None:
        options = {"seed": 1000 * seed, "seconds": seconds, "steps": STEPS.value, **BASE, **settings}
        if "told" in options:
          options["told"] = functools.partial(options["told"], frames=WINDOWS.value * model.frames)
        with Stage(f"measuring {name!r}, seed {seed}"):
          cell, _ = evaluate_liveliness(model, CLIPS.value, **options)
        write_whole(cells[name, seed], json.dumps({**cell, "settings": settings_of_all}))
      done.setdefault(name, {})[seed] = scores_of(cell, WINDOWS.value)
      real = scores_of(cell["real"], min(WINDOWS.value, len(cell["real"]["curves"]["liveliness"])))
      done.setdefault("real clips", {})[seed] = real
      scores = "  ".join(f"{key} {value:.3f}" for key, value in done[name][seed].items())
      print(f"{name}, seed {seed}: {scores}", flush=True)
      facts = (
        f"{model.name}, {WINDOWS.value} windows of {model.frames} frames, {CLIPS.value} movies per seed."
      )
      title = "What keeps a long movie alive?"
      write_whole(Path(out) / "remedies.md", markdown(told_by_all(done), title, facts, ABOUT))
  means = {
    row: {score: of[score].mean if score in of else None for score in ABOUT}
    for row, of in estimates(told_by_all(done)).items()
  }
  print(json.dumps({"model": model.name, "windows": WINDOWS.value, "rows": means}))


if __name__ == "__main__":
  run(main)
