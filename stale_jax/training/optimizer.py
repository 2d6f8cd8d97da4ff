"""Optimizers under a clipped gradient and a warmed-up schedule.

Declarations say which parameters decay and which are orthogonalised (`models.parameters`). Without them
every array of two axes or more is a matrix, and none is orthogonalised.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import optax
from optax.contrib import MuonDimensionNumbers

from stale_jax.fields import check_fields, choice, number
from stale_jax.training.schedules import DECAYS, warmed_up


def _declared(declared: Any, says: Callable, otherwise: Callable) -> Callable:
  """(parameters, some of which may be masked out) -> for each what `says` tells of its declaration."""
  known = dict(jax.tree_util.tree_leaves_with_path(declared))

  def of(params):
    return jax.tree_util.tree_map_with_path(
      lambda path, p: says(known[path]) if known else otherwise(p), params
    )

  return of


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdamW:
  """Loshchilov and Hutter, arXiv 1711.05101.

  Attributes:
    learning_rate: at its peak.
    warmup: steps of linear warm-up from 0.
    schedule: what follows: "cosine" or "arctangent", which end at 0, or "constant".
    b1, b2: decay of the moments.
    weight_decay: of matrices; vectors (norms, biases) are left alone.
    clip: greatest global norm of a gradient.
  """

  learning_rate: float = number(2e-3, least=0)
  warmup: int = number(200, least=0)
  schedule: str = choice("cosine", DECAYS)
  b1: float = number(0.9, least=0, below=1)
  b2: float = number(0.99, least=0, below=1)
  weight_decay: float = number(0.01, least=0)
  clip: float = number(1.0, above=0)

  def __post_init__(self):
    check_fields(self, "optimizer")

  def build(self, steps: int, declared: Any = None) -> optax.GradientTransformation:
    """The optimizer for a run of `steps` updates of parameters so `declared`."""
    schedule = warmed_up(self.schedule, self.learning_rate, self.warmup, steps)
    matrices = _declared(declared, lambda p: p.is_matrix, lambda p: p.ndim > 1)
    return optax.chain(
      optax.clip_by_global_norm(self.clip),
      optax.adamw(schedule, self.b1, self.b2, weight_decay=self.weight_decay, mask=matrices),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Muon(AdamW):
  """Orthogonalised momentum for the matrices of attention and perceptrons, AdamW for everything else.

  Jordan et al., https://kellerjordan.github.io/posts/muon. Embeddings, modulation and
  the layers into and out of the trunk are AdamW's, with the fields they share, but do not decay.
  Of matrices that are stored stacked each is orthogonalised by itself.

  Attributes:
    matrix_learning_rate: of the orthogonalised matrices, at its peak.
    momentum: of the orthogonalised matrices.
  """

  matrix_learning_rate: float = number(0.02, least=0)
  momentum: float = number(0.95, least=0, below=1)

  def build(self, steps: int, declared: Any = None) -> optax.GradientTransformation:
    """The optimizer for `steps` updates of parameters so `declared`; both rates follow the schedule."""
    matrix = MuonDimensionNumbers(reduction_axis=-2, output_axis=-1)
    return optax.chain(
      optax.clip_by_global_norm(self.clip),
      optax.contrib.muon(
        warmed_up(self.schedule, self.matrix_learning_rate, self.warmup, steps),
        # A row an iteration: a scan, which compiles in a fraction of the unrolled loop's time.
        ns_coeffs=(_NEWTON_SCHULZ,) * 5,
        beta=self.momentum,
        weight_decay=self.weight_decay,
        adam_b1=self.b1,
        adam_b2=self.b2,
        adam_learning_rate=warmed_up(self.schedule, self.learning_rate, self.warmup, steps),
        muon_weight_dimension_numbers=_declared(
          declared, lambda p: matrix if p.orthogonal else None, lambda p: None
        ),
      ),
    )


_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
