"""Curation finds planted faults: cuts, static clips and near-duplicates, and keeps what is good.

The videos have several scenes, joined by hard cuts. Copies of some are added: re-encoded, resized, slightly
cropped, brighter or darker, or all of that at once. Fades, flashes and fast pans, which are not cuts, are
included. Four scores have bars of their own: the F1 of cuts, .95, with a tolerance of 1.5 frames; and the
shares of static scenes removed, .95, of near-duplicates found, .95, and of good scenes kept, .90. Value: the
least of the four scores, each divided by its bar. Bar: 1.
"""

BARS = {"cuts_f1": 0.95, "static_removed": 0.95, "duplicates_clustered": 0.95, "good_kept": 0.90}
ORIGINALS, COPIED = 20, 14  # Videos, and how many of them have a copy.


def measure(seed: int) -> dict:
  import tempfile
  from pathlib import Path

  from stale_jax.data.curate import Settings
  from stale_jax.data.curate.run import curate
  from stale_jax.testing import scenes

  with tempfile.TemporaryDirectory() as folder:
    root, output = Path(folder) / "in", Path(folder) / "out"
    root.mkdir()
    truth = scenes.plant(root, ORIGINALS, COPIED, seed)
    said = curate(root, output, settings=Settings(), salt="a salt of the claim's", say=print)
    files, clips = (_lines(output / "work" / name) for name in ("files.jsonl", "clips.jsonl"))
  values = scenes.score(truth, files, clips)
  for name, value in values.items():
    print(f"{name:22}{value:.3f}   bar {BARS[name]:.2f}")
  worst = min(values[name] / bar for name, bar in BARS.items())
  return {
    "value": worst,
    "bar": 1.0,
    "holds": bool(worst >= 1),
    **values,
    "bars": BARS,
    "videos": ORIGINALS + COPIED,
    "counts": said["counts"],
  }


def _lines(path) -> list[dict]:
  import json

  return [json.loads(line) for line in path.read_text().splitlines()]
