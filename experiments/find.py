"""Tunes the distribution of the initial noise to a reward (FIND), and writes it to a small file.

python -m experiments.find --workdir=digits --prompt="" --reward=digit:five --out=prior.safetensors
python -m experiments.generate --workdir=digits --prompt="" --prior=prior.safetensors --out=movies

The model stays as it is. The reward is LABEL:CLASS (digit, colour, direction or speed, for models of digits),
liveliness, or MODULE:FUNCTION, a function from clips, sense -> [clips, frames, ...] in [-1, 1], to one number
per clip.
"""

import os
import sys
from collections.abc import Mapping
from typing import Any

from absl import flags

from experiments.main import run
from experiments.model_flag import define_model

WORKDIR = define_model()
PROMPT = flags.DEFINE_multi_string("prompt", None, "Caption of the clips; repeat the flag for more captions.")
REWARD = flags.DEFINE_string(
  "reward", None, "Reward, for example digit:seven, liveliness or module:function."
)
OUT = flags.DEFINE_string(
  "out", None, "File to write the prior to, *.safetensors: a path, or gs://BUCKET/FILE."
)
SHEET = flags.DEFINE_string(
  "sheet",
  None,
  "PNG file to write: clips before the search, and below each the clip of the same seed after it.",
)
CALLS = flags.DEFINE_integer("calls", None, "Clips to sample during the search; default: 480.")
SENSES = flags.DEFINE_list("senses", None, "Senses whose noise is tuned, as in sound,touch; default: all.")
SEED = flags.DEFINE_integer("seed", 0, "Seed of the search.", lower_bound=0, upper_bound=2**12 - 1)
SOLVER = flags.DEFINE_string("solver", None, "Solver; default: the config's.")
STEPS = flags.DEFINE_integer("steps", None, "Solver steps; default: the config's.")
GUIDANCE = flags.DEFINE_float("guidance", None, "Scale of classifier-free guidance; 1 disables it.")
flags.mark_flags_as_required(["prompt", "reward", "out"])


def main() -> None:
  from stale_jax.checkpoints.prior_file import save_prior
  from stale_jax.construct import construct
  from stale_jax.errors import UserError
  from stale_jax.evaluation.rewards import build_reward
  from stale_jax.files import at, write_whole
  from stale_jax.finding import find_prior
  from stale_jax.pipeline import load
  from stale_jax.sampling.noise_prior import Coarse
  from stale_jax.sampling.search import Find

  out = at(OUT.value)
  if out.suffix != ".safetensors":
    raise UserError(f"--out={OUT.value} must end in .safetensors.")
  sys.path.insert(0, os.getcwd())  # The module of a reward may lie there.
  sheet = SHEET.value and at(SHEET.value)
  settings = construct(Find, {} if CALLS.value is None else {"calls": CALLS.value}, "find")
  coarse = construct(Coarse, {"senses": tuple(SENSES.value or ())}, "coarse")
  model = load(WORKDIR.value)
  if sheet and "sight" not in model.source.senses:
    raise UserError(f"{model.name} has no sight: leave out --sheet.")
  reward = build_reward(REWARD.value, model.source)
  how = {"solver": SOLVER.value, "steps": STEPS.value, "guidance": GUIDANCE.value}
  found = find_prior(model, PROMPT.value, reward, SEED.value, settings=settings, coarse=coarse, **how)
  about = {"model": model.name, "prompts": PROMPT.value, "reward": REWARD.value, "rewards": found.rewards}
  if sheet:
    write_whole(sheet, _sheet(model, found.prior, how))
  save_prior(out, found.prior, {**about, "calls": found.calls, "divergence": found.divergence})
  first, last = found.rewards[0], found.rewards[-1]
  print(
    f"mean reward: {first:.3g} in the first batch, {last:.3g} in the last; {found.calls} clips, "
    f"{found.divergence:.3g} nats from the prior of the process: {out}"
  )


def _sheet(model, prior, how: Mapping[str, Any]) -> bytes:
  """A picture of the clips of 6 seeds that the search has not seen, without and with `prior`."""
  import numpy as np

  from stale_jax.media import contact_sheet, png

  seeds = range(2**32 - 6, 2**32)
  prompts = [PROMPT.value[i % len(PROMPT.value)] for i in range(len(seeds))]
  pair = [model.sample(prompts, seeds, prior=each, **how)["sight"] for each in (None, prior)]
  picture = contact_sheet(np.stack(pair, 1).reshape(-1, *pair[0].shape[1:]))
  return png(picture.repeat(4, 0).repeat(4, 1))


if __name__ == "__main__":
  run(main)
