"""What every stream of the transformer is made of: linear layers, norms, time features, rotary positions."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from stale_jax.mesh import constrain_batch, current_mesh
from stale_jax.models.parameters import ONES, XAVIER, Initializer, Parameter

# Sines and cosines that a time is spread into.
TIME_FEATURES = 64

# Of computations; parameters are float32.
DTYPES = ("float32", "bfloat16", "float16")


def linear_parameters(
  inputs: int,
  features: int,
  init: Initializer = XAVIER,
  axes: tuple[str | None, str | None] = (None, None),
  orthogonal: bool = False,
):
  """Declares the parameters of `linear`; `axes` are the logical axes of inputs and features."""
  kernel = Parameter(
    shape=(inputs, features), init=init, axes=axes if any(axes) else (), orthogonal=orthogonal
  )
  # A bias is small: it lies whole unless the features that it is added to are cut.
  bias = Parameter(shape=(features,), axes=axes[1:] if axes[1] in ("heads", "hidden") else ())
  return {"dense": {"kernel": kernel, "bias": bias}}


def linear(params, x: Float[Array, "*batch inputs"], dtype) -> Float[Array, "*batch features"]:
  """x W + b over the last axis, all other axes flattened to one where no mesh cuts them.

  On the CPU the weight gradient of a product with one contracted axis runs three times
  faster than with two.
  """
  kernel, bias = (params["dense"][name].astype(dtype) for name in ("kernel", "bias"))
  flat = jnp.reshape(x, (-1, x.shape[-1])) if current_mesh() is None else x
  y = jax.lax.dot_general(flat.astype(dtype), kernel, (((flat.ndim - 1,), (0,)), ((), ()))) + bias
  # Else the compiler may bring a small batch together instead of the kernel, on every device.
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
  """The norm of `x`, shifted and scaled (adaLN: DiT, arXiv 2212.09748)."""
  return norm(x) * (1 + scale[:, :, None]) + shift[:, :, None]


class RMSNorm(nn.Module):
  """`rms_norm` as a Linen module."""

  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x):
    return rms_norm({"scale": self.param("scale", ONES, (x.shape[-1],))}, x, self.dtype)


class Dense(nn.Module):
  """`linear` as a Linen module."""

  features: int
  kernel_init: nn.initializers.Initializer = nn.initializers.xavier_uniform()
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Float[Array, "*batch width"]) -> Float[Array, "*batch features"]:
    flat = jnp.reshape(x, (-1, x.shape[-1])) if current_mesh() is None else x
    y = nn.Dense(self.features, kernel_init=self.kernel_init, dtype=self.dtype, name="dense")(flat)
    # Else the compiler may bring a small batch together instead of the kernel, on every device.
    return constrain_batch(jnp.reshape(y, (*x.shape[:-1], self.features)))


def time_features(
  t: Float[Array, "*batch"], features: int = TIME_FEATURES
) -> Float[Array, "*batch features"]:
  """Sines and cosines of t at frequencies from 1 to 1000 (DDPM, arXiv 2006.11239, after the Transformer)."""
  angle = t[..., None] * np.geomspace(1.0, 1000.0, features // 2, dtype=np.float32)
  return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], -1)


def rotary_angles(
  positions: Float[np.ndarray, "tokens 3"], head_width: int, theta: float = 100.0
) -> Float[np.ndarray, "tokens {head_width}//2"]:
  """Angles of 3-D rotary embedding: half the head's pairs turn with time, a quarter each with y and x.

  `positions` is (time in frames, y, x in patches). Su et al., RoFormer, arXiv 2104.09864.
  """
  pairs = head_width // 2
  shares = (pairs - 2 * (pairs // 4), pairs // 4, pairs // 4)
  angles = [
    positions[:, axis, None] * theta ** (-np.arange(share) / share) for axis, share in enumerate(shares)
  ]
  return np.concatenate(angles, -1).astype(np.float32)


def rotary_jitter(heads: int, head_width: int, spread: float) -> Float[np.ndarray, "{heads} {head_width}//2"]:
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
  x: Float[Array, "*tokens heads width"], angles: Float[Array, "*#tokens #heads width//2"]
) -> Float[Array, "*tokens heads width"]:
  """Turns each pair (i, i + width/2) of the last axis by its angle."""
  cos, sin = (f(angles).astype(x.dtype) for f in (jnp.cos, jnp.sin))
  a, b = jnp.split(x, 2, -1)
  return jnp.concatenate([a * cos - b * sin, a * sin + b * cos], -1)
