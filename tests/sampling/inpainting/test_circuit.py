"""Circuits against the enumeration of all clips: likelihoods, conditionals, soft evidence, samples and EM."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stale_jax.clip import Sense
from stale_jax.data.sources.digits import Digits
from stale_jax.errors import UserError
from stale_jax.sampling.inpainting import CircuitSettings, fit, log_likelihood, posterior, random_circuit
from stale_jax.sampling.inpainting.circuit import (
  IMPOSSIBLE,
  by_child,
  evidence_of,
  from_children,
  levels_of,
  sample,
  splits,
)
from stale_jax.sampling.inpainting.em import em_step, patch_circuit, stacked
from stale_jax.sampling.inpainting.independent import compare

SIZES = {"levels": 2, "groups": 2, "leaf_states": 3, "states": 4, "root_states": 5}
SETTINGS = CircuitSettings(**SIZES)
# Two frames of 2 x 2 pixels, and two values of touch: ten binary values.
SENSES = (
  Sense(name="sight", shape=(2, 2, 1), rate=8.0, patch=(1, 1, 1), channels=("ink",)),
  Sense(name="touch", shape=(1,), rate=8.0, patch=(1,), channels=("left",)),
)
COUNT = 10


def tiny(seed=0):
  circuit = random_circuit(jax.random.key(seed), SENSES, 2, SETTINGS)
  peaked = jax.tree.map(lambda x: jax.nn.log_softmax(2 * x), (circuit.leaves, circuit.sums))
  return circuit.replace(leaves=peaked[0], sums=peaked[1])


def as_evidence(log_e):
  """From [batch, 10, 2] to the senses."""
  return {"sight": log_e[:, :8].reshape(-1, 2, 2, 2, 1, 2), "touch": log_e[:, 8:].reshape(-1, 2, 1, 2)}


def flat(by_sense):
  return jnp.concatenate([x.reshape(len(x), -1, 2) for x in by_sense.values()], 1)


CLIPS = np.array(list(itertools.product((0, 1), repeat=COUNT)))


def of_levels(levels):
  return as_evidence((1 - jax.nn.one_hot(jnp.asarray(levels), 2)) * IMPOSSIBLE)


@pytest.fixture(scope="module")
def joint():
  """(circuit, the probability of every clip, [1024])."""
  circuit = tiny()
  return circuit, np.exp(np.asarray(log_likelihood(circuit, of_levels(CLIPS)), np.float64))


def test_probabilities_add_up_to_one_and_the_values_depend_on_one_another(joint):
  circuit, p = joint
  assert abs(p.sum() - 1) < 1e-5
  nothing = as_evidence(jnp.zeros((1, COUNT, 2)))
  assert abs(log_likelihood(circuit, nothing)[0]) < 1e-5
  ones = (p[:, None] * CLIPS).sum(0)
  independent = np.prod(np.where(CLIPS, ones, 1 - ones), -1)
  assert np.abs(independent - p).sum() > 0.05  # A circuit of independent values would pass the rest.


def test_all_conditionals_equal_enumeration(joint):
  """Every value of sight is 0, 1 or unknown: 3^8 kinds of evidence, with some for touch."""
  circuit, p = joint
  kinds = np.array(list(itertools.product((0, 1, 2), repeat=8)))
  kinds = np.concatenate([kinds, np.stack([kinds.sum(1) % 3, kinds[:, 0]], 1)], 1)
  log_e = np.zeros((len(kinds), COUNT, 2), np.float32)
  log_e[kinds == 0] = (0, IMPOSSIBLE)
  log_e[kinds == 1] = (IMPOSSIBLE, 0)
  fits = ((kinds[:, None] == 2) | (kinds[:, None] == CLIPS)).all(-1)
  want = np.einsum("kn,niv->kiv", fits * p, np.eye(2)[CLIPS])
  want /= want.sum(-1, keepdims=True)
  got = np.asarray(flat(jax.jit(posterior)(circuit, as_evidence(jnp.asarray(log_e)))))
  assert np.abs(got - want).max() < 1e-5
  prior = np.einsum("n,niv->iv", p, np.eye(2)[CLIPS])
  assert np.abs(got - prior)[kinds == 2].max() > 0.05  # Known values do change the others.


def test_soft_evidence_is_bayes(joint):
  circuit, p = joint
  log_e = jax.random.normal(jax.random.key(1), (20, COUNT, 2))
  weight = np.exp(np.asarray(log_e))[:, np.arange(COUNT), CLIPS.T[:, :, None].T[0]].prod(-1) * p
  want = np.einsum("kn,niv->kiv", weight, np.eye(2)[CLIPS]) / weight.sum(-1)[:, None, None]
  np.testing.assert_allclose(flat(posterior(circuit, as_evidence(log_e))), want, atol=1e-5)
  np.testing.assert_allclose(log_likelihood(circuit, as_evidence(log_e)), np.log(weight.sum(-1)), atol=1e-4)


def test_samples_have_the_conditional_distribution(joint):
  circuit, p = joint
  count = 20_000
  log_e = jnp.zeros((count, COUNT, 2)).at[:, 2].set(jnp.array([IMPOSSIBLE, 0.0]))
  log_e = log_e.at[:, 9].set(jnp.log(jnp.array([0.9, 0.2])))
  drawn = sample(circuit, jax.random.key(3), as_evidence(log_e))
  drawn = np.concatenate([np.asarray(x).reshape(count, -1) for x in drawn.values()], 1)
  want = p * (CLIPS[:, 2] == 1) * np.where(CLIPS[:, 9], 0.2, 0.9)
  want /= want.sum()
  got = np.bincount(drawn @ (1 << np.arange(COUNT)[::-1]), minlength=len(CLIPS)) / count
  distance = np.abs(got - want).sum() / 2
  assert distance < 1.5 * 0.4 * np.sqrt(want).sum() / np.sqrt(count)
  assert np.abs(got - p).sum() / 2 > 0.2  # The prior is another distribution.


def test_a_step_of_em_is_the_exact_one(joint):
  """Expected counts by enumeration of the root's states, and a likelihood that never falls."""
  circuit, _ = joint
  data = jax.random.bernoulli(jax.random.key(5), 0.3, (30, COUNT)).astype(int)
  evidence = of_levels(data)
  only = [
    jnp.full_like(circuit.root, -1e9).at[g, k].set(circuit.root[g, k]) for g in range(2) for k in range(5)
  ]
  states = jnp.stack(
    [log_likelihood(circuit.replace(root=root), evidence) for root in only]
  )  # log p(x, state)
  want = jax.nn.softmax(states, 0).mean(1).reshape(2, 5)
  stepped = em_step(circuit, evidence, 1.0, 0.0)
  np.testing.assert_allclose(np.exp(stepped.root), want, atol=1e-5)
  before = float(log_likelihood(circuit, evidence).mean())
  for _ in range(5):
    circuit = em_step(circuit, evidence, 1.0, 1e-6)
    after = float(log_likelihood(circuit, evidence).mean())
    assert after > before - 1e-4
    before = after
  for x in jax.tree.leaves((circuit.root, circuit.leaves, circuit.sums)):
    np.testing.assert_allclose(np.exp(x).sum(None if x.shape == (2, 5) else -1), 1, atol=1e-5)


def test_em_does_not_tell_equal_states_apart():
  """Why the first states must differ: with equal ones, EM stays at independent values of equal pixels."""
  equal = jax.tree.map(lambda x: jnp.full_like(x, -jnp.log(x.shape[-1])), tiny())
  equal = equal.replace(root=equal.root - jnp.log(2))
  data = np.repeat(np.eye(2, dtype=int)[[0, 1] * 10][:, :1], COUNT, 1)  # All values of a clip are equal.
  evidence = of_levels(data)
  for _ in range(10):
    equal = em_step(equal, evidence, 1.0, 1e-6)
  assert float(log_likelihood(equal, evidence).mean()) < -0.9 * COUNT * np.log(2)
  other = tiny()
  for _ in range(60):
    other = em_step(other, evidence, 1.0, 1e-6)
  assert float(log_likelihood(other, evidence).mean()) > -0.3 * COUNT * np.log(2)


def test_regions_are_joined_and_cut_alike():
  assert splits((8, 16, 16)) == [(1, 2, 2), (2, 2, 2), (2, 2, 2), (2, 2, 2)]
  assert splits((6,)) == [(3,), (2,)] and splits((1,)) == []
  x = jnp.arange(2 * 4 * 6 * 3).reshape(2, 4, 6, 3)
  parts = by_child(x, (2, 3))
  assert parts.shape == (6, 2, 2, 2, 3)
  np.testing.assert_array_equal(parts[4, :, 1, 0], x[:, 3, 1])  # Child (1, 1) of region (1, 0).
  np.testing.assert_array_equal(from_children(parts, (2, 3)), x)


def test_a_fitted_circuit_beats_independent_values_and_its_states_are_patches():
  source = Digits(canvas=12, frames=4, patch=1)
  senses = tuple(source.senses[name] for name in ("sight", "touch"))
  settings = CircuitSettings(states=8, root_states=16, clips=192, batch=32, epochs=2)
  clips = stacked(source, senses, range(192))
  held_out = stacked(source.test_split(), senses, range(32))
  first = patch_circuit(clips, settings, np.random.default_rng(0))
  circuit = fit(clips, settings, 0)
  start, end = compare(first, clips, held_out), compare(circuit, clips, held_out)
  assert end["log_likelihood"] > 0.8 * end["independent"] and end["independent"] < 0
  assert end["log_likelihood"] > start["log_likelihood"] + 10
  level = levels_of(circuit, {"touch": jnp.asarray([[[-1.0, -0.97, -0.96, 0.1, 1.0]]])})["touch"]
  assert level.tolist() == [[[0, 0, 1, 3, 4]]]
  assert evidence_of(circuit, held_out)["sight"].shape == (32, 4, 12, 12, 3, 5)


def test_clips_without_a_sense_are_refused():
  source = Digits(canvas=12, frames=4, patch=1)
  other = dataclasses.replace(source.senses["touch"], name="radar")
  with pytest.raises(UserError, match="some clips have no radar"):
    stacked(source, (other,), range(2))
