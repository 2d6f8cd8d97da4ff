"""Log-likelihood of clips under a model, in bits, along the probability-flow ODE.

The ODE is dx/dc = v, where c = `Process.clock(t)`. By the instantaneous change of variables (Chen et al.,
arXiv 1806.07366; Song et al., arXiv 2011.13456, eq. 39), d log p / dc = -div v along a path, so

  log p(x at t0) = log prior(x at 1) + integral of div v over c from t0 to 1.

The divergence is estimated by Hutchinson's e' J e, where J is the Jacobian of v and e is a *probe*: a vector
of random signs. The error bar is the standard error over the probes.

Bits are per dimension and relative to the uniform density on the box [-1, 1], whose log2-density is -1 per
dimension: a uniform model scores 0. Clips are first corrupted to the small time t0 (dequantised): half of the
pixel values of the digits lie exactly on the boundary of the box, where a density can be unbounded. At
t0 = 1/128, `UniformFlow` adds little more than uniform noise of +-1/128.

The velocity is the one that the sampler uses. Where the estimate of x0 is clipped, the velocity has a kink
but is still Lipschitz, so the flow is invertible and its divergence is defined almost everywhere. The
sampler's projection to the box (`Process.project`) is not invertible and is left out. With an inexact
network, a path may therefore end outside the box, where the uniform prior has no density. Such values are
counted as if they were inside, and `outside` is their share. If `outside` is not 0, the bits describe the
velocity field, not the clips of the sampler that projects.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from stale_jax.clip import Clip, Context
from stale_jax.compilation import OnMesh, batches
from stale_jax.data import collate
from stale_jax.errors import UserError
from stale_jax.evaluation.needs import without_bias
from stale_jax.mesh import on_host
from stale_jax.processes import Process
from stale_jax.sampling import Denoiser
from stale_jax.text import tokenize

ABOUT = {
  "bits_per_dimension": "log2 of the density of held-out clips relative to the uniform density, per value; "
  "higher is better",
  "outside": "share of values outside [-1, 1] where their path reaches the prior; should be 0",
}
START = 1 / 128
# The last but one time is 1 - _END; the last step goes from there to 1.
_END = 1e-3
_BATCH = 16


class Bits(NamedTuple):
  """Log-likelihoods of a batch of clips.

  Attributes:
    bits: log2 of the density relative to the uniform density on the box, per dimension.
    error: standard error of `bits` over the probes, for this clip; NaN for a single probe.
    outside: share of values whose path ends outside the box. With a Gaussian prior it may be most of them.
  """

  bits: Float[Array, "batch"]
  error: Float[Array, "batch"]
  outside: Float[Array, "batch"]


def path(steps: int, start: float = START) -> Float[np.ndarray, "{steps}+1"]:
  """Times from `start` to 1, equally spaced in the logit except for the last."""
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
  """Integrates `clip` and its log-density along the ODE, with Heun's method.

  Args:
    process: process that defines the velocity and the prior.
    denoiser: (clip, t, context) -> outputs of the network.
    clip: sense -> [batch, frames, *shape], corrupted to times[0].
    times: increasing times, the last of which is 1. The first is above 0, where the velocity may be singular.
    context: conditioning of the denoiser.
    key: key of the probes; each probe is one vector for the whole path.
    probes: number of probes of Hutchinson's estimate.
  """
  times = jnp.asarray(times)
  batch, frames = next(iter(clip.values())).shape[:2]
  size = sum(x[0].size for x in clip.values())
  keys = dict(zip(sorted(clip), jax.random.split(key, len(clip)), strict=True))
  directions = {n: jax.random.rademacher(keys[n], (probes, *x.shape), x.dtype) for n, x in clip.items()}

  def per_clip(clip):
    return sum(jnp.sum(x.reshape(batch, -1), -1) for x in clip.values())

  def slope(x, time):
    """Returns the velocity, and one estimate of its divergence per probe, [probes, batch]."""
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
  @OnMesh
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
  """Log-likelihood of each clip, in bits per dimension, given its caption and without guidance.

  Clips are first corrupted to time START (dequantised).

  Args:
    model: a `stale_jax.Model`.
    prompts: one caption per clip.
    clip: clean clips, sense -> [n, frames, *shape].
    seed: seed of the dequantisation noise and of the probes.
    steps: number of Heun steps along the path. On the model of digits, 32 steps give .09 bits more than 64.
    probes: number of probes of Hutchinson's estimate.

  Raises:
    UserError: the process has no ODE.
  """
  experiment = model.system
  if not experiment.diffusion.process.has_flow:
    raise UserError(
      f"{type(experiment.diffusion.process).__name__} has no probability-flow ODE, and so no likelihood."
    )
  run = _compiled(experiment.network, experiment.diffusion.process, steps, probes)
  text, parts = tokenize(list(prompts), experiment.network.text_length), []
  for rows in batches(len(text), min(_BATCH, len(text))):
    key = jax.random.fold_in(jax.random.key(seed), int(rows[0]))
    part = run(model.params, {name: x[rows] for name, x in clip.items()}, text[rows], key)
    parts.append(on_host(part))
  return Bits(*(np.concatenate(values)[: len(text)] for values in zip(*parts, strict=True)))


def evaluate_likelihood(
  model, clips: int = 64, seed: int = 0, steps: int = 64
) -> tuple[dict[str, Any], None]:
  """The suite `likelihood`: log-likelihood, in bits per dimension, of real test clips given their captions.

  A source without a test split is measured on its own clips.

  Args:
    model: a `stale_jax.Model`.
    clips: number of clips, at least 2.
    seed: seed of the noise and the probes.
    steps: number of Heun steps along the ODE.

  Returns:
    The scores, and None in place of clips. The scores are
    bits_per_dimension: mean over clips of log2 of the model's density relative to the uniform density.
    error: standard error of bits_per_dimension over clips, for this one model.
    hutchinson_error: the part of `error` that comes from the random probes.
    outside: share of values whose path ends outside the box; should be 0.
    clips, steps, probes, dequantised_by: how it was measured.

  Raises:
    UserError: `clips` is below 2, or the process has no ODE.
  """
  without_bias('the suite "likelihood"', model.system)
  if clips < 2:
    raise UserError(f"clips={clips}: at least 2 are needed.")
  experiment = model.system
  source = experiment.data.source
  source = source.test_split() if source.has_test_split else source
  examples = [source[i] for i in range(clips)]
  batch = collate(examples, experiment.data.senses, experiment.network.text_length)
  probes = 4
  measured = clip_bits(model, [e["caption"] for e in examples], batch.clip, seed, steps=steps, probes=probes)
  scores = {
    "bits_per_dimension": float(measured.bits.mean()),
    "error": float(measured.bits.std(ddof=1) / np.sqrt(clips)),
    "hutchinson_error": float(np.sqrt(np.square(measured.error).sum()) / clips),
    "outside": float(measured.outside.mean()),
    "clips": clips,
    "steps": steps,
    "probes": probes,
    "dequantised_by": START,
  }
  return scores, None
