"""Layers of the transformer: linear layers, norms, time features and rotary embeddings."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from stale_jax.mesh import constrain_batch, current_mesh
from stale_jax.models.parameters import ONES, XAVIER, Initializer, Parameter

# Number of sinusoidal features of a diffusion time.
TIME_FEATURES = 64

# Dtypes of the computation; parameters are float32.
DTYPES = ("float32", "bfloat16", "float16")


def linear_parameters(
  inputs: int,
  features: int,
  init: Initializer = XAVIER,
  axes: tuple[str | None, str | None] = (None, None),
  orthogonal: bool = False,
):
  """Declares the parameters of `linear`.

  Args:
    inputs: width of the input.
    features: width of the output.
    init: initializer of the kernel; the bias is 0.
    axes: logical axes of the kernel (`mesh.RULES`).
    orthogonal: whether Muon orthogonalises the kernel's updates.
  """
  kernel = Parameter(
    shape=(inputs, features), init=init, axes=axes if any(axes) else (), orthogonal=orthogonal
  )
  # A bias is small: it is replicated unless the features to which it is added are sharded.
  bias = Parameter(shape=(features,), axes=axes[1:] if axes[1] in ("heads", "hidden") else ())
  return {"dense": {"kernel": kernel, "bias": bias}}


def linear(params, x: Float[Array, "*batch inputs"], dtype) -> Float[Array, "*batch features"]:
  """x W + b over the last axis; with an adapter (`adapters.insert`), gamma * (x W + x A B + b).

  Without a mesh all other axes are flattened to one: on the CPU the weight gradient of a product with one
  contracted axis runs three times faster than with two.
  """
  kernel, bias = (params["dense"][name].astype(dtype) for name in ("kernel", "bias"))
  flat = jnp.reshape(x, (-1, x.shape[-1])) if current_mesh() is None else x
  flat = flat.astype(dtype)
  y = jax.lax.dot_general(flat, kernel, (((flat.ndim - 1,), (0,)), ((), ()))) + bias
  if "lora" in params:
    a, b = (params["lora"][name].astype(dtype) for name in ("a", "b"))
    y += (flat @ a) @ b
  if "gamma" in params:
    y *= params["gamma"].astype(dtype)
  # Otherwise the compiler may gather a small batch on every device instead of the kernel.
  return constrain_batch(jnp.reshape(y, (*x.shape[:-1], -1)))


def rms_norm_parameters(width: int):
  """Declares the parameter of `rms_norm`."""
  return {"scale": Parameter(shape=(width,), init=ONES)}


def rms_norm(params, x: Float[Array, "*batch width"], dtype) -> Float[Array, "*batch width"]:
  """Root-mean-square norm of the last axis with a learned scale (QK-norm)."""
  y = x * jax.lax.rsqrt(jnp.mean(jnp.square(x.astype(jnp.float32)), -1, keepdims=True) + 1e-6)
  return (y * params["scale"]).astype(dtype)


def norm(x: Float[Array, "*batch width"]) -> Float[Array, "*batch width"]:
  """LayerNorm without parameters, in float32."""
  y = x.astype(jnp.float32)
  y = y - y.mean(-1, keepdims=True)
  return (y * jax.lax.rsqrt(jnp.mean(jnp.square(y), -1, keepdims=True) + 1e-6)).astype(x.dtype)


def modulate(
  x: Float[Array, "batch time place width"],
  shift: Float[Array, "batch time width"],
  scale: Float[Array, "batch time width"],
) -> Float[Array, "batch time place width"]:
  """norm(x) * (1 + scale) + shift (adaLN: DiT, arXiv 2212.09748)."""
  return norm(x) * (1 + scale[:, :, None]) + shift[:, :, None]


class RMSNorm(nn.Module):
  """`rms_norm` as a Linen module."""

  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, x):
    return rms_norm({"scale": self.param("scale", ONES, (x.shape[-1],))}, x, self.dtype)


class Dense(nn.Module):
  """`linear` as a Linen module."""

  features: int
  kernel_init: nn.initializers.Initializer = nn.initializers.xavier_uniform()
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, x: Float[Array, "*batch width"]) -> Float[Array, "*batch features"]:
    flat = jnp.reshape(x, (-1, x.shape[-1])) if current_mesh() is None else x
    y = nn.Dense(self.features, kernel_init=self.kernel_init, dtype=self.dtype, name="dense")(flat)
    # Otherwise the compiler may gather a small batch on every device instead of the kernel.
    return constrain_batch(jnp.reshape(y, (*x.shape[:-1], self.features)))


def time_features(
  t: Float[Array, "*batch"], features: int = TIME_FEATURES
) -> Float[Array, "*batch features"]:
  """Sines and cosines of t at frequencies from 1 to 1000 (DDPM, arXiv 2006.11239, after the Transformer).

  Args:
    t: times, any shape.
    features: number of features, even: the sines, then the cosines.
  """
  angle = t[..., None] * np.geomspace(1.0, 1000.0, features // 2, dtype=np.float32)
  return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], -1)


def rotary_angles(
  positions: Float[np.ndarray, "tokens 3"], head_width: int, theta: float = 100.0
) -> Float[np.ndarray, "tokens {head_width}//2"]:
  """Angles of the 3-D rotary embedding (RoFormer: Su et al., arXiv 2104.09864).

  Of the pairs of channels in a head, half rotate with time and a quarter each with y and x.

  Args:
    positions: (time in frames, y in patches, x in patches) of each token.
    head_width: width of an attention head.
    theta: the base of the frequencies.
  """
  pairs = head_width // 2
  shares = (pairs - 2 * (pairs // 4), pairs // 4, pairs // 4)
  angles = [
    positions[:, axis, None] * theta ** (-np.arange(share) / share) for axis, share in enumerate(shares)
  ]
  return np.concatenate(angles, -1).astype(np.float32)


def rotary_jitter(heads: int, head_width: int, spread: float) -> Float[np.ndarray, "{heads} {head_width}//2"]:
  """Multi-head RoPE jitter: factors on the angles if theta of each head is scaled by 1 + spread * U(-1, 1).

  If all heads rotate with time at the same rates, their phases realign together and a long movie returns to
  an earlier frame (LoL, arXiv 2601.16914).

  Args:
    heads: number of attention heads.
    head_width: width of a head.
    spread: relative spread of theta, at most 1.

  Returns:
    The factor on the angle of each pair of channels in each head; 1 for pairs that rotate with y or x.
  """
  pairs = head_width // 2
  share = pairs - 2 * (pairs // 4)
  theta = 1 + spread * np.random.default_rng(0).uniform(-1, 1, (heads, 1))
  faster = np.ones((heads, pairs), np.float32)
  faster[:, :share] = theta ** (-np.arange(share) / share)
  return faster


def rotate(
  x: Float[Array, "*tokens heads width"], angles: Float[Array, "*#tokens #heads width//2"]
) -> Float[Array, "*tokens heads width"]:
  """Rotates each pair of channels (i, i + width/2) of the last axis by its angle."""
  cos, sin = (f(angles).astype(x.dtype) for f in (jnp.cos, jnp.sin))
  a, b = jnp.split(x, 2, -1)
  return jnp.concatenate([a * cos - b * sin, a * sin + b * cos], -1)
