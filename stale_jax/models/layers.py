"""What every stream of the transformer is made of: dense layers, time features, rotary positions."""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from stale_jax.mesh import constrain_batch, current_mesh


class Dense(nn.Module):
  """A dense layer over the last axis, all other axes flattened to one where no mesh cuts them.

  On the CPU the weight gradient of a product with one contracted axis runs three times
  faster than with two.
  """

  features: int
  kernel_init: nn.initializers.Initializer = nn.initializers.xavier_uniform()
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Float[Array, "*batch width"]) -> Float[Array, "*batch features"]:
    flat = jnp.reshape(x, (-1, x.shape[-1])) if current_mesh() is None else x
    y = nn.Dense(self.features, kernel_init=self.kernel_init, dtype=self.dtype, name="dense")(flat)
    # Else the compiler may bring a small batch together instead of the kernel, on every device.
    return constrain_batch(jnp.reshape(y, (*x.shape[:-1], self.features)))


def time_features(t: Float[Array, "*batch"], features: int = 64) -> Float[Array, "*batch features"]:
  """Sines and cosines of t at frequencies from 1 to 1000 (DDPM, arXiv 2006.11239, after the Transformer)."""
  angle = t[..., None] * np.geomspace(1.0, 1000.0, features // 2, dtype=np.float32)
  return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], -1)


def rotary_angles(
  positions: Float[np.ndarray, "tokens 3"], head_width: int, theta: float = 100.0
) -> Float[np.ndarray, "tokens head_width//2"]:
  """Angles of 3-D rotary embedding: half the head's pairs turn with time, a quarter each with y and x.

  `positions` is (time in frames, y, x in patches). Su et al., RoFormer, arXiv 2104.09864.
  """
  pairs = head_width // 2
  shares = (pairs - 2 * (pairs // 4), pairs // 4, pairs // 4)
  angles = [
    positions[:, axis, None] * theta ** (-np.arange(share) / share) for axis, share in enumerate(shares)
  ]
  return np.concatenate(angles, -1).astype(np.float32)


def rotary_jitter(heads: int, head_width: int, spread: float) -> Float[np.ndarray, "heads head_width//2"]:
  """How much faster each head turns with time if its theta is theta (1 + spread U(-1, 1)).

  Heads that turn alike come to the same place together, a movie to the same frame again (multi-head RoPE
  jitter: LoL, arXiv 2601.16914).
  """
  pairs = head_width // 2
  share = pairs - 2 * (pairs // 4)
  theta = 1 + spread * np.random.default_rng(0).uniform(-1, 1, (heads, 1))
  faster = np.ones((heads, pairs), np.float32)
  faster[:, :share] = theta ** (-np.arange(share) / share)
  return faster


def rotate(
  x: Float[Array, "*tokens heads width"], angles: Float[Array, "*tokens heads|1 width//2"]
) -> Float[Array, "*tokens heads width"]:
  """Turns each pair (i, i + width/2) of the last axis by its angle."""
  cos, sin = (f(angles).astype(x.dtype) for f in (jnp.cos, jnp.sin))
  a, b = jnp.split(x, 2, -1)
  return jnp.concatenate([a * cos - b * sin, a * sin + b * cos], -1)
