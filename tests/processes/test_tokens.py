"""Discrete diffusion on two correlated tokens, whose posterior is known exactly."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stale_jax.clip import Context, Sense
from stale_jax.config import build
from stale_jax.data import build as data
from stale_jax.data.source import Source
from stale_jax.errors import UserError
from stale_jax.pipeline import Model
from stale_jax.processes import UniformTokens, grid
from stale_jax.processes.tokens import nelbo, reverse
from stale_jax.run import train
from stale_jax.sampling import solve
from stale_jax.training.program import training_program
from tests import micro

V = 6
LAW = np.random.default_rng(0).gamma(0.2, size=(V, V))
LAW /= LAW.sum()
ENTROPY = -(LAW * np.log(np.maximum(LAW, 1e-300))).sum()
STATES = np.stack(np.meshgrid(range(V), range(V), indexing="ij"), -1).reshape(-1, 2)
HOT = np.eye(V)[STATES]  # [36, 2, V]


def kernel(alpha):
  return alpha * np.eye(V) + (1 - alpha) / V


def posterior(t):
  """D [36, 2, V]: the exact distribution of each clean token given both noised tokens."""
  k = kernel(1 - t)
  joint = np.einsum("xy,xa,yb->abxy", LAW, k, k)
  joint /= joint.sum((2, 3), keepdims=True)
  return np.stack([joint.sum(3), joint.sum(2)], 2).reshape(-1, 2, V)


def plug_in(mean, z_t, alpha_t, alpha_s):
  """The incorrect step that substitutes the posterior mean for x0."""
  p = (alpha_t / alpha_s * z_t + (1 - alpha_t / alpha_s) / V) * (alpha_s * mean + (1 - alpha_s) / V)
  return p / p.sum(-1, keepdims=True)


def distance(step, steps):
  """Total variation distance between the data and the exact output distribution of `steps` steps."""
  law, times = np.full(V * V, 1 / V**2), np.linspace(1, 0, steps + 1)
  with jax.enable_x64(True):
    for t, s in zip(times[:-1], times[1:], strict=True):
      p = np.asarray(step(jnp.asarray(posterior(t)), jnp.asarray(HOT), 1 - t, 1 - s))
      law = np.einsum("z,za,zb->ab", law, p[:, 0], p[:, 1]).ravel()
  return 0.5 * np.abs(law - LAW.ravel()).sum()


def test_the_error_of_the_mixture_posterior_halves_with_the_steps():
  tv = {steps: distance(reverse, steps) for steps in (32, 64)}
  print(tv)
  assert tv[64] <= 0.012
  assert 1.8 <= tv[32] / tv[64] <= 2.2


def test_the_plug_in_of_the_posterior_s_mean_fails():
  assert distance(plug_in, 64) > 0.3
  assert distance(plug_in, 256) > 0.3


def bound(denoiser):
  """Mean over data and noise of `nelbo`, by quadrature over time and enumeration of all states."""
  nodes, weights = np.polynomial.legendre.leggauss(96)
  total = 0.0
  with jax.enable_x64(True):
    for t, w in zip((nodes + 1) / 2, weights / 2, strict=True):
      k = kernel(1 - t)
      chance = LAW.reshape(-1, 1) * np.einsum("xa,yb->xyab", k, k).reshape(V * V, V * V)  # [x0, z]
      args = (jnp.asarray(denoiser(t))[None], jnp.asarray(HOT)[None], jnp.asarray(HOT)[:, None])
      total += w * (chance * np.asarray(nelbo(*args, jnp.float64(t).reshape(1, 1, 1, 1))).sum(-1)).sum()
  return total


def test_the_bound_of_the_exact_posterior_is_the_entropy():
  exact = bound(posterior)
  print(exact, ENTROPY)
  assert exact == pytest.approx(ENTROPY, abs=0.005)
  # Any other posterior has a larger bound.
  assert bound(lambda t: 0.9 * posterior(t) + 0.1 / V) > ENTROPY + 0.02


def test_corruption_follows_the_kernel():
  x0 = jnp.broadcast_to(2.0 * HOT[8] - 1, (50_000, 2, 2, V))  # Tokens (1, 2), in two frames.
  t = jnp.broadcast_to(jnp.array([0.0, 0.6]), (50_000, 2))
  z = np.asarray(UniformTokens().corrupt(jax.random.key(0), x0, t).x_t)
  np.testing.assert_array_equal(z[:, 0], x0[:, 0])
  assert set(np.unique(z)) == {-1, 1} and (z.sum(-1) == 2 - V).all()
  np.testing.assert_allclose((z[:, 1].mean(0) + 1) / 2, kernel(0.4)[[1, 2]], atol=0.01)


def logits(clip, t, context):
  """The exact network, looked up in a table."""
  z = (clip["a"][:, 0] + 1) / 2  # [n, 2, V]
  alpha = (1 - t)[:, :, None]
  k = [alpha * z[:, i][:, None] + (1 - alpha) / V for i in (0, 1)]
  first, second = (jnp.reshape(x, (-1, V)) for x in k)
  joint = jnp.asarray(LAW, jnp.float32) * first[:, :, None] * second[:, None]
  return {"a": jnp.log(jnp.stack([joint.sum(2), joint.sum(1)], 1) + 1e-30)[:, None]}


def law_of(x):
  """Frequencies of pairs in one-hot arrays [n, 2, V]."""
  pairs = np.asarray(x).argmax(-1)
  return np.bincount(V * pairs[:, 0] + pairs[:, 1], minlength=V * V) / len(pairs)


def test_the_sampler_draws_from_the_data():
  n, process = 20_000, UniformTokens()
  keys = jax.random.split(jax.random.key(1), n)
  x = {"a": process.prior(jax.random.key(0), (n, 1, 2, V))}
  times = jnp.broadcast_to(grid(64)[:, None, None], (65, n, 1))
  context = Context(text=jnp.zeros((n, 1), jnp.int32))
  out = jax.jit(lambda x: solve(process, logits, x, times, context, keys, "ancestral"))(x)["a"][:, 0]
  # The error of the steps plus the sampling error of n draws, .5 sum sqrt(2 p / pi n) on average.
  noise = 0.5 * np.sqrt(2 * LAW / np.pi / n).sum()
  tv = 0.5 * np.abs(law_of(out) - LAW.ravel()).sum()
  print(tv, noise)
  assert tv <= 0.012 + 1.5 * noise


@pytest.mark.parametrize("solver", ["euler", "heun", "multistep"])
def test_there_is_no_ode(solver):
  x = {"a": UniformTokens().prior(jax.random.key(0), (1, 1, 2, V))}
  context, keys = Context(text=jnp.zeros((1, 1), jnp.int32)), jax.random.split(jax.random.key(1), 1)
  with pytest.raises(UserError, match="use solver='ancestral'"):
    solve(UniformTokens(), logits, x, grid(2)[:, None, None], context, keys, solver)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Words(Source):
  """Clips of two tokens with the distribution LAW."""

  frames: int = 1

  @property
  def senses(self):
    channels = tuple(map(str, range(V)))
    return {"words": Sense(name="words", shape=(2, V), rate=1.0, patch=(1, 1), channels=channels)}

  def __len__(self):
    return 1 << 20

  def __getitem__(self, index):
    pair = STATES[np.random.default_rng([7, int(index)]).choice(V * V, p=LAW.ravel())]
    clip = {"words": (2 * np.eye(V)[pair] - 1)[None].astype(np.float32)}
    return {"clip": clip, "caption": "words", "labels": {}, "index": int(index)}


def test_what_is_no_token_is_refused():
  tokens = {"process": {"name": "uniform_tokens"}, "objective": {}}
  with pytest.raises(UserError, match="sight holds other values"):
    training_program(build(micro.config() | tokens))
  with pytest.raises(UserError, match="cannot be added to discrete tokens"):
    build(micro.config(messup__noise=0.1) | tokens)


@pytest.mark.system
def test_a_transformer_learns_the_law_in_the_common_loop(tmp_path, monkeypatch):
  monkeypatch.setitem(data.SOURCES, "words", Words)
  config = micro.config(training__steps=150, training__batch=128, training__log_every=10)
  config |= {
    "senses": ("words",),
    "source": {"name": "words"},
    "process": {"name": "uniform_tokens"},
    "times": {"name": "uniform"},
    "objective": {},
    "optimizer": {"name": "adamw", "learning_rate": 5e-3, "warmup": 20},
    "ema": {"decay": 0.98},
    "sampling": {"solver": "ancestral", "steps": 32, "guidance": 1.0, "shift": 1.0, "batch": 2048},
  }
  config["training"]["checkpoint_every"] = 150
  state = train(config, tmp_path)
  losses = [json.loads(line)["loss"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
  print(losses[0], losses[-5:])
  # The cross-entropy starts at that of guessing at most, and falls below that of the marginals.
  assert losses[0] <= 1.1 * np.log(V) and np.mean(losses[-5:]) < 0.8 * losses[0]
  clip = Model(build(config), state.ema, "words").sample(["words"] * 2048, range(2048))
  tv = 0.5 * np.abs(law_of(clip["words"][:, 0]) - LAW.ravel()).sum()
  independent = 0.5 * np.abs(np.outer(LAW.sum(1), LAW.sum(0)) - LAW).sum()
  print(tv, independent)
  assert tv <= 0.12 < 0.3 < independent
