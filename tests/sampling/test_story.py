"""Panels of a story see one another exactly as said: against dense attention of float64, and by halves."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stale_jax.clip import Context
from stale_jax.errors import UserError
from stale_jax.models.attention import apply_rotary, attend
from stale_jax.models.layers import rotary_angles
from stale_jax.models.visibility import TEXT, stream_tokens
from stale_jax.processes import UniformFlow
from stale_jax.sampling import classifier_free, sample
from stale_jax.sampling.story import Story, consistent, others, pick, see, tiled
from stale_jax.text import tokenize
from tests.models import small

PANELS, HEADS, WIDTH = 3, 2, 8
# Stream -> its number, times, places.
STREAMS = {"text": (TEXT, 1, 5), "sight": (1, 2, 4), "touch": (2, 2, 1)}
PROMPTS = ["a red two moves up", "a red two", "two", "a two moves left quickly", "a red two runs"]


def tokens(batch, independent_senses):
  out = {}
  for name, (number, time, place) in STREAMS.items():
    real = np.ones((batch, time, place), bool)
    real[1, -1, -1] = name == "touch"  # Of one panel a byte and a patch are not real.
    out[name] = stream_tokens(
      jnp.asarray(real), number, np.arange(time) if number else -1, independent_senses
    )
  return out


@pytest.mark.parametrize("rate", [1.0, 0.5])
def test_it_is_dense_attention_to_what_was_picked(rate):
  """Of two stories in a batch, the second with senses that are blind to one another."""
  rng, batch = np.random.default_rng(0), 2 * PANELS
  of = tokens(batch, jnp.arange(batch) >= PANELS)
  angles = {name: rotary_angles(rng.uniform(0, 4, (x.real[0].size, 3)), WIDTH) for name, x in of.items()}
  q, k, v = (
    {
      name: jnp.asarray(rng.standard_normal((*x.real.shape, HEADS, WIDTH)), jnp.float32)
      for name, x in of.items()
    }
    for _ in range(3)
  )
  panels = see(jax.random.key(1), rate, PANELS, jnp.bool_(True), angles, of)
  wide_k, wide_v = panels.extend("any", k, v)
  got = attend(apply_rotary(q, angles), apply_rotary(wide_k, panels.angles), wide_v, of, seen=panels.tokens)

  def flat(x):
    return np.asarray(x, np.float64).reshape(len(x), -1, HEADS, WIDTH)

  rotated = apply_rotary(q, angles), apply_rotary(k, angles)
  q, k, v = ({n: flat(x) for n, x in part.items()} for part in (*rotated, v))
  real = {n: np.asarray(x.real).reshape(batch, -1) for n, x in of.items()}
  for i in range(batch):
    for name in STREAMS:
      own = STREAMS if i < PANELS else {"text", name}
      seen = [(i, n, np.flatnonzero(real[n][i])) for n in own]
      if name != "text":
        for j in range(i // PANELS * PANELS, i // PANELS * PANELS + PANELS):
          chosen = np.asarray(panels.picked[name])[j % PANELS]
          assert len(set(chosen)) == round(rate * real[name].shape[1])
          seen += [(j, name, chosen[real[name][j][chosen]])] * (j != i)
      keys, values = (np.concatenate([x[n][j][index] for j, n, index in seen]) for x in (k, v))
      logits = np.einsum("qhd,khd->hqk", q[name][i], keys) / np.sqrt(WIDTH)
      p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
      want = np.einsum("hqk,khd->qhd", p, values)
      np.testing.assert_allclose(flat(got[name])[i], want, atol=1e-5)


def test_the_others_are_of_the_same_story_and_never_oneself():
  picked = pick(jax.random.key(0), 4, 10, 0.3)
  x = np.arange(80).reshape(8, 10)
  seen = np.asarray(others(jnp.asarray(x), picked))
  for row in range(8):
    panels = [p for p in range(row // 4 * 4, row // 4 * 4 + 4) if p != row]
    assert sorted(seen[row]) == sorted(x[p, i] for p in panels for i in np.asarray(picked)[p % 4])
  again = pick(jax.random.key(1), 4, 10, 0.3)
  assert (np.asarray(picked) != np.asarray(again)).any() and len({tuple(r) for r in np.asarray(picked)}) > 1


@functools.cache
def program(story, count, steps):
  """The guided sampler of a small model, of the same noise: captions -> clips."""
  model = small.model(depth=1)
  keys = jax.vmap(jax.random.key)(jnp.arange(count))
  times = jnp.linspace(1, 0, steps + 1)[:, None, None] * jnp.ones((count, small.FRAMES))
  denoiser = functools.partial(model.apply, small.params(model))
  if story:
    denoiser = consistent(denoiser, story, times, jax.random.key(7))
  guided = classifier_free(denoiser, 3.0)
  if story:
    whole = guided
    guided = tiled(lambda rows: whole, story.tile, count)
  return jax.jit(
    lambda text: sample(UniformFlow(), guided, small.SENSES, times, Context(text=text), keys, "euler")
  )


def run(story, prompts=PROMPTS, steps=4):
  return program(story, len(prompts), steps)(jnp.asarray(tokenize(prompts, 24)))


def test_without_others_it_has_the_bits_of_plain_attention():
  plain, story = run(None), run(Story(rate=0.0, tile=8))
  for name in plain:
    np.testing.assert_array_equal(plain[name], story[name])
  small.close(run(Story(plain=4, tile=8)), plain)
  assert small.differ(run(Story(plain=3, tile=8)), plain, by=1e-3)


def test_all_hear_of_the_first_panel_and_it_of_those_in_its_tile_alone():
  last, first = [*PROMPTS[:-1], "a green nine"], ["a green nine", *PROMPTS[1:]]
  for tile in (8, 2):
    story = Story(plain=0, tile=tile)
    plain, late, early = run(story), run(story, last), run(story, first)
    heard = np.abs(late["sight"] - plain["sight"]).max((1, 2, 3, 4)) > 1e-4
    assert heard.tolist() == [tile == 8] * 4 + [True]
    assert (np.abs(early["sight"] - plain["sight"]).max((1, 2, 3, 4)) > 1e-4).all()


@pytest.mark.parametrize("count", [2, 4, 5, 9])
def test_tiles_cover_the_story_and_agree_where_they_overlap(count):
  def doubled(clip, t, context):
    assert len(t) == min(count, 4)
    return {name: 2 * x + jnp.sum(context.text, -1)[:, None] for name, x in clip.items()}

  clip = {"a": jnp.arange(2.0 * count).reshape(count, 2)}
  context = Context(text=jnp.arange(3 * count).reshape(count, 3))
  out = tiled(lambda rows: doubled, 4, count)(clip, jnp.zeros((count, 2)), context)
  want = 2 * clip["a"] + context.text.sum(-1)[:, None]
  np.testing.assert_allclose(out["a"], want, rtol=1e-6)


def test_memory_is_that_of_a_tile():
  rng = np.random.default_rng(0)
  up, down = (jnp.float32(rng.standard_normal(shape)) for shape in ((16, 4096), (4096, 16)))

  def wide(clip, t, context):
    return {"a": jnp.tanh(clip["a"] @ up) @ down}

  def temporaries(panels, tile):
    clip, context = {"a": jnp.zeros((panels, 8, 16))}, Context(text=jnp.zeros((panels, 4)))
    denoiser = jax.jit(tiled(lambda rows: wide, tile, panels))
    program = denoiser.lower(clip, jnp.zeros((panels, 8)), context).compile()
    return program.memory_analysis().temp_size_in_bytes

  few, many, whole = temporaries(8, 4), temporaries(32, 4), temporaries(32, 32)
  assert many <= 1.1 * few < 0.5 * whole


def test_misuse_is_named():
  for fields, words in (({"rate": 1.1}, "rate=1.1"), ({"tile": 1}, "tile"), ({"plain": -1}, "plain")):
    with pytest.raises(UserError, match=words):
      Story(**fields)
