"""Makes a run the packaged model of cartoons, measures it, and records its scores.

python -m experiments.ship --workdir=runs/cartoons_small --config=configs/cartoons_small.py

It writes, in a checkout of the repository: the averaged weights in half precision with the settings of
--config (stale_jax/weights/cartoons.safetensors), the scores of the suite `cartoons` on 96 captions
(cartoons.json beside it), and their table for docs/results.md (docs/results/tables/cartoons.json).
"""

import dataclasses
import datetime
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from absl import flags

from experiments.checkout import commit
from experiments.config_flag import define_experiment
from experiments.main import run
from stale_jax.errors import UserError

CONFIG = define_experiment()
WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.", required=True)
flags.mark_flag_as_required("config")
CLIPS = 96
TABLE = Path("docs/results/tables/cartoons.json")
_FACTORS = {"colour": "colour of the garment", "time": "time of day", "character2": "second character"}


def main() -> None:
  import jax

  from stale_jax.checkpoints.fit import difference
  from stale_jax.checkpoints.load import model_at
  from stale_jax.checkpoints.named import CARTOONS
  from stale_jax.checkpoints.weights import save_weights
  from stale_jax.config import build
  from stale_jax.evaluation.cartoons import evaluate_cartoons
  from stale_jax.files import write_whole
  from stale_jax.pipeline import load
  from stale_jax.training.initial import init_params

  if not TABLE.is_file():
    raise UserError(f"{TABLE} does not exist: run this program in a checkout of the repository.")
  config = CONFIG.value.to_dict()
  params, _ = model_at(WORKDIR.value)
  shapes = jax.eval_shape(lambda: init_params(build(config), jax.random.key(0)))
  if text := difference(params, shapes, "the weights", "this config"):
    raise UserError(
      f"--config: the model of {WORKDIR.value} is another one: {text}; use the config of that run."
    )
  # The run that these weights began with is not part of the package.
  save_weights(CARTOONS, params, {**config, "training": {**config["training"], "init_from": ""}})
  model = load("cartoons")
  scores, _ = evaluate_cartoons(model, CLIPS)
  sampling = dataclasses.asdict(model.settings())
  scores = {"suite": "cartoons", "model": "cartoons", **scores, "how": {"seed": 0, **sampling}}
  write_whole(CARTOONS.with_suffix(".json"), json.dumps({"cartoons": scores}) + "\n")
  head = {
    "title": "The model of cartoons",
    "question": "How well do the clips of the packaged model of cartoons show what their captions say?",
    "setting": f"configs/cartoons_small.py; experiments.evaluate --suite=cartoons, {CLIPS} captions of the "
    "test split; {steps} steps, shift {shift:g}, guidance {guidance:g} at times from {interval[0]:g} to "
    "{interval[1]:g}".format(**sampling),
    "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    "commit": commit(),
    "source": f"python -m experiments.evaluate --suite=cartoons --clips={CLIPS}",
  }
  write_whole(TABLE, json.dumps({**head, **_table(scores)}, indent=1, ensure_ascii=False) + "\n")
  print(json.dumps(scores))


def _table(scores: Mapping[str, Any]) -> dict[str, Any]:
  """Columns and rows of generated and real clips, and what is worst."""
  from stale_jax.evaluation.cartoons import FACTORS

  both = (scores, scores["real"])
  rows = [[_FACTORS.get(name, name), *(_short(one[name]) for one in both)] for name in FACTORS]
  each = [one["sense_f1_each"] for one in both]
  rows += [
    ["mean of these nine", *(_short(one["mean"]) for one in both)],
    ["senses agree with sight (F1)", *(_short(one["sense_f1"]) for one in both)],
    ["of that " + ", ".join(each[0]), *map(_list, each)],
    ["smell and taste agree with the caption (F1)", *(_list(one["captioned_f1_each"]) for one in both)],
    ["liveliness of the second half of a clip", *(_short(one["liveliness"]) for one in both)],
    ["kernel distance to real clips", f"{scores['kid']:.2f}", f"{scores['kid_floor']:.2f}"],
    ["distance to the nearest training clip", *(_short(one["nearest_train"]) for one in both)],
  ]
  factor, sense = min(FACTORS, key=scores.get), min(each[0], key=each[0].get)
  return {
    "columns": ["", "generated", "real test clips"],
    "rows": rows,
    "finding": f"Of what captions say, the {_FACTORS.get(factor, factor)} is most often missed. Of the other "
    f"senses, {sense} agrees least with sight.",
  }


def _list(scores: Mapping[str, float]) -> str:
  return ", ".join(map(_short, scores.values()))


def _short(value: float) -> str:
  return f"{value:.2f}".removeprefix("0")


if __name__ == "__main__":
  run(main)
