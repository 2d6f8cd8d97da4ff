"""The suite `composition`: does a model combine what it has never seen together?"""

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from stale_jax.clip import Clip
from stale_jax.data.sources.cartoons import Cartoons
from stale_jax.data.sources.cartoons.labels import Labels, held_out_pair, held_out_triple
from stale_jax.errors import UserError
from stale_jax.evaluation.cartoons.accuracy import found
from stale_jax.evaluation.cartoons.reader import shipped_reader
from stale_jax.evaluation.needs import cartoons_of, finite

TRIPLE, PAIR = ("character", "action", "scene"), ("character", "colour")
ABOUT = {
  "triple": "share of clips that show character, action and scene as the caption says, all three at once, "
  "for held-out combinations, divided by the share for combinations of the training clips",
  "triple_seen": "the share for combinations that training clips have",
  "triple_unseen": "the share for held-out combinations",
  "pair": "the same as triple for character and colour",
  "pair_seen": "the same as triple_seen for character and colour",
  "pair_unseen": "the same as triple_unseen for character and colour",
}


def evaluate_composition(model, clips: int = 96, seed: int = 0, **overrides) -> tuple[dict[str, Any], Clip]:
  """Generates clips of combinations in the training clips and of held-out combinations.

  Args:
    model: a `stale_jax.Model` trained on cartoons with `combinations="seen"`.
    clips: number of clips, at least 6: a third of seen combinations, a third of held-out (character, action,
      scene), and a third of held-out (character, colour).
    seed: seed of the first clip; each further clip adds 1.
    **overrides: settings of `Sampling`.

  Returns:
    The scores as in ABOUT, the number of clips, and `real`: the same scores of real clips with the same
    labels; and the generated clips.

  Raises:
    UserError: the model was not trained on cartoons with held-out combinations, has no sight, or `clips` is
      below 6.
  """
  source = cartoons_of("composition", model.source, model.system)
  if source.combinations != "seen":
    raise UserError(
      f"the suite 'composition' needs a model trained with source.combinations='seen'; it is "
      f"{source.combinations!r}."
    )
  if clips < 6:
    raise UserError(f"clips={clips}: at least 6 are needed.")
  groups = asked_for(source, clips // 3)
  asked = [one for group in groups.values() for one in group]
  prompts, seeds = [one.caption for one in asked], [seed + i for i in range(len(asked))]
  clip = finite(model.sample(prompts, seeds, **overrides))
  real = np.stack([one.source[one.index]["clip"]["sight"] for one in asked])
  ends = np.cumsum([len(group) for group in groups.values()])[:-1]

  def scores(sight) -> dict[str, float]:
    labels = shipped_reader()(sight, source.rate).labels
    right = {factor: hits for factor, (hits, _) in found([one.labels for one in asked], labels).items()}
    triples, pairs = (np.all([right[factor] for factor in factors], 0) for factors in (TRIPLE, PAIR))
    shares = [dict(zip(groups, map(np.mean, np.split(x, ends)), strict=True)) for x in (triples, pairs)]
    result = {
      "triple_seen": shares[0]["seen"],
      "triple_unseen": shares[0]["triple"],
      "pair_seen": shares[1]["seen"],
      "pair_unseen": shares[1]["pair"],
    }
    result = {name: float(share) for name, share in result.items()}
    ratios = {
      kind: result[f"{kind}_unseen"] / result[f"{kind}_seen"] if result[f"{kind}_seen"] else 0.0
      for kind in ("triple", "pair")
    }
    return {**ratios, **result}

  return {**scores(clip["sight"]), "clips": len(asked), "real": scores(real)}, clip


@dataclasses.dataclass(frozen=True)
class Asked:
  """A test clip whose caption is a prompt."""

  source: Cartoons
  index: int
  labels: Labels
  caption: str


def asked_for(source: Cartoons, count: int) -> dict[str, list[Asked]]:
  """`count` test clips each: without held-out combinations, with a held-out triple, with a held-out pair."""

  def some(combinations: str, keeps: Callable[[Labels], bool]) -> Iterator[Asked]:
    test = dataclasses.replace(source, split="test", combinations=combinations)
    for index in range(len(test)):
      labels, caption, _ = test.draw(index)
      if keeps(labels):
        yield Asked(test, index, labels, caption)

  groups = {
    "seen": some("seen", lambda labels: True),
    "triple": some("unseen", has_unseen_triple),
    "pair": some("unseen", lambda labels: has_unseen_pair(labels) and not has_unseen_triple(labels)),
  }
  return {name: list(itertools.islice(group, count)) for name, group in groups.items()}


def has_unseen_triple(labels: Labels) -> bool:
  """Whether no training clip has this character, action and scene together."""
  return held_out_triple(*(labels[factor] for factor in TRIPLE))


def has_unseen_pair(labels: Labels) -> bool:
  """Whether no training clip has this character in this colour."""
  return held_out_pair(*(labels[factor] for factor in PAIR))
