"""Teleport: the first solver steps are replaced by a closed form (arXiv 2412.09726; `processes.moments`)."""

import flax.struct
import jax.numpy as jnp
from jaxtyping import Array, Float

from stale_jax.clip import Clip
from stale_jax.processes import Moments, Process


@flax.struct.dataclass
class Teleport:
  """See `Start`.

  Attributes:
    moments: of whole clips, `flat`, in the coordinate of the process (`Process.coordinate`).
    share: share of the solver steps that are left out, the first ones; at least one step is left.
  """

  moments: Moments
  share: float = flax.struct.field(pytree_node=False)

  def skipped(self, steps: int) -> int:
    """See `Start`."""
    return min(round(self.share * steps), steps - 1)

  def __call__(self, process: Process, x: Clip, t: Float[Array, "batch frames"]) -> Clip:
    """See `Start`; all frames of a clip have the same time."""
    end = t[:, 0]
    moved = process.teleport(self.moments, flat(x), jnp.ones_like(end), end)
    clip, at = {}, 0
    for name in sorted(x):
      size = x[name][0].size
      clip[name] = jnp.reshape(moved[:, at : at + size], x[name].shape)
      at += size
    return {name: clip[name] for name in x}


def flat(clip: Clip) -> Float[Array, "batch values"]:
  """All values of each clip as one vector; the senses are in alphabetical order."""
  return jnp.concatenate([jnp.reshape(clip[name], (len(clip[name]), -1)) for name in sorted(clip)], 1)
