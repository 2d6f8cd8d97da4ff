"""Rollouts against clips made the long way, and what keeps them alive against what it says."""

import gc
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stale_jax.clip import Context
from stale_jax.config import build
from stale_jax.errors import UserError
from stale_jax.pipeline import Model
from stale_jax.processes.process import per_frame
from stale_jax.sampling import windows
from stale_jax.sampling.samplers.kept import KeptFrames, MotionMeter, revival
from stale_jax.sampling.solve import prior
from stale_jax.script import Script, prompt_at, turns
from stale_jax.testing.models import drawn
from stale_jax.text import tokenize
from stale_jax.training.initial import init_params
from tests import micro

PROMPTS = ["a red seven moves left quickly", "a cyan two moves down slowly"]
SHORT = {"steps": 3, "guidance": 1.0}


@pytest.fixture(scope="module")
def model():
  return drawn(micro.config(source__patch=1, model__causal=True, times__independent=True, model__depth=2))


def whole(chunks):
  chunks = list(chunks)
  return {name: np.concatenate([chunk[name] for chunk in chunks], 1) for name in chunks[0]}


@pytest.mark.system
def test_a_causal_rollout_is_the_dense_model_asked_frame_by_frame(model):
  e = model.system
  made = whole(model.rollout(PROMPTS, [3, 4], frames=4, **SHORT))
  keys = jax.vmap(jax.random.key)(jnp.arange(3, 5, dtype=jnp.uint32))
  context = Context(text=jnp.asarray(tokenize(PROMPTS, e.network.text_length)))
  grid = model.settings(**SHORT).times(1)[:, 0, 0]
  past = None
  for frame in range(4):
    own = jax.vmap(lambda key, frame=frame: jax.random.fold_in(key, frame))(keys)
    x = prior(e.diffusion.process, e.data.senses, 1, own)
    for t, s in itertools.pairwise(grid):
      every = x if past is None else {n: jnp.concatenate([past[n], x[n]], 1) for n in x}
      times = jnp.zeros((2, frame + 1)).at[:, -1].set(t)
      out = e.network.apply(model.params, every, times, context)
      at = jnp.full((2, 1), t)
      x = {
        n: e.diffusion.process.project(
          x[n] + (s - t) * e.diffusion.process.velocity(out[n][:, -1:], x[n], at)
        )
        for n in x
      }
    past = x if past is None else {n: jnp.concatenate([past[n], x[n]], 1) for n in x}
  for name in made:
    np.testing.assert_allclose(made[name], past[name], atol=2e-4)


def test_a_movie_depends_on_its_own_seed_and_no_length(model):
  both = whole(model.rollout(PROMPTS, [3, 4], frames=7, chunk=2, **SHORT))
  alone = whole(model.rollout(PROMPTS[1:], [4], frames=12, chunk=2, **SHORT))
  np.testing.assert_allclose(both["sight"][1], alone["sight"][0, :7], atol=1e-4)
  assert np.abs(both["sight"][0] - both["sight"][1]).max() > 0.01


def test_the_cache_of_a_long_movie_is_no_larger_than_of_a_short_one(model):
  rollout = model.rollout(PROMPTS[:1], [0], frames=40, sinks=1, noise=0.1, guidance=3.0, steps=2)
  sizes = []
  gc.collect()  # What earlier tests left, lest it went while this one counts.
  for number, _ in enumerate(rollout):
    if number > 5:
      jax.block_until_ready(jax.live_arrays())
      sizes.append(sum(x.nbytes for x in jax.live_arrays()))
  assert sizes[-1] <= sizes[1]


@pytest.mark.parametrize("given", [1, 2])
def test_each_window_begins_with_the_last_frames_of_the_one_before(given):
  frames, window = 11, 4
  begun = []

  def draw(number, frame, last):
    begun.append(last)
    start = 0 if last is None else int(last["a"][0, 0])
    assert frame == start + (0 if last is None else given)
    return {"a": np.arange(start, start + window)[None]}

  made = whole(windows(draw, frames, given))
  np.testing.assert_array_equal(made["a"][0], np.arange(frames))
  assert begun[0] is None and all(last["a"].shape == (1, given) for last in begun[1:])


def test_windows_go_on_from_the_frames_they_are_given(model):
  """The second window is what the sampler makes of the first one's end."""
  made = whole(model.rollout(PROMPTS, [3, 4], frames=6, how="windows", conditioning_frames=2, **SHORT))
  first = {name: jnp.asarray(x[:, 2:4]) for name, x in made.items()}
  e = model.system
  context = Context(text=jnp.asarray(tokenize(PROMPTS, e.network.text_length)))
  keys = jax.vmap(lambda s: jax.random.fold_in(jax.random.key(s), 1))(jnp.arange(3, 5, dtype=jnp.uint32))
  x = {n: v.at[:, :2].set(first[n]) for n, v in prior(e.diffusion.process, e.data.senses, 4, keys).items()}
  given = jnp.broadcast_to(jnp.arange(4) < 2, (2, 4))
  for t, s in itertools.pairwise(model.settings(**SHORT).times(1)[:, 0, 0]):
    now, then = (jnp.where(given, 0.0, jnp.full((2, 4), time)) for time in (t, s))
    out = e.network.apply(model.params, x, now, context)
    for n in x:
      moved = e.diffusion.process.project(
        x[n] + per_frame(then - now, x[n]) * e.diffusion.process.velocity(out[n], x[n], now)
      )
      x[n] = jnp.where(per_frame(given, x[n]), x[n], moved)
  np.testing.assert_allclose(made["sight"][:, 4:], x["sight"][:, 2:], atol=2e-4)


def test_a_script_changes_the_prompt_and_the_cache_as_it_is_told(model):
  script = [[(0, PROMPTS[0]), (5, PROMPTS[1])]]
  kinds = {
    kind: whole(model.rollout(script, [1], frames=9, on_change=kind, **SHORT))["sight"]
    for kind in ("keep", "flush", "recache")
  }
  plain = whole(model.rollout(PROMPTS[:1], [1], frames=9, **SHORT))["sight"]
  for made in kinds.values():
    np.testing.assert_array_equal(made[:, :5], plain[:, :5])
    assert np.abs(made[:, 5:] - plain[:, 5:]).max() > 0.01
  assert np.abs(kinds["keep"] - kinds["flush"]).max() > 1e-4
  assert np.abs(kinds["keep"] - kinds["recache"]).max() > 1e-4
  assert np.abs(kinds["flush"] - kinds["recache"]).max() > 1e-4
  assert [prompt_at(script[0], frame) for frame in (0, 4, 5, 99)] == [*PROMPTS[:1] * 2, *PROMPTS[1:] * 2]


def test_after_a_cut_nothing_is_left_of_what_was_before(model):
  """Not the same bits, for the noise is that of its own chunks; but what came before changes nothing."""
  scripts = [[(0, first), (5, PROMPTS[1])] for first in (PROMPTS[0], "a green zero moves up slowly")]
  one, other = (whole(model.rollout([s], [1], frames=9, on_change="cut", **SHORT))["sight"] for s in scripts)
  assert np.abs(one[:, :5] - other[:, :5]).max() > 0.01
  np.testing.assert_array_equal(one[:, 5:], other[:, 5:])


@pytest.mark.parametrize("on_change", ["flush", "recache", "cut"])
def test_a_movie_turns_by_itself(model, on_change):
  """What one of the movies is asked for changes nothing in the others."""
  script = [(0, PROMPTS[0]), (2, PROMPTS[0]), (5, PROMPTS[1])]
  settings = {"frames": 9, "on_change": on_change, **SHORT}
  both = whole(model.rollout([PROMPTS[0], script, PROMPTS[1]], [1, 2, 3], **settings))
  for row, prompt in enumerate((PROMPTS[0], script, PROMPTS[1])):
    alone = whole(model.rollout([prompt], [row + 1], **settings))
    for name in both:
      np.testing.assert_allclose(both[name][row], alone[name][0], atol=1e-4)
  assert turns(script) == (5,) and turns(PROMPTS[0]) == () == turns([(0, "a"), (0, "b"), (3, "b")])


@pytest.mark.parametrize("how", ["causal", "windows"])
def test_a_script_counts_from_where_the_movie_begins(model, how):
  """Given frames are of the movie, and all that is made from the turn on is made by the new prompt."""
  plain = model.generate(PROMPTS[0], seconds=1.5, how=how, **SHORT)
  first = {name: x[:1] for name, x in plain.clip.items()}
  for given in (None, first):
    clips = [
      model.generate(prompt, seconds=1.5, first=given, how=how, **SHORT).clip["sight"]
      for prompt in (PROMPTS[0], Script(((0.0, PROMPTS[0]), (0.5, PROMPTS[1]))))
    ]
    apart = np.abs(clips[0] - clips[1]).max((1, 2, 3))
    assert (apart[:4] == 0).all() and apart[4] > 1e-4


def test_more_frames_may_be_given_than_a_window_holds(model):
  many = {name: x[0] for name, x in whole(model.rollout(PROMPTS[:1], [0], frames=7, **SHORT)).items()}
  for how in ("causal", "windows"):
    clip = model.generate(PROMPTS[0], seconds=1.5, first=many, how=how, **SHORT).clip
    assert len(clip["sight"]) == 12
    np.testing.assert_array_equal(clip["sight"][:7], many["sight"])
  # A causal rollout has seen of them what it would have seen of its own: each after the few before it.
  given = {name: x[None] for name, x in many.items()}
  far = {name: np.concatenate([-x[:, :1], x[:, 1:]], 1) for name, x in given.items()}
  one, other = (
    next(model.rollout(PROMPTS[:1], [0], frames=1, first=f, window=2, **SHORT))["sight"] for f in (given, far)
  )
  np.testing.assert_array_equal(one, other)


def test_what_was_given_is_made_anew_with_the_rest(model):
  """After the turn the cache is that of all frames known, under the new prompt."""
  first = whole(model.rollout(PROMPTS[1:], [5], frames=2, **SHORT))
  script = [[(0, PROMPTS[0]), (1, PROMPTS[1])]]
  settings = {"frames": 2, "on_change": "recache", **SHORT}
  made = whole(model.rollout(script, [1], first=first, **settings))
  known = {name: jnp.concatenate([first[name], made[name][:, :1]], 1) for name in made}
  e = model.system
  times, context = (
    model.settings(**SHORT).times(1)[:, 0, 0],
    Context(text=jnp.asarray(tokenize(PROMPTS[1:], e.network.text_length))),
  )
  x = prior(
    e.diffusion.process,
    e.data.senses,
    1,
    jax.vmap(lambda s: jax.random.fold_in(jax.random.key(s), 1))(jnp.arange(1, 2, dtype=jnp.uint32)),
  )
  for t, s in itertools.pairwise(times):
    at = jnp.zeros((1, 4)).at[:, -1].set(t)
    out = e.network.apply(model.params, {n: jnp.concatenate([known[n], x[n]], 1) for n in x}, at, context)
    x = {
      n: e.diffusion.process.project(
        x[n] + (s - t) * e.diffusion.process.velocity(out[n][:, -1:], x[n], jnp.full((1, 1), t))
      )
      for n in x
    }
  np.testing.assert_allclose(made["sight"][:, 1:], x["sight"], atol=2e-4)


def test_the_past_is_the_sinks_and_the_last_frames():
  past = KeptFrames(room=3, sinks=1)
  for frame in range(6):
    past.add({"a": np.full((1, 1), frame)})
  assert past.frames["a"].tolist() == [[0, 4, 5]] and past.last(2)["a"].tolist() == [[4, 5]]


def test_noise_rises_with_the_motion_that_is_missing(model):
  motion = MotionMeter(2)
  for value in (0.0, 1.0, 2.0, 2.5, 2.75):  # Changes 1, 1, then .5 and .25.
    motion.add({"sight": np.full((1, 1, 1, 1, 1), value)})
  assert motion.first.tolist() == [1] and motion.now.tolist() == [0.375]
  np.testing.assert_allclose(revival(np.array([0.375, 2.0]), np.array([1.0, 1.0])), [0.625, 0])
  calm, alive = (
    whole(model.rollout(PROMPTS[:1], [1], frames=24, revive=r, **SHORT))["sight"] for r in (0.0, 0.9)
  )
  np.testing.assert_array_equal(calm[:, :4], alive[:, :4])
  assert np.abs(calm[:, 4:] - alive[:, 4:]).max() > 1e-3


@pytest.mark.parametrize(
  "remedy",
  [{"noise": 0.3}, {"sinks": 2}, {"sinks": 2, "sink_decay": 0.5}, {"rope_jitter": 0.8}, {"window": 3}],
)
def test_every_remedy_does_something_and_nothing_before_it_can(model, remedy):
  plain, made = (
    whole(model.rollout(PROMPTS[:1], [1], frames=9, **SHORT, **kw))["sight"] for kw in ({}, remedy)
  )
  np.testing.assert_allclose(made[:, :1], plain[:, :1], atol=1e-5)
  assert np.abs(made[:, 5:] - plain[:, 5:]).max() > 1e-4


@pytest.mark.parametrize(
  ("settings", "words"),
  [
    ({"how": "causl"}, "did you mean 'causal'?"),
    ({"sinks": 3}, "fill the window of 4 frames"),
    ({"how": "windows", "conditioning_frames": 4}, "leaves no new frame in a window of 4 frames"),
    ({"noise": 2.0}, "must lie from 0 to 1"),
    ({"sink": 1}, "sampling.sink"),
    ({"seeds": [2**64]}, "seeds must lie from 0"),
    ({"seeds": [0, 1]}, "one seed per prompt"),
    ({"prompts": [[(3, PROMPTS[0])]]}, "start at frame 0"),
  ],
)
def test_impossible_rollouts_are_refused(model, settings, words):
  with pytest.raises(UserError, match=words.replace("?", r"\?")):
    model.rollout(**{"prompts": PROMPTS[:1], "seeds": [0], "frames": 8, **settings})


def test_models_that_cannot_go_on_say_so():
  experiment = build(micro.config())
  model = Model(experiment, init_params(experiment, jax.random.key(0)), "plain")
  with pytest.raises(UserError, match="first.share"):
    model.rollout(PROMPTS[:1], [0], frames=8)
  with pytest.raises(UserError, match="not causal"):
    model.rollout(PROMPTS[:1], [0], frames=8, how="causal")
