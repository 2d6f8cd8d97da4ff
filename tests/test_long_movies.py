"""Movies longer than any clip of training, by a model that goes on from given frames."""

import numpy as np
import pytest

from stale_jax.errors import UserError
from stale_jax.script import Script
from stale_jax.story import check_story
from stale_jax.testing.models import drawn
from tests import micro

PROMPTS = ["a red seven moves left quickly", "a cyan two moves down slowly"]
SHORT = {"steps": 2, "guidance": 1.0}
CAUSAL = {"source__patch": 1, "model__causal": True, "times__independent": True}


def made(**overrides):
  return drawn(micro.config(**overrides))


@pytest.fixture(scope="module")
def model():
  return made(**CAUSAL)


def test_a_long_movie_is_the_rollout(model):
  movies = model.generate(PROMPTS, 3, seconds=1.5, sinks=1, **SHORT)
  chunks = list(model.rollout(PROMPTS, [3, 3], frames=12, sinks=1, **SHORT))
  for row, movie in enumerate(movies):
    for name in movie.clip:
      np.testing.assert_array_equal(movie.clip[name], np.concatenate([c[name][row] for c in chunks]))
    assert movie.how["sinks"] == 1 and movie.how["steps"] == 2
  short = model.generate(PROMPTS[0], 3, **SHORT)
  assert len(short.clip["sight"]) == model.frames


def test_a_script_asks_for_something_else_from_when_it_says(model):
  script = Script(((0, PROMPTS[0]), (0.75, PROMPTS[1])))
  told, plain = (model.generate(what, 3, seconds=1.5, **SHORT) for what in (script, PROMPTS[0]))
  np.testing.assert_array_equal(told.clip["sight"][:6], plain.clip["sight"][:6])
  assert np.abs(told.clip["sight"][6:] - plain.clip["sight"][6:]).max() > 0.01
  assert told.prompt == f"{PROMPTS[0]}; from 0.75 s {PROMPTS[1]}"


def test_a_movie_is_long_enough_for_its_script(model):
  script = Script(((0, PROMPTS[0]), (1.25, PROMPTS[1])))
  movie = model.generate(script, 3, **SHORT)
  assert len(movie.clip["sight"]) == 10 + model.frames and movie.seconds == (10 + model.frames) / 8
  told = model.generate(script, 3, seconds=movie.seconds, **SHORT)
  np.testing.assert_array_equal(movie.clip["sight"], told.clip["sight"])
  plain = model.generate(PROMPTS[0], 3, seconds=movie.seconds, **SHORT)
  assert np.abs(movie.clip["sight"][10:] - plain.clip["sight"][10:]).max() > 0.01
  longer = Script(((0, PROMPTS[1]), (2, PROMPTS[0])))
  movies = model.generate([script, PROMPTS[0], longer], 3, **SHORT)
  assert {len(movie.clip["sight"]) for movie in movies} == {16 + model.frames}
  assert len(model.generate(Script(((0, PROMPTS[0]),)), 3, **SHORT).clip["sight"]) == model.frames


@pytest.mark.parametrize("seconds", [0.5, 1.25])
def test_a_movie_that_is_too_short_for_its_script_is_refused(model, seconds):
  script = Script(((0, PROMPTS[0]), (1.25, PROMPTS[1])))
  with pytest.raises(
    UserError, match=f"seconds={seconds}, but the last prompt .* at second 1.25: .* example 1.75"
  ):
    model.generate([PROMPTS[0], script], 3, seconds=seconds, **SHORT)
  assert len(model.generate(script, 3, seconds=1.375, **SHORT).clip["sight"]) == 11


@pytest.mark.parametrize("how", ["causal", "windows"])
def test_a_prompt_that_a_rollout_would_leave_out_is_refused(model, how):
  told = [(0, PROMPTS[0]), (6, PROMPTS[1])]
  settings = {"how": how, **({"chunk": 2} if how == "causal" else {"conditioning_frames": 2}), **SHORT}
  whole = model if how == "causal" else made(first__share=0.5, first__frames=2)
  assert len(list(whole.rollout([told], [0], frames=8, **settings))) > 1
  for script in (told, [(0, PROMPTS[0]), (1, PROMPTS[1]), (2, PROMPTS[0])]):
    with pytest.raises(UserError, match="would be left out"):
      list(whole.rollout([script], [0], frames=6, **settings))


def test_a_story_has_no_scripts(model):
  with pytest.raises(UserError, match="a story does not support scripts"):
    check_story(model.system, [PROMPTS[0], Script(((0, PROMPTS[1]), (1, PROMPTS[0])))], model.name)


def test_a_long_movie_begins_with_the_frames_it_is_given(model):
  picture = np.random.default_rng(0).uniform(-1, 1, (1, 12, 12, 3)).astype(np.float32)
  movie = model.generate(PROMPTS[0], 3, seconds=1, first={"sight": picture}, **SHORT)
  assert len(movie.clip["sight"]) == len(movie.clip["touch"]) == 8
  np.testing.assert_array_equal(movie.clip["sight"][:1], picture)
  assert (movie.clip["touch"][:1] == -1).all()
  other = model.generate(PROMPTS[0], 3, seconds=1, first={"sight": -picture}, **SHORT)
  assert np.abs(movie.clip["sight"][1:] - other.clip["sight"][1:]).max() > 1e-3


def test_models_of_windows_are_rolled_out_in_windows():
  model = made(first__share=0.5)
  movie = model.generate(PROMPTS[0], 3, seconds=1.25, **SHORT)
  (first, *rest) = model.rollout(PROMPTS[:1], [3], frames=10, how="windows", **SHORT)
  np.testing.assert_array_equal(movie.clip["sight"][:4], first["sight"][0])
  assert len(movie.clip["sight"]) == 10 and len(rest) == 2


def test_the_empty_prompt_asks_for_any_movie(model, tmp_path):
  movie = model.generate("", 3, **SHORT)
  want = model.sample([""], [3], **SHORT)["sight"][0]
  np.testing.assert_array_equal(movie.clip["sight"], want)
  assert movie.save(tmp_path).name == "movie-00000000-3.mp4"
  with pytest.raises(UserError, match="there is no prompt"):
    model.generate([])


def test_what_cannot_be_is_refused(model):
  script = Script(((0, PROMPTS[0]), (1, PROMPTS[1])))
  with pytest.raises(UserError, match="cannot follow a script"):
    made().generate(script)
  with pytest.raises(UserError, match="budget works only for clips"):
    model.generate(PROMPTS[0], seconds=9, budget_cents=1.0)
  with pytest.raises(UserError, match="only white space"):
    model.generate(Script(((0, PROMPTS[0]), (1, " "))))
