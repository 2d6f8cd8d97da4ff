"""The digits 0 to 4, or 5 to 9, as a source, and the config of a small model of them."""

import dataclasses
from typing import ClassVar

import numpy as np

from stale_jax.data.build import SOURCES
from stale_jax.data.sources.digits import Digits, handwriting
from stale_jax.fields import number


@dataclasses.dataclass(frozen=True, kw_only=True)
class HalfOfDigits(Digits):
  """Moving digits of five classes.

  Attributes:
    half: 0 for the digits 0 to 4, 1 for 5 to 9.
  """

  kind: ClassVar[str] = "half_of_digits"
  half: int = number(0, least=0, most=1)

  def __getitem__(self, index: int) -> dict:
    """The example at `index`, see `Digits`."""
    rng = np.random.Generator(np.random.Philox(key=[self.seed, int(index)]))
    images, targets = handwriting(self.split)
    which = rng.choice(np.flatnonzero(targets // 5 == self.half))
    return {**self.show(images[which], int(targets[which]), rng), "index": int(index)}


SOURCES[HalfOfDigits.kind] = HalfOfDigits


def config_of_half(seed: int, half: int) -> dict:
  """The config of configs/digits_micro.py, of sight alone, on one half of the digits."""
  from configs import digits_micro

  config = digits_micro.get_config().to_dict()
  return {
    **config,
    "seed": seed,
    "senses": ["sight"],
    "source": {"name": HalfOfDigits.kind, "canvas": 12, "frames": 4, "patch": 4, "half": half},
    "objective": {**config["objective"], "weights": {}},
  }
