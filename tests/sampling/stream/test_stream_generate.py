"""`how="stream"` through `Model.generate`."""

import jax.numpy as jnp
import numpy as np
import pytest

from stale_jax.errors import UserError
from stale_jax.sampling.stream.batch import ticking
from stale_jax.script import Script
from tests.streams import PROMPTS, encoded, entering, keys, programs, stream_model

FRAMES, CUT = 7, 4
HOW = {"how": "stream", "solver": "consistency", "steps": 2, "guidance": 2.0, "negative": "once"}


@pytest.fixture(scope="module")
def model():
  return stream_model()


def test_a_movie_made_as_a_stream_has_the_chunks_of_the_engine(model):
  """A script of two prompts, whose second one begins with a cut."""
  rate = next(iter(model.source.senses.values())).rate
  script = Script(((0.0, PROMPTS[0]), (CUT / rate, PROMPTS[1])))
  movie = model.generate(script, seed=3, seconds=FRAMES / rate, on_change="cut", **HOW)

  settings = model.settings(solver="consistency", steps=2)
  levels = np.asarray(settings.times(1, model.system.data.senses))[:-1, 0, 0].tolist()
  stream = programs(model, levels=tuple(levels), negative="once", interval=settings.interval)
  contexts = [encoded(model, [prompt]) for prompt in PROMPTS]
  state, made = stream.start(model.params, contexts[0], keys(3)), []
  for number in range(FRAMES + 1):
    new = entering(contexts[number >= CUT], [number < FRAMES], [number == CUT])
    state, emitted = ticking()(stream, model.params, state, new, jnp.float32(2))
    made.append(emitted.clip)
  for name, x in movie.clip.items():
    assert len(x) == FRAMES
    for number in range(FRAMES):
      np.testing.assert_array_equal(x[number], made[number + 1][name][0, 0])
  assert np.abs(np.diff(movie.clip["sight"], axis=0)).max() > 1e-3


@pytest.mark.parametrize(
  ("settings", "error"),
  [
    ({"solver": "euler"}, "set solver to 'consistency'"),
    ({"on_change": "flush"}, "use 'keep' or 'cut'"),
    ({"guidance_kind": "apg"}, "guidance_kind='cfg' only"),
  ],
)
def test_settings_that_a_stream_does_not_have_are_refused(model, settings, error):
  with pytest.raises(UserError, match=error):
    model.generate(PROMPTS[0], seed=3, seconds=1.0, **{**HOW, **settings})
