"""Columns and cells of the table that compares remedies for long movies (`experiments.remedies`)."""

from stale_jax.errors import UserError
from stale_jax.files import AnyPath, read_object

ABOUT = {
  "live@10": "liveliness, mean over windows 8 to 10",
  "live": "liveliness, mean over the last three windows",
  "retention@10": "pace divided by that of the first window, mean over windows 8 to 10",
  "retention": "the same, mean over the last three windows",
  "dead": "share of dead frames",
  "caption": "share of digits, colours and speeds that match the prompt, last window divided by first",
  "saturation": "difference of saturation between the last and the first 15% of the movie",
  "luma": "the same for luma",
}


def scores_of(found: dict, windows: int) -> dict[str, float]:
  """Computes the columns of ABOUT from the scores of `evaluate_liveliness`.

  Args:
    found: the scores; each point of their curves must be the mean of a single window.
    windows: number of windows of the movies.

  Returns:
    column -> value. Columns for which the movies are too short, or that were not measured, are left out.
  """
  columns, curves = {}, found["curves"]
  for name, curve in (("live", "liveliness"), ("retention", "retention")):
    for column, last in ((f"{name}@10", 10), (name, windows)):
      points = curves[curve][max(last - 3, 0) : last]
      if len(curves[curve]) >= last:
        columns[column] = sum(points) / len(points)
  columns["dead"] = found["dead"]
  if found.get("caption/first"):  # Missing where the source has no reader.
    columns["caption"] = found["caption/last"] / found["caption/first"]
  return columns | {"saturation": found["saturation_drift"], "luma": found["luma_drift"]}


def read_cell(path: AnyPath, settings: dict) -> dict | None:
  """Reads the cell of the table that is stored at `path`; None if it has not been measured yet.

  Raises:
    UserError: the cell was measured with other settings, or the file is damaged.
  """
  if not path.exists():
    return None
  cell = read_object(path, "delete it, and the cell is measured again")
  before = cell["settings"] if isinstance(cell.get("settings"), dict) else {}
  differing = [key for key in settings if key not in before or before[key] != settings[key]]
  if differing:
    raise UserError(f"{path} was measured with other values of {', '.join(differing)}; choose another --out.")
  return cell


def told_by_all(done: dict) -> dict:
  """Removes the scores that some seed of a row lacks, since their means would be over different seeds.

  Args:
    done: row -> seed -> score -> value.

  Returns:
    The same without these scores.
  """
  shared = {row: set.intersection(*map(set, seeds.values())) for row, seeds in done.items()}
  return {
    row: {seed: {key: x for key, x in each.items() if key in shared[row]} for seed, each in seeds.items()}
    for row, seeds in done.items()
  }
