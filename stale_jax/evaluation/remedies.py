"""Columns and cells of the comparison of remedies for long movies (`experiments.remedies`)."""

import json

from stale_jax.errors import UserError
from stale_jax.files import AnyPath

ABOUT = {
  "live@10": "liveliness of the tenth window and the two before it",
  "live": "the same of the last and the two before it",
  "retention@10": "speed of those windows over the first's",
  "retention": "the same of the last three",
  "dead": "share of dead frames",
  "caption": "share of digit, colour and speed read back from the last window, over that of the first",
  "saturation": "drift of saturation, of the last 15% against the first",
  "luma": "drift of luma likewise",
}


def scores_of(found: dict, windows: int) -> dict[str, float]:
  """Those columns of ABOUT that `evaluate_liveliness` tells of, a point of whose curves is a window."""
  said, curves = {}, found["curves"]
  for name, curve in (("live", "liveliness"), ("retention", "retention")):
    for column, last in ((f"{name}@10", 10), (name, windows)):
      points = curves[curve][max(last - 3, 0) : last]
      if len(curves[curve]) >= last:
        said[column] = sum(points) / len(points)
  said["dead"] = found["dead"]
  if found.get("caption/first"):  # None is read from pictures that no reader knows.
    said["caption"] = found["caption/last"] / found["caption/first"]
  return said | {"saturation": found["saturation_drift"], "luma": found["luma_drift"]}


def read_cell(path: AnyPath, settings: dict) -> dict | None:
  """What was found, None if it is not there yet; raises UserError if it was found with other settings."""
  if not path.exists():
    return None
  cell = json.loads(path.read_text())
  before = cell.get("settings", {})
  differing = [key for key in settings if key not in before or before[key] != settings[key]]
  if differing:
    raise UserError(f"{path} is of another {', '.join(differing)}; choose another --out.")
  return cell


def told_by_all(done: dict) -> dict:
  """row -> seed -> the scores that every seed of the row has; of the others no mean is comparable."""
  kept = {row: set.intersection(*map(set, seeds.values())) for row, seeds in done.items()}
  return {
    row: {seed: {key: x for key, x in said.items() if key in kept[row]} for seed, said in seeds.items()}
    for row, seeds in done.items()
  }
