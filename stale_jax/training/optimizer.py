"""AdamW under a clipped gradient and a warmed-up cosine."""

import dataclasses

import jax
import optax


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdamW:
  """Loshchilov and Hutter, arXiv 1711.05101.

  Attributes:
    learning_rate: at its peak.
    warmup: steps of linear warm-up from 0.
    b1, b2: decay of the moments.
    weight_decay: of matrices; vectors (norms, biases) are left alone.
    clip: greatest global norm of a gradient.
  """

  learning_rate: float = 2e-3
  warmup: int = 200
  b1: float = 0.9
  b2: float = 0.99
  weight_decay: float = 0.01
  clip: float = 1.0

  def build(self, steps: int) -> optax.GradientTransformation:
    """For a run of `steps` updates, at the end of which the learning rate is 0."""
    schedule = optax.warmup_cosine_decay_schedule(
      0.0, self.learning_rate, min(self.warmup, steps // 2), max(steps, 1)
    )

    def matrices(params):
      return jax.tree.map(lambda p: p.ndim > 1, params)

    return optax.chain(
      optax.clip_by_global_norm(self.clip),
      optax.adamw(schedule, self.b1, self.b2, weight_decay=self.weight_decay, mask=matrices),
    )
