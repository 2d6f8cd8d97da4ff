"""A causal video autoencoder between clips in [-1, 1] and a smaller grid of latents in [-1, 1].

The first frame is encoded by itself, then each group of `time` frames becomes one latent frame. Neither a
latent frame nor the frames decoded from it depend on later frames. So an image is a clip of one frame, and a
clip of any length can be decoded as a stream if each convolution caches its last inputs (MAGVIT-v2, arXiv
2310.05737; CogVideoX, arXiv 2408.06072).

Latents are bounded to match the uniform prior of diffusion. There are two bottlenecks:

`kl`: the latent is tanh(u) with u = mean + sd * e and Gaussian e. The KL divergence of u is taken from the
logistic distribution for which tanh(u) is uniform, so it pulls latents toward the prior from which diffusion
starts. (The KL of LDM, arXiv 2112.10752, pulls them toward a Gaussian.)

`fsq`: tanh(u) is rounded to the middle of one of `levels` equal cells per channel, with a straight-through
gradient (finite scalar quantisation, arXiv 2309.15505).
"""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from stale_jax.fields import choice, number
from stale_jax.models.layers import DTYPES, Dense

BOTTLENECKS = ("kl", "fsq")
_KERNEL = 3


class CausalConv(nn.Module):
  """A causal (2+1)-D convolution (arXiv 1711.11248): 3x3 in space, then over a frame and the two before it.

  Before the first frame the input is zero. If the collection "past" is mutable, the last two frames of the
  previous call are used instead and replaced by those of this call.

  Attributes:
    features: number of output channels.
    dtype: dtype of the computation.
  """

  features: int
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self, x: Float[Array, "batch time height width in"]
  ) -> Float[Array, "batch time height width out"]:
    batch, time, *place, _ = x.shape
    flat = jnp.reshape(x, (batch * time, *x.shape[2:]))
    flat = nn.Conv(self.features, (_KERNEL, _KERNEL), dtype=self.dtype, name="space")(flat)
    x = jnp.reshape(flat, (batch, time, *place, self.features))
    blank = jnp.zeros((batch, _KERNEL - 1, *place, self.features), x.dtype)
    streams = self.is_mutable_collection("past") and not self.is_initializing()
    past = self.variable("past", "frames", lambda: blank) if streams else None
    x = jnp.concatenate([past.value if streams else blank, x], 1)
    if streams:
      past.value = x[:, -(_KERNEL - 1) :]
    # Stacking the three frames as channels makes the temporal convolution one matrix product.
    neighbours = jnp.concatenate([x[:, i : i + time] for i in range(_KERNEL)], -1)
    return Dense(self.features, dtype=self.dtype, name="time")(neighbours)


def _norm(x):
  """RMS norm over the channels only, so that no frame depends on a later one."""
  y = x.astype(jnp.float32)
  return (y * jax.lax.rsqrt(jnp.mean(jnp.square(y), -1, keepdims=True) + 1e-6)).astype(x.dtype)


class Residual(nn.Module):
  """A residual block of two causal convolutions with a learned scale, initially 0.1."""

  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self, x: Float[Array, "batch time height width c"]
  ) -> Float[Array, "batch time height width c"]:
    width = x.shape[-1]
    scale = self.param("scale", nn.initializers.constant(0.1), (width,)).astype(x.dtype)
    y = CausalConv(width, self.dtype, name="first")(nn.silu(_norm(x)))
    return x + scale * CausalConv(width, self.dtype, name="second")(nn.silu(_norm(y)))


def space_to_depth(
  x: Float[Array, "b t h w c"], time: int, space: int
) -> Float[Array, "b t//{time} h//{space} w//{space} c*{time}*{space}**2"]:
  """Moves blocks of `time` x `space` x `space` values into channels."""
  b, t, h, w, c = x.shape
  x = jnp.reshape(x, (b, t // time, time, h // space, space, w // space, space, c))
  x = jnp.transpose(x, (0, 1, 3, 5, 2, 4, 6, 7))
  return jnp.reshape(x, (b, t // time, h // space, w // space, time * space**2 * c))


def depth_to_space(
  x: Float[Array, "b t h w c"], time: int, space: int
) -> Float[Array, "b t*{time} h*{space} w*{space} c//({time}*{space}**2)"]:
  """Inverse of `space_to_depth`."""
  b, t, h, w, c = x.shape
  x = jnp.reshape(x, (b, t, h, w, time, space, space, c // (time * space**2)))
  x = jnp.transpose(x, (0, 1, 4, 2, 5, 3, 6, 7))
  return jnp.reshape(x, (b, t * time, h * space, w * space, -1))


def lengthen(
  x: Float[Array, "batch frames *shape"], time: int
) -> Float[Array, "batch frames+{time}-1 *shape"]:
  """Repeats the first frame to `time` frames, so that it fills a group of its own."""
  return jnp.concatenate([jnp.repeat(x[:, :1], time - 1, 1), x], 1)


class Autoencoder(nn.Module):
  """Encoder, bottleneck and decoder for the sense "sight".

  Attributes:
    space: downsampling factor of height and width, a power of two.
    time: downsampling factor of the frames after the first, a power of two, at most `space`.
    channels: latent channels of "kl"; "fsq" has one channel per entry of `levels`.
    bottleneck: "kl" or "fsq".
    levels: number of values of each channel for "fsq".
    width: channels at half the resolution; they double at each lower resolution, up to four times `width`.
    depth: residual blocks per resolution.
    adversary: whether there is a patch discriminator, for the adversarial objective.
    text_length: bytes of the tokenized captions, which the autoencoder ignores.
    dtype: dtype of the computation; parameters are float32.
  """

  space: int = number(4, least=2, most=1 << 16)
  time: int = number(2, least=1, most=1 << 16)
  channels: int = number(4, least=1, most=1 << 16)
  bottleneck: str = choice("kl", BOTTLENECKS)
  levels: tuple[int, ...] = number((), least=2, most=1 << 16)
  width: int = number(32, least=1, most=1 << 20)
  depth: int = number(1, least=1, most=10_000)
  adversary: bool = False
  text_length: int = number(4, least=1, most=1 << 20)
  dtype: str = choice("float32", DTYPES)

  # The parameters have no declarations (`models.parameters`): Muon orthogonalises no update, and sharding
  # follows from the shapes.
  declared = None
  # The autoencoder has no micro-conditions.
  micro = ()

  def setup(self):
    dtype, stages = jnp.dtype(self.dtype), int(math.log2(self.space))
    widths = [self.width * min(2**stage, 4) for stage in range(stages)]
    # Time is downsampled in the last stages, where the spatial resolution is lowest.
    folds = [2 if stage >= stages - int(math.log2(self.time)) else 1 for stage in range(stages)]
    self.folds = folds

    def blocks():
      return [Residual(dtype) for _ in range(self.depth)]

    def dense(features):
      return Dense(features, dtype=dtype)

    self.down = [dense(width) for width in widths]
    self.encoder = [blocks() for _ in widths]
    self.code = dense(self.latent_channels * (2 if self.bottleneck == "kl" else 1))
    self.uncode = dense(widths[-1])
    self.decoder = [blocks() for _ in widths]
    below = [3, *widths[:-1]]
    self.up = [dense(below[i] * 4 * folds[i]) for i in range(stages)]
    if self.adversary:
      self.patches = Judge(self.width, dtype)

  @property
  def latent_channels(self) -> int:
    """The number of latent channels."""
    return len(self.levels) if self.bottleneck == "fsq" else self.channels

  def latent_shape(self, frames: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape (latent frames, height, width, channels) of a clip's latents.

    Args:
      frames: frames of the clip.
      shape: (height, width, 3) of a frame.
    """
    height, width, _ = shape
    return (1 + (frames - 1) // self.time, height // self.space, width // self.space, self.latent_channels)

  def _code(self, x):
    x = lengthen(x.astype(self.dtype), self.time)
    for i, fold_time in enumerate(self.folds):
      x = self.down[i](space_to_depth(x, fold_time, 2))
      for block in self.encoder[i]:
        x = block(x)
    return self.code(nn.silu(_norm(x))).astype(jnp.float32)

  def encode(self, x: Float[Array, "batch frames height width 3"]) -> Float[Array, "batch t h w channels"]:
    """Encodes clips to latents in [-1, 1]: for "kl" tanh(mean), for "fsq" the middle of a cell."""
    code = self._code(x)
    if self.bottleneck == "fsq":
      return self._rounded(code)
    return jnp.tanh(jnp.split(code, 2, -1)[0])

  def decode(self, z: Float[Array, "batch t h w channels"]) -> Float[Array, "batch frames height width 3"]:
    """Decodes latents to clips; `decode_next` decodes a stream frame by frame."""
    x = self._decoded(z)
    return x[:, self.time - 1 :]

  def _decoded(self, z):
    x = self.uncode(z.astype(self.dtype))
    for i in reversed(range(len(self.folds))):
      for block in self.decoder[i]:
        x = block(x)
      x = depth_to_space(self.up[i](nn.silu(_norm(x)) if i == 0 else x), self.folds[i], 2)
    return x.astype(jnp.float32)

  def judge(self, x: Float[Array, "batch frames height width 3"]) -> Float[Array, "batch t h w"]:
    """The discriminator's logit for each patch; needs `adversary`."""
    return self.patches(x)

  def indices(self, z: Float[Array, "*places channels"]) -> Int[Array, "*places"]:
    """The codeword index of each latent of "fsq", from 0 to the product of `levels` - 1."""
    place, total = 1, 0
    for channel, level in enumerate(self.levels):
      cell = jnp.clip(jnp.floor((z[..., channel] + 1) / 2 * level), 0, level - 1).astype(jnp.int32)
      total, place = total + cell * place, place * level
    return total

  def _rounded(self, code):
    z, levels = jnp.tanh(code), jnp.asarray(self.levels, jnp.float32)
    cell = jnp.clip(jnp.floor((z + 1) / 2 * levels), 0, levels - 1)
    return z + jax.lax.stop_gradient((2 * cell + 1) / levels - 1 - z)

  def __call__(self, clip):
    """Encodes and decodes a clip, for training.

    For "kl" the latents are sampled with the PRNG stream "latent".

    Returns:
      (`clip` with its "sight" reconstructed, latents, one-sample estimate of the KL divergence in nats per
      latent value; 0 for "fsq").
    """
    x = clip["sight"]
    code = self._code(x)
    if self.bottleneck == "fsq":
      z, nats = self._rounded(code), jnp.zeros(())
    else:
      mean, log_sd = jnp.split(code, 2, -1)
      log_sd = _log_sd(log_sd)
      e = jax.random.normal(self.make_rng("latent"), mean.shape)
      u = mean + jnp.exp(log_sd) * e
      nats = jnp.mean(_log_gaussian(e) - log_sd - _log_logistic(u))
      z = jnp.tanh(u)
    if self.adversary and self.is_initializing():
      self.judge(x)
    return {**clip, "sight": self.decode(z)}, z, nats


class Judge(nn.Module):
  """A patch discriminator between real and decoded clips (PatchGAN, arXiv 1611.07004).

  Attributes:
    width: channels of the first stage.
    dtype: dtype of the computation.
  """

  width: int
  dtype: DTypeLike

  @nn.compact
  def __call__(self, x: Float[Array, "batch frames height width 3"]) -> Float[Array, "batch t h w"]:
    x = x.astype(self.dtype)
    for stage in range(2):
      x = space_to_depth(x, 1, 2)
      x = nn.leaky_relu(CausalConv(self.width * 2**stage, self.dtype, name=f"conv_{stage}")(x), 0.2)
    return Dense(1, dtype=self.dtype, name="real")(x)[..., 0].astype(jnp.float32)


def _log_sd(code):
  """log sd of u, low at initialisation: otherwise the decoder learns to ignore the noisy latents."""
  return jnp.clip(code - 3, -8.0, 2.0)


def _log_gaussian(e):
  return -0.5 * jnp.square(e) - 0.5 * math.log(2 * math.pi)


def _log_logistic(u):
  """Log density of the u for which tanh(u) is uniform on [-1, 1]: log(sech(u)^2 / 2)."""
  a = jnp.abs(u)
  return math.log(2.0) - 2 * a - 2 * jnp.log1p(jnp.exp(-2 * a))


def parameter_shapes(model: Autoencoder, frames: int, shape: tuple[int, ...]) -> dict[str, Any]:
  """The shapes of the parameters that `model.init` returns, without computing them.

  Args:
    model: the autoencoder.
    frames: frames of a clip.
    shape: (height, width, 3) of a frame.
  """
  keys = dict.fromkeys(("params", "latent"), jax.random.key(0))
  clip = {"sight": jax.ShapeDtypeStruct((1, frames, *shape), jnp.float32)}
  return jax.eval_shape(model.init, keys, clip)


def decode_next(model: Autoencoder, params, past, z: Float[Array, "batch 1 h w channels"]):
  """Decodes the next latent frame of a stream.

  Args:
    model: the autoencoder.
    params: its variables, {"params": ...}.
    past: the state that the previous call returned; None for the first latent frame.
    z: the next latent frame.

  Returns:
    (frames, new state): one frame for the first latent frame, `model.time` frames for each other.
  """
  first = past is None
  x, changed = model.apply({**params, **(past or {})}, z, method="_decoded", mutable=["past"])
  return x[:, model.time - 1 :] if first else x, changed
