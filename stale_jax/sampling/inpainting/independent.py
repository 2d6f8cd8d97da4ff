"""The model of independent values, which a circuit must beat: a histogram of levels for each value."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from stale_jax.clip import Clip
from stale_jax.sampling.inpainting.circuit import Circuit, evidence_of, levels_of, log_likelihood

_PSEUDO = 0.01  # Count of each level before any clip is seen.


def independent_log_likelihood(
  circuit: Circuit, clips: Clip, held_out: Clip
) -> Float[np.ndarray, "held_out"]:
  """log p of each clip of `held_out`, in nats, under histograms of `clips` in the levels of `circuit`."""
  count, total = len(circuit.edges) - 1, 0.0
  seen, asked = levels_of(circuit, clips), levels_of(circuit, held_out)
  for name, x in seen.items():
    histogram = sum(
      (np.asarray(x) == level).sum(0)[..., None] * np.eye(count)[level] for level in range(count)
    )
    histogram = histogram + _PSEUDO
    log_p = np.log(histogram / histogram.sum(-1, keepdims=True))
    index = np.asarray(asked[name])[..., None]
    each = np.take_along_axis(np.broadcast_to(log_p, (*index.shape[:-1], count)), index, -1)
    total = total + each.reshape(len(index), -1).sum(-1)
  return total


def compare(circuit: Circuit, clips: Clip, held_out: Clip) -> dict[str, float]:
  """The mean log-likelihood per clip of `held_out`, in nats, under `circuit` and under independent values."""
  own = jax.jit(log_likelihood)(circuit, evidence_of(circuit, jax.tree.map(jnp.asarray, held_out)))
  other = independent_log_likelihood(circuit, clips, held_out)
  return {"log_likelihood": float(own.mean()), "independent": float(other.mean())}
