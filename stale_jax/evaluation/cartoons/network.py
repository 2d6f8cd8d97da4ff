"""The network that reads cartoons: a detailed look at a few frames, and coarser ones at all of them.

The first two paths are those of SlowFast networks (arXiv 1812.03982). The slow path sees four frames in
colour: who is there, and what they hold. The fast path sees all frames at once, as channels, in grey: how
they move. A third path sees the ground in each frame: when feet and hands come down. All end in learned
attention over space and time, since what tells two clips apart is small.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from stale_jax.evaluation.cartoons.questions import EVENTS, FRAMES, QUESTIONS, SIDE

LOOKED_AT = (0, 4, 9, 15)  # A figure turns into a car after frame 2, or back before frame 15.
_GROUND = slice(44, 60)  # Rows of the feet.
_FINEST, _FINE, _COARSE, _NEAR = 32, 64, 96, 48  # Channels at 2, 4 and 8 pixels, and near the ground.
_LUMA = (0.2126, 0.7152, 0.0722)


class Network(nn.Module):
  """Answers QUESTIONS about clips of FRAMES frames of SIDE x SIDE pixels in [-1, 1].

  Returns:
    logits of each question; logits of events [n, FRAMES, EVENTS]; balance [n, FRAMES, 3]; and features, the
    activations before the last layer.
  """

  @nn.compact
  def __call__(
    self, sight: Float[Array, "n frames height width 3"]
  ) -> tuple[dict[str, Array], Array, Array, Array]:
    seen = self._seen(sight)
    grey = jnp.moveaxis(sight @ jnp.array(_LUMA), 1, -1)
    fast = Trunk(name="fast")(nn.Dense(_FINE, use_bias=False, name="motion")(blocks(grey, 4)))
    moves = Attention(queries=8, name="move")(fast[:, None])
    who = nn.relu(nn.Dense(256, name="who")(jnp.concatenate([seen, moves], -1)))
    how = nn.relu(nn.Dense(192, name="how")(moves))
    features = jnp.concatenate([who, how], -1)
    answers = {name: nn.Dense(size, name=f"answer_{name}")(features) for name, size in QUESTIONS.items()}
    moments = self._moments(sight, features)
    return (
      answers,
      nn.Dense(EVENTS, name="events")(moments),
      nn.Dense(3, name="balance")(moments),
      features,
    )

  def _seen(self, sight: Float[Array, "n frames height width 3"]) -> Float[Array, "n values"]:
    """The slow path."""
    looks = sight[:, LOOKED_AT, :, :]
    # What stands still is subtracted by the first layer, if that helps.
    mean = nn.Conv(_FINEST, (3, 3), use_bias=False, name="mean")(blocks(sight.mean(1), 2))
    x = nn.Conv(_FINEST, (3, 3), use_bias=False, name="details")(
      blocks(looks.reshape(-1, *looks.shape[2:]), 2)
    )
    x = (x.reshape(len(sight), -1, *x.shape[1:]) + mean[:, None]).reshape(x.shape)
    x = nn.Dense(_FINE, use_bias=False, name="detail")(blocks(_active(self, "details", x), 2))
    x = Trunk(name="slow")(x)
    return Attention(queries=16, name="look")(x.reshape(len(sight), -1, *x.shape[1:]))

  def _moments(
    self, sight: Float[Array, "n frames height width 3"], features: Float[Array, "n features"]
  ) -> Float[Array, "n frames values"]:
    """Values of each frame: from the ground, and from what was seen of the whole clip."""
    n, frames = sight.shape[:2]
    strips = sight[:, :, _GROUND].reshape(n * frames, -1, *sight.shape[3:])
    x = nn.Conv(_NEAR, (3, 3), use_bias=False, name="ground")(blocks(strips, 4))
    x = _active(self, "ground", x)
    x = x.reshape(n, frames, *x.shape[1:])
    around = jnp.pad(x, ((0, 0), (1, 1), *[(0, 0)] * 3))
    x = jnp.concatenate([around[:, i : i + frames] for i in range(3)], -1)
    x = _active(self, "steps", nn.Dense(_FINE, use_bias=False, name="steps")(x))
    x = x.reshape(n * frames, 1, *x.shape[2:])
    x = Attention(queries=4, name="tread")(x).reshape(n, frames, -1)
    whole = nn.Dense(FRAMES * 32, name="clip")(features).reshape(n, frames, -1)
    same = jnp.broadcast_to(nn.Dense(64, name="same")(features)[:, None], (n, frames, 64))
    x = nn.relu(nn.Dense(128, name="moment")(jnp.concatenate([x, whole, same], -1)))
    return nn.relu(nn.Conv(96, (5,), name="moments")(x))


class Trunk(nn.Module):
  """From blocks of 4 to blocks of 8 pixels, with two convolutions."""

  @nn.compact
  def __call__(self, x: Float[Array, "n rows columns channels"]) -> Float[Array, "n down across coarse"]:
    x = _active(self, "first", x)
    x = x + nn.Conv(_FINE, (3, 3), use_bias=False, name="fine")(x)
    x = _active(self, "second", x)
    x = nn.Dense(_COARSE, use_bias=False, name="merge")(blocks(x, 2))
    x = _active(self, "third", x)
    x = x + nn.Conv(_COARSE, (3, 3), use_bias=False, name="coarse")(x)
    return _active(self, "last", x)


class Attention(nn.Module):
  """Pools space and time: learned weightings of all places, and the maximum."""

  queries: int

  @nn.compact
  def __call__(self, x: Float[Array, "n times rows columns channels"]) -> Float[Array, "n values"]:
    small = nn.initializers.normal(0.02)
    x = x + self.param("place", small, x.shape[1:])
    x = x.reshape(len(x), -1, x.shape[-1])
    weights = jax.nn.softmax(nn.Dense(self.queries, name="queries")(x), axis=1)
    pooled = jnp.einsum("npq,npc->nqc", weights, x)
    return jnp.concatenate([pooled.reshape(len(x), -1), _maximum(x)], -1)


def _maximum(x: Float[Array, "n places channels"]) -> Float[Array, "n channels"]:
  """The maximum over places, with finite gradients.

  The gradient of `jnp.max` compares values that XLA may compute twice, with different rounding, and divides
  by the number of equal ones. Without any, it is infinite.
  """
  top = jax.lax.stop_gradient(x >= x.max(1, keepdims=True) - 1e-6).astype(x.dtype)
  return (top * x).sum(1) / jnp.maximum(top.sum(1), 1)


def _active(module: nn.Module, name: str, x: Array) -> Array:
  """Normalises each place over its channels, and applies a ReLU. An empty place stays finite."""
  scale = module.param(f"{name}_scale", nn.initializers.ones, x.shape[-1:])
  shift = module.param(f"{name}_shift", nn.initializers.zeros, x.shape[-1:])
  return nn.relu(x * jax.lax.rsqrt(jnp.square(x).mean(-1, keepdims=True) + 1e-4) * scale + shift)


def blocks(x: Float[Array, "n height width channels"], side: int) -> Float[Array, "n rows columns values"]:
  """The values of each block of `side` x `side` pixels, as channels."""
  n, height, width, channels = x.shape
  x = x.reshape(n, height // side, side, width // side, side, channels).swapaxes(2, 3)
  return x.reshape(n, height // side, width // side, -1)


def example() -> Float[Array, "1 frames height width 3"]:
  """A clip with which parameters are initialised."""
  return jnp.zeros((1, FRAMES, SIDE, SIDE, 3))
