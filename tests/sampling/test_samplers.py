"""Samplers: none is silently swapped for another, and none computes what nobody asked for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stale_jax.clip import Context
from stale_jax.compilation import compiled
from stale_jax.errors import UserError
from stale_jax.models.network import Network
from stale_jax.processes import UniformFlow, fold_keys
from stale_jax.sampling import Story, classifier_free, consistent, prior, sample
from stale_jax.sampling.samplers.causal_programs import Causal
from stale_jax.testing.joint_attention import Joint
from stale_jax.testing.models import drawn
from stale_jax.text import tokenize
from tests import micro
from tests.models import small

PROMPTS = ["a red seven moves left quickly", "a cyan two moves down slowly", "a red two moves up slowly"]
SHORT = {"steps": 3, "guidance": 3.0, "interval": (0.5, 0.95)}
CAUSAL = {"source__patch": 1, "model__causal": True, "times__independent": True, "model__depth": 2}


@pytest.fixture(scope="module")
def model():
  return drawn(micro.config(**CAUSAL, rollout__chunk=2, rollout__sinks=1))


def whole(chunks):
  chunks = list(chunks)
  return {name: np.concatenate([chunk[name] for chunk in chunks], 1) for name in chunks[0]}


def close(a, b, atol=1e-5):
  for name in a:
    np.testing.assert_allclose(a[name], b[name], atol=atol)


@pytest.mark.parametrize("solver", ["euler", "heun"])
def test_outside_the_interval_one_half_is_evaluated_and_nothing_changes(solver):
  """Against guidance whose weight is 1 outside, as it is written in the paper."""
  network, steps, scale, interval = small.model(depth=1), 8, 3.0, (0.5, 0.95)
  times = jnp.linspace(1, 0, steps + 1)[:, None, None] * jnp.ones((2, small.FRAMES))
  context = small.inputs()[2]
  keys, params, rows = jax.vmap(jax.random.key)(jnp.arange(2)), small.params(network), []

  def denoiser(clip, t, context):
    jax.debug.callback(lambda: rows.append(len(t)))
    return network.apply(params, clip, t, context)

  def dense(clip, t, context):
    free = network.apply(params, clip, t, context.drop_condition(jnp.ones(2, bool)))
    told = network.apply(params, clip, t, context.replace(independent_senses=jnp.zeros(2, bool)))
    inside = (t >= interval[0]) & (t <= interval[1])
    weight = {
      n: jnp.where(inside, scale, 1.0).reshape(*t.shape, *(1,) * (x.ndim - 2)) for n, x in free.items()
    }
    return {name: free[name] + weight[name] * (told[name] - free[name]) for name in free}

  def run(chosen):
    parts = UniformFlow(), chosen, small.SENSES, times, context, keys, solver
    return jax.jit(lambda: sample(*parts))()

  limited = run(classifier_free(denoiser, scale, jnp.asarray(interval)))
  jax.effects_barrier()
  close(limited, run(dense))
  grid = np.asarray(times[:, 0, 0])
  asked = grid[:-1] if solver == "euler" else np.repeat(grid, 2)[1:-1]
  inside = (asked >= interval[0]) & (asked <= interval[1])
  assert sum(rows) == np.where(inside, 4, 2).sum() and 0 < inside.sum() < len(asked)


@pytest.mark.system
def test_as_many_clips_are_computed_as_a_power_of_two(model):
  settings = model.settings(batch=8)
  assert [settings.width(count) for count in (1, 2, 3, 4, 5, 8, 9, 100)] == [1, 2, 4, 4, 8, 8, 8, 8]
  assert model.settings(batch=3).width(5) == 3
  seen = []
  real = Causal.start

  def counted(self, params, times, context, keys):
    seen.append(len(keys))
    return real(self, params, times, context, keys)

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(Causal, "start", counted)
    clips = [model.sample(PROMPTS[:count], range(count), **SHORT) for count in (1, 2, 3)]
  assert seen == [1, 2, 4]
  for clip in clips[:2]:
    close(clip, {name: x[: len(clip["sight"])] for name, x in clips[2].items()})


@pytest.mark.system
def test_a_story_is_rolled_out_and_without_others_is_as_many_movies(model):
  plain = model.sample(PROMPTS, range(3), batch=3, **SHORT)
  rolled = whole(model.rollout(PROMPTS, range(3), frames=4, **SHORT))
  none = model.sample(PROMPTS, range(3), story=Story(rate=0.0), **SHORT)
  for name in plain:
    np.testing.assert_array_equal(plain[name], none[name])
    np.testing.assert_array_equal(plain[name], rolled[name])
  late = model.sample(PROMPTS, range(3), story=Story(plain=SHORT["steps"], tile=4), **SHORT)
  close(late, plain)
  heard = model.sample(PROMPTS, range(3), story=Story(plain=0), **SHORT)
  assert np.abs(heard["sight"] - plain["sight"]).max() > 1e-3
  movies = model.story(PROMPTS, 0, **SHORT)
  close(
    {"sight": np.stack([m.clip["sight"] for m in movies])},
    model.sample(PROMPTS, range(3), story=Story(), **SHORT),
  )


def test_panels_hear_of_the_first_ones_in_every_chunk_and_of_none_outside_their_tile(model):
  other = ["a green nine", *PROMPTS[1:]], [*PROMPTS[:2], "a green nine"]
  for tile, last_is_heard in ((4, True), (2, False)):
    story = {"story": Story(plain=0, tile=tile), **SHORT}
    plain, first, last = (model.sample(p, range(3), **story)["sight"] for p in (PROMPTS, *other))
    changed = np.abs(first - plain).max((2, 3, 4)) > 1e-5
    assert changed[:, :2].any(1).all() and changed[:, 2:].any(1).all()
    assert (np.abs(last - plain).max((1, 2, 3, 4)) > 1e-5).tolist() == [last_is_heard] * 2 + [True]


@pytest.mark.system
def test_at_rate_1_a_chunk_is_joint_attention_over_all_panels_and_their_pasts(model):
  """Against one long attention to the cached and present tokens of all panels, in the second chunk."""
  e, panels = model.system, 3
  programs = e.sampler(e.diffusion.rollout).programs(model.settings(guidance=1.0))
  keys, noise = jax.vmap(jax.random.key)(jnp.arange(panels)), jnp.zeros(panels)
  context = Context(text=jnp.asarray(tokenize(PROMPTS, e.network.text_length)))
  past, now = (prior(e.diffusion.process, e.data.senses, 2, fold_keys(keys, i)) for i in range(2))
  t = jnp.full((panels, 2), 0.6)
  cache = compiled(Causal.keep)(programs, model.params, None, past, context, noise, keys)

  def network(clip, t, context, more_keys=None):
    return programs.model.apply(model.params, clip, t, context, cache, more_keys)

  seen = consistent(network, Story(rate=1.0, plain=0), t[None], jax.random.key(0))
  ours, want, plain = seen(now, t, context), network(now, t, context, Joint()), network(now, t, context)
  close(ours, want)
  alone = programs.model.apply(model.params, now, t, context, None, Joint())
  for name in plain:
    assert np.abs(ours[name] - plain[name]).max() > 1e-3 and np.abs(ours[name] - alone[name]).max() > 1e-3


def test_a_budget_is_spent_in_the_rollout_by_one_program(model, monkeypatch):
  plain = model.sample(PROMPTS[:1], [3], **SHORT)
  compiled(Causal.advance).clear_cache()
  traced, evaluate = [], Network.__call__

  def counted(*arguments):
    traced.append(len(traced))
    return evaluate(*arguments)

  monkeypatch.setattr(Network, "__call__", counted)
  for number, steps in enumerate((2, 3, 1)):
    budget = model.sample(PROMPTS[:1], [3], room=4, **{**SHORT, "steps": steps})
    once = once if number else len(traced)
    if steps == 3:
      close(budget, plain, 1e-6)
  assert 0 < len(traced) == once


def test_micro_conditions_are_heard_in_a_rollout():
  config = micro.config(**CAUSAL, rollout__chunk=2)
  model = drawn({**config, "model": {**config["model"], "micro": ("fps", "motion")}})
  slow, fast = (model.sample(PROMPTS[:1], [0], micro={"motion": m}, **SHORT)["sight"] for m in (0.1, 2.0))
  rolled = whole(model.rollout(PROMPTS[:1], [0], frames=4, micro={"motion": 0.1}, **SHORT))["sight"]
  np.testing.assert_allclose(slow, rolled, atol=1e-5)
  assert np.abs(slow - fast).max() > 1e-3
  movie = model.generate(PROMPTS[0], seconds=1, fps=16.0, **SHORT)
  assert len(movie.clip["sight"]) == 16 and movie.senses[0].rate == 16


@pytest.mark.parametrize(
  ("settings", "words"),
  [
    ({"how": "windows", "window": 3}, "rollout window=3 does nothing where how='windows'"),
    ({"how": "windows", "sinks": 2}, "set how to causal"),
    ({"how": "windows", "on_change": "recache"}, "on_change='recache' does nothing"),
    ({"how": "all_frames", "noise": 0.1}, "noise=0.1 does nothing"),
    ({"conditioning_frames": 2}, "set how to windows"),
    ({"how": "artv"}, "does not make frames one by one"),
  ],
)
def test_settings_that_would_do_nothing_are_refused(model, settings, words):
  with pytest.raises(UserError, match=words):
    model.rollout(PROMPTS[:1], [0], frames=8, **settings)


def test_a_story_or_a_budget_changes_no_way_of_sampling(model):
  with pytest.raises(UserError, match="does not support stories"):
    model.sample(PROMPTS, range(3), how="windows", story=Story())
  with pytest.raises(UserError, match="does not support a budget"):
    model.sample(PROMPTS, range(3), how="windows", room=8)
  together = model.sample(PROMPTS, range(3), how="all_frames", **SHORT)["sight"]
  assert np.abs(together - model.sample(PROMPTS, range(3), **SHORT)["sight"]).max() > 1e-3
  scripts = [[(0, PROMPTS[0]), (2, PROMPTS[1])]]
  with pytest.raises(UserError, match="does not support scripts"):
    model.rollout(scripts, [0], frames=4, how="all_frames")
