"""Movies frame by frame against the network asked the long way, and a run of them from the command line."""

import itertools
import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stale_jax.clip import Context
from stale_jax.config import build
from stale_jax.errors import UserError
from stale_jax.objectives import copying
from stale_jax.pipeline import Model, load
from stale_jax.run import train
from stale_jax.sampling.sample import renoise
from stale_jax.sampling.solve import prior
from stale_jax.testing.models import drawn
from stale_jax.text import tokenize
from tests import micro

PROMPTS = ["a red seven moves left quickly", "a cyan two moves down slowly"]
SHORT = {"steps": 2, "guidance": 1.0}


def config(**artv):
  return {**micro.config(source__patch=1, source__frames=6), "artv": artv}


def long(model, seeds, noise, prompts=PROMPTS, first=None, **settings):
  settings = {**SHORT, **settings}
  chunks = list(model.rollout(prompts, seeds, frames=9, noise=noise, first=first, **settings))
  return {name: np.concatenate([chunk[name] for chunk in chunks], 1) for name in chunks[0]}


@pytest.fixture(scope="module")
def model():
  return drawn(config())


@pytest.mark.system
@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_a_movie_is_the_network_asked_frame_by_frame(model, noise):
  """After references with noise, of which it is told, and an anchor without."""
  chunks = list(model.rollout(PROMPTS, [3, 4], frames=5, noise=noise, **SHORT))
  made = {name: np.concatenate([chunk[name] for chunk in chunks], 1) for name in chunks[0]}
  e, frames, told = model.system, [], jnp.array([0, noise, noise])
  keys = jax.vmap(jax.random.key)(jnp.arange(3, 5, dtype=jnp.uint32))
  words = jnp.asarray(tokenize(PROMPTS, e.network.text_length))
  times = model.settings(**SHORT).times(1)[:, 0, 0]
  for i in range(5):
    own = jax.vmap(lambda key, i=i: jax.random.fold_in(key, i))(keys)
    x = prior(e.diffusion.process, e.data.senses, 4, own)
    there = jnp.array([i > 0, i > 1, i > 0, True])
    for slot, before in ((0, 0), (1, i - 2), (2, i - 1)):
      for name in x:
        x[name] = x[name].at[:, slot].set(frames[before][name] if 0 <= before < i else 0)
    given = {name: v[:, :3] for name, v in x.items()}
    own = jax.vmap(lambda key: jax.random.fold_in(key, zlib.crc32(b"given")))(own)
    noised, _ = renoise(e.diffusion.process, given, jnp.broadcast_to(told, (2, 3)), own)
    x = {name: v.at[:, :3].set(noised[name]) for name, v in x.items()}
    context = Context(text=words, valid={name: jnp.broadcast_to(there, (2, 4)) for name in x})
    for t, s in itertools.pairwise(times):
      at = jnp.broadcast_to(jnp.append(told, t), (2, 4))
      out = copying(e.network, model.params, given)(x, at, context)
      for name in x:
        new = x[name][:, 3:]
        moved = new + (s - t) * e.diffusion.process.velocity(out[name][:, 3:], new, at[:, 3:])
        x[name] = x[name].at[:, 3:].set(e.diffusion.process.project(moved))
    frames.append({name: v[:, 3] for name, v in x.items()})
  for name in made:
    np.testing.assert_allclose(made[name], np.stack([f[name] for f in frames], 1), atol=2e-4)


def test_a_movie_goes_on_from_frames_and_depends_on_its_own_seed(model):
  whole = long(model, [3, 4], 0.1)
  first = {name: x[1:, :4] for name, x in whole.items()}
  other = {name: -x for name, x in first.items()}
  again, moved = (
    list(model.rollout(PROMPTS[1:], [4], frames=3, first=f, noise=0.1, **SHORT)) for f in (first, other)
  )
  assert [x["sight"].shape[1] for x in again] == [1, 1, 1]
  alone = long(model, [4], 0.1, PROMPTS[1:])
  np.testing.assert_allclose(alone["sight"][0], whole["sight"][1], atol=1e-4)
  assert np.abs(again[0]["sight"] - moved[0]["sight"]).max() > 0.01
  calm = long(model, [3, 4], 0.0)
  assert np.abs(calm["sight"][:, 1] - whole["sight"][:, 1]).max() > 1e-3


def test_what_stands_still_is_copied_whatever_noise_the_network_sees(model):
  head = {name: model.params["params"][f"{name}_mask"]["dense"] for name in ("sight", "touch")}
  none = {
    f"{name}_mask": {"dense": {"kernel": 0 * part["kernel"], "bias": 0 * part["bias"] - 1e4}}
    for name, part in head.items()
  }
  still = Model(model.system, {"params": {**model.params["params"], **none}}, "still")
  first = {name: x[:, :2] for name, x in model.sample(PROMPTS, [3, 4], frames=2, **SHORT).items()}
  for guidance in (1.0, 3.0):
    for noise in (0.0, 0.2):
      made = long(still, [3, 4], noise, first=first, guidance=guidance)
      for name in first:
        np.testing.assert_allclose(made[name], np.repeat(first[name][:, 1:], 9, 1), atol=1e-5)


def test_what_cannot_be_is_refused(model):
  for how, words in (("windows", "one frame at a time"), ("causal", "not causal")):
    with pytest.raises(UserError, match=words):
      model.rollout(PROMPTS, [0, 1], frames=2, how=how)
  with pytest.raises(UserError, match="budget"):
    model.sample(PROMPTS, [0, 1], room=8)
  experiment = build(micro.config(source__patch=1))
  with pytest.raises(UserError, match="config section artv"):
    Model(experiment, None, "plain").rollout(PROMPTS, [0, 1], frames=2, how="artv")


@pytest.mark.system
def test_it_trains_and_is_loaded(tmp_path):
  """The mask's head is trained by the ordinary loss, and movies are made by it."""
  few = {"steps": 2, "batch": 4, "log_every": 1, "checkpoint_every": 2, "keep": 1, "caption_dropout": 0.1}
  train({**config(noise=0.2), "training": few}, tmp_path)
  model = load(tmp_path)
  assert np.abs(model.params["params"]["sight_mask"]["dense"]["bias"]).max() > 1e-5
  assert model.generate(PROMPTS[0], **SHORT).clip["sight"].shape == (6, 12, 12, 3)
