"""How much a model knows of a clip: its exact likelihood along the probability-flow ODE, in bits.

The instantaneous change of variables (Chen et al., arXiv 1806.07366; Song et al., arXiv
2011.13456, eq. 39): along dx/dc = v the log-density falls by div v, so

  log p(x at t0) = log prior(x at 1) + integral of div v over the clock from t0 to 1.

The divergence is Hutchinson's estimate e' J e, e = +-1; its spread over probes is the error bar.

Bits are a dimension and relative to the uniform on the box, whose log2-density is -1 a dimension:
0 is a model that knows nothing. What is weighed is not the clip itself but the clip as the process
leaves it at the small time t0, which dequantises it: half of the digits' pixels lie exactly on the
wall, where a density is unbounded. At t0 = 1/128 `UniformFlow` adds just uniform noise of +-1/128.

The velocity is the sampler's own. Where it clips the estimate of x0 it has a kink, and is still
Lipschitz: the flow is invertible and its divergence is defined almost everywhere. The sampler's
`project`, which is not invertible, is left out, so that with an inexact network a path may end
outside the box, where the uniform prior has no density. It is counted there as within, and
`outside` says how often: as far as that is not 0, bits are those of the velocity field, not of the
clips that the projecting sampler makes.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from stale_jax.clip import Clip, Context
from stale_jax.compilation import batches
from stale_jax.data import collate
from stale_jax.errors import UserError
from stale_jax.processes import Process
from stale_jax.sampling import Denoiser
from stale_jax.text import tokenize

ABOUT = {
  "bits_per_dimension": "bits a value by which held-out clips are likelier than under the uniform",
  "outside": "share of values whose path to the prior left the box",
}
START = 1 / 128
# Of the noise end, whose last step is the plain one to 1.
_END = 1e-3
_BATCH = 16


class Bits(NamedTuple):
  """Of each clip.

  Attributes:
    bits: log2 of the density over that of the uniform on the box, a dimension.
    error: standard error of `bits` over the probes; not a number for a single one.
    outside: share of the values whose path ended outside the box (for a Gaussian prior, most may).
  """

  bits: Float[Array, "batch"]
  error: Float[Array, "batch"]
  outside: Float[Array, "batch"]


def path(steps: int, start: float = START) -> Float[np.ndarray, "{steps}+1"]:
  """Times from `start` to 1, equally spaced in their logit but for the last."""
  logits = np.linspace(np.log(start / (1 - start)), np.log((1 - _END) / _END), steps)
  return np.append(1 / (1 + np.exp(-logits)), 1.0)


def likelihood(
  process: Process,
  denoiser: Denoiser,
  clip: Clip,
  times: Float[Array, "grid"],
  context: Context,
  key: PRNGKeyArray,
  probes: int = 4,
) -> Bits:
  """Follows `clip` along the ODE by Heun's method.

  Args:
    process: whose velocity and prior.
    denoiser: the network.
    clip: as noised at times[0], [batch, frames, *shape] a sense.
    times: rising from above 0, where the velocity may be singular, to 1.
    context: for the denoiser.
    key: of the probes, one vector each for the whole path.
    probes: vectors of Hutchinson's estimate.
  """
  times = jnp.asarray(times)
  batch, frames = next(iter(clip.values())).shape[:2]
  size = sum(x[0].size for x in clip.values())
  keys = dict(zip(sorted(clip), jax.random.split(key, len(clip)), strict=True))
  directions = {n: jax.random.rademacher(keys[n], (probes, *x.shape), x.dtype) for n, x in clip.items()}

  def per_clip(clip):
    return sum(jnp.sum(x.reshape(batch, -1), -1) for x in clip.values())

  def slope(x, time):
    """The velocity, and each probe's estimate of its divergence, [probes, batch]."""
    t = jnp.broadcast_to(time, (batch, frames))

    def velocity(x):
      output = denoiser(x, t, context)
      return {name: process.velocity(output[name], x[name], t) for name in x}

    v, push = jax.linearize(velocity, x)
    trace = jax.vmap(lambda e: per_clip(jax.tree.map(jnp.multiply, e, push(e))))
    return v, trace(directions)

  def body(step, carry):
    x, log_density = carry
    now, then = times[step], times[step + 1]
    width = process.clock(then) - process.clock(now)
    v0, d0 = slope(x, now)
    v1, d1 = slope(jax.tree.map(lambda x, v: x + width * v, x, v0), then)
    x = jax.tree.map(lambda x, v0, v1: x + width * (v0 + v1) / 2, x, v0, v1)
    return x, log_density + width * (d0 + d1) / 2

  start = (clip, jnp.zeros((probes, batch), times.dtype))
  end, log_density = jax.lax.fori_loop(0, len(times) - 1, body, start)
  log_density += per_clip({name: process.log_prior(x) for name, x in end.items()})
  bits = log_density / np.log(2.0) / size + 1
  error = jnp.std(bits, 0, ddof=1) / np.sqrt(probes)
  outside = per_clip({name: jnp.abs(x) > 1 for name, x in end.items()}) / size
  return Bits(bits=bits.mean(0), error=error, outside=outside)


@functools.cache
def _compiled(model, process: Process, steps: int, probes: int):
  @jax.jit
  def run(params, clip, text, key):
    def denoiser(clip, t, context):
      return model.apply(params, clip, t, context)

    key_noise, key_probes = jax.random.split(key)
    times = path(steps)
    start = jnp.full(next(iter(clip.values())).shape[:2], times[0], jnp.float32)
    keys = dict(zip(sorted(clip), jax.random.split(key_noise, len(clip)), strict=True))
    noised = {name: process.corrupt(keys[name], x, start).x_t for name, x in clip.items()}
    times = jnp.asarray(times, jnp.float32)
    return likelihood(process, denoiser, noised, times, Context(text=text), key_probes, probes)

  return run


def clip_bits(
  model, prompts: Sequence[str], clip: Clip, seed: int = 0, *, steps: int = 32, probes: int = 4
) -> Bits:
  """Bits of each clip [n, frames, *shape], dequantised, under `model` given its caption, unguided.

  Args:
    model: a `stale_jax.Model`.
    prompts: one a clip.
    clip: clean.
    seed: of dequantisation and probes.
    steps: of Heun along the path. On the shipped model 32 say .09 bits more than 64 do.
    probes: of Hutchinson.
  """
  experiment = model.system
  if not experiment.diffusion.process.has_flow:
    raise UserError(f"{type(experiment.diffusion.process).__name__} has no ODE, and so no likelihood.")
  run = _compiled(experiment.network, experiment.diffusion.process, steps, probes)
  text, parts = tokenize(list(prompts), experiment.network.text_length), []
  for rows in batches(len(text), min(_BATCH, len(text))):
    key = jax.random.fold_in(jax.random.key(seed), int(rows[0]))
    part = run(model.params, {name: x[rows] for name, x in clip.items()}, text[rows], key)
    parts.append(jax.device_get(part))
  return Bits(*(np.concatenate(values)[: len(text)] for values in zip(*parts, strict=True)))


def evaluate_likelihood(
  model, clips: int = 64, seed: int = 0, steps: int = 64
) -> tuple[dict[str, Any], None]:
  """The suite `likelihood`: bits a dimension of real test clips, given their captions.

  Args:
    model: a `stale_jax.Model`.
    clips: how many.
    seed: of the noise and the probes.
    steps: of Heun along the ODE.

  Returns:
    The scores. They are
    bits_per_dimension: mean over clips of log2 of the model's density over the uniform's.
    error: its standard error over clips.
    hutchinson_error: of that, what comes from the probes.
    outside: share of values whose path ended outside the box.

  Raises:
    UserError: too few clips.
  """
  if clips < 2:
    raise UserError(f"clips={clips}: at least 2 are needed.")
  experiment = model.system
  source = experiment.data.source
  source = source.test_split() if source.has_test_split else source
  examples = [source[i] for i in range(clips)]
  batch = collate(examples, experiment.data.senses, experiment.network.text_length)
  probes = 4
  found = clip_bits(model, [e["caption"] for e in examples], batch.clip, seed, steps=steps, probes=probes)
  scores = {
    "bits_per_dimension": float(found.bits.mean()),
    "error": float(found.bits.std(ddof=1) / np.sqrt(clips)),
    "hutchinson_error": float(np.sqrt(np.square(found.error).sum()) / clips),
    "outside": float(found.outside.mean()),
    "clips": clips,
    "steps": steps,
    "probes": probes,
    "dequantised_by": START,
  }
  return scores, None
