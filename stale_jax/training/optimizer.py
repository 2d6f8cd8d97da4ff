"""Optimizers with gradient clipping and a warmed-up learning rate.

A model declares which of its parameters have weight decay and which are orthogonalised (`models.parameters`).
Without declarations, every array with two or more axes counts as a matrix, and none is orthogonalised.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import optax
from optax.contrib import MuonDimensionNumbers

from stale_jax.fields import check_fields, choice, number
from stale_jax.training.schedules import DECAYS, warmed_up


def _per_parameter(declared: Any, of_declaration: Callable, of_array: Callable) -> Callable:
  """Returns a function from a tree of parameters, possibly masked, to a tree of one value per parameter.

  Args:
    declared: the tree of declarations, or None.
    of_declaration: the value for a parameter's declaration.
    of_array: the value for a parameter's array; used without declarations.
  """
  declarations = dict(jax.tree_util.tree_leaves_with_path(declared))

  def values(params):
    return jax.tree_util.tree_map_with_path(
      lambda path, p: of_declaration(declarations[path]) if declarations else of_array(p), params
    )

  return values


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdamW:
  """AdamW: Loshchilov and Hutter, arXiv 1711.05101.

  Attributes:
    learning_rate: peak learning rate.
    warmup: steps of linear warm-up from 0.
    schedule: schedule after the warm-up: "cosine" or "arctangent", which end at 0, or "constant".
    b1, b2: decay rates of the first and second moments.
    weight_decay: weight decay of matrices. Vectors (norms, biases) do not decay.
    clip: maximum global norm of the gradient.
  """

  learning_rate: float = number(2e-3, least=0, most=100)
  warmup: int = number(200, least=0)
  schedule: str = choice("cosine", DECAYS)
  b1: float = number(0.9, least=0, below=1)
  b2: float = number(0.99, least=0, below=1)
  weight_decay: float = number(0.01, least=0, most=1000)
  clip: float = number(1.0, above=0)

  def __post_init__(self):
    check_fields(self, "optimizer")

  def build(self, steps: int, declared: Any = None) -> optax.GradientTransformation:
    """The optimizer for a run of `steps` updates; `declared` is the tree of parameter declarations."""
    schedule = warmed_up(self.schedule, self.learning_rate, self.warmup, steps)
    matrices = _per_parameter(declared, lambda p: p.is_matrix, lambda p: p.ndim > 1)
    return optax.chain(
      optax.clip_by_global_norm(self.clip),
      optax.adamw(schedule, self.b1, self.b2, weight_decay=self.weight_decay, mask=matrices),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Muon(AdamW):
  """Muon: orthogonalised momentum for the matrices of attention and MLPs, AdamW for all other parameters.

  Jordan et al., https://kellerjordan.github.io/posts/muon. AdamW updates embeddings, modulation, and the
  input and output layers, with `learning_rate`, `b1` and `b2` but without weight decay. Matrices that are
  stored stacked are orthogonalised one by one.

  Attributes:
    matrix_learning_rate: peak learning rate of the orthogonalised matrices.
    momentum: momentum of the orthogonalised matrices.
  """

  matrix_learning_rate: float = number(0.02, least=0, most=100)
  momentum: float = number(0.95, least=0, below=1)

  def build(self, steps: int, declared: Any = None) -> optax.GradientTransformation:
    """See `AdamW.build`. Both learning rates follow the schedule."""
    matrix = MuonDimensionNumbers(reduction_axis=-2, output_axis=-1)
    return optax.chain(
      optax.clip_by_global_norm(self.clip),
      optax.contrib.muon(
        warmed_up(self.schedule, self.matrix_learning_rate, self.warmup, steps),
        # With one row of coefficients per iteration, Optax uses a scan, which compiles much faster than the
        # unrolled loop.
        ns_coeffs=(_NEWTON_SCHULZ,) * 5,
        beta=self.momentum,
        weight_decay=self.weight_decay,
        adam_b1=self.b1,
        adam_b2=self.b2,
        adam_learning_rate=warmed_up(self.schedule, self.learning_rate, self.warmup, steps),
        muon_weight_dimension_numbers=_per_parameter(
          declared, lambda p: matrix if p.orthogonal else None, lambda p: None
        ),
      ),
    )


_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
