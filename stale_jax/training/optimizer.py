"""Optimizers under a clipped gradient and a warmed-up schedule."""

import dataclasses

import jax
import optax
from optax.contrib import MuonDimensionNumbers

from stale_jax.training.schedules import check_schedule, warmed_up


def _matrices(params):
  return jax.tree.map(lambda p: p.ndim > 1, params)


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

  learning_rate: float = 2e-3
  warmup: int = 200
  schedule: str = "cosine"
  b1: float = 0.9
  b2: float = 0.99
  weight_decay: float = 0.01
  clip: float = 1.0

  def __post_init__(self):
    check_schedule(self.schedule)

  def build(self, steps: int) -> optax.GradientTransformation:
    """For a run of `steps` updates."""
    schedule = warmed_up(self.schedule, self.learning_rate, self.warmup, steps)
    return optax.chain(
      optax.clip_by_global_norm(self.clip),
      optax.adamw(schedule, self.b1, self.b2, weight_decay=self.weight_decay, mask=_matrices),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Muon(AdamW):
  """Orthogonalised momentum for the matrices inside the blocks, AdamW for everything else.

  Jordan et al., https://kellerjordan.github.io/posts/muon. Embeddings, modulation and
  the layers into and out of the trunk are AdamW's, with the fields they share.

  Attributes:
    matrix_learning_rate: of the orthogonalised matrices, at its peak.
    momentum: of the orthogonalised matrices.
  """

  matrix_learning_rate: float = 0.02
  momentum: float = 0.95

  def build(self, steps: int) -> optax.GradientTransformation:
    """For a run of `steps` updates; both learning rates follow the schedule."""
    return optax.chain(
      optax.clip_by_global_norm(self.clip),
      optax.contrib.muon(
        warmed_up(self.schedule, self.matrix_learning_rate, self.warmup, steps),
        # A row an iteration: a scan, which compiles in a fraction of the unrolled loop's time.
        ns_coeffs=(_NEWTON_SCHULZ,) * 5,
        beta=self.momentum,
        weight_decay=self.weight_decay,
        weight_decay_mask=_matrices,
        adam_b1=self.b1,
        adam_b2=self.b2,
        adam_learning_rate=warmed_up(self.schedule, self.learning_rate, self.warmup, steps),
        muon_weight_dimension_numbers=_block_matrices,
      ),
    )


_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


def _block_matrices(params):
  """Which parameters are matrices of a block's attention and perceptron."""

  def kind(path, p):
    names = [entry.key for entry in path]
    inside = any(name.startswith("block_") for name in names)
    modulation = any(name.endswith("_modulation") for name in names)
    return MuonDimensionNumbers() if p.ndim == 2 and inside and not modulation else None

  return jax.tree_util.tree_map_with_path(kind, params)
