"""Editing by the program: a video or arrays in, an edited movie and a page out; misuse is one line."""

import json
import re

import numpy as np
import pytest

from stale_jax.checkpoints.weights import save_weights
from stale_jax.editing import edit, read_clip
from stale_jax.errors import UserError
from stale_jax.media import read_arrays, save_movie
from stale_jax.pipeline import load
from stale_jax.testing.models import drawn
from tests import micro
from tests.programs import finish

SOURCE, TARGET = "a red seven moves left quickly", "a red <two> moves left quickly"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
  """Nothing is trained."""
  config = micro.config()
  path = tmp_path_factory.mktemp("weights") / "model.safetensors"
  save_weights(path, drawn(config).params, config)
  return load(path)


@pytest.fixture(scope="module")
def movie(model, tmp_path_factory):
  """The stem of a movie as `Movie.save` writes it, with its video."""
  folder, clip = tmp_path_factory.mktemp("movie"), model.source[0]["clip"]
  senses = {name: model.source.senses[name] for name in ("sight", "touch")}
  save_movie(folder, "clip", {name: clip[name] for name in senses}, senses, {"prompt": SOURCE})
  return folder / "clip"


def edited(model, path, out, *flags):
  return finish("edit", f"--workdir={model.name}", f"--input={path}", f"--out={out}", *flags)


def arrays(folder, start):
  (path,) = folder.glob(f"{start}*.npz")
  return read_arrays(path.with_suffix(""))


def test_arrays_are_edited_and_the_same_prompt_returns_them(model, movie, tmp_path):
  npz = movie.with_suffix(".npz")
  code, said, err = edited(model, npz, tmp_path / "same", f"--prompt={SOURCE}", "--guidance=1")
  assert code == 0 and "index.html" in said, err
  source = read_arrays(movie)[0]
  same, _, info = arrays(tmp_path / "same", "a-red-seven")
  assert set(same) == {"sight", "touch"} and info["source_prompt"] == SOURCE and info["eta"] == 0.5
  for name, x in source.items():
    np.testing.assert_allclose(same[name], x, atol=1e-4)

  code, _, err = edited(model, npz, tmp_path / "other", f"--prompt={TARGET}", "--strength=.5", "--steps=6")
  assert code == 0, err
  other, _, info = arrays(tmp_path / "other", "a-red-two")
  assert (
    np.abs(other["sight"] - source["sight"]).max() > 1e-3
    and info["strength"] == 0.5
    and info["steps"] == 6
    and info["shift"]
  )
  page = (tmp_path / "other" / "index.html").read_text()
  assert page.count("<video") == 2 and "&lt;two&gt;" in page and "experiments.edit" in page
  assert "from noise" not in page and not re.findall(r'(?:src|href)="(?!data:)', page)


def test_a_video_is_read_at_the_size_of_the_model(model, movie, tmp_path):
  code, _, err = edited(model, movie.with_suffix(".mp4"), tmp_path, f"--prompt={TARGET}", "--steps=3")
  assert code == 0, err
  clip, _, _ = arrays(tmp_path, "a-red-two")
  assert set(clip) == {"sight", "touch"} and clip["sight"].shape == (4, 12, 12, 3)
  source, _, _ = arrays(tmp_path, "source")
  assert set(source) == {"sight"}
  assert np.abs(source["sight"] - read_arrays(movie)[0]["sight"]).mean() < 0.1


def test_a_clip_does_not_depend_on_its_batch(model, movie):
  clip = {name: np.repeat(x[None], 3, 0) for name, x in read_arrays(movie)[0].items()}
  many = edit(model, clip, [SOURCE] * 3, [TARGET] * 3, [0, 1, 2], steps=3, batch=2)
  one = edit(model, {n: x[:1] for n, x in clip.items()}, [SOURCE], [TARGET], [1], steps=3)
  np.testing.assert_allclose(many["sight"][1:2], one["sight"], atol=1e-4)
  assert np.abs(many["sight"][0] - many["sight"][1]).max() > 1e-3
  with pytest.raises(UserError, match="an edit of 3 clips needs as many of each; got 3 source prompts, 1 "):
    edit(model, clip, [SOURCE] * 3, [TARGET], [0, 1, 2])


@pytest.mark.parametrize(
  ("flags", "words"),
  [
    (["--strength=0"], "edit.strength=0.0"),
    (["--eta=1.5"], "edit.eta=1.5"),
    (["--steps=0"], "steps"),
    (["--prompt= "], "--prompt is empty"),
    (["--source_prompt=" + "long " * 99], "at most"),
    (["--workdir=autoencoder"], "autoencoder"),
  ],
)
def test_bad_settings_are_one_line_and_write_nothing(model, movie, tmp_path, flags, words):
  asked = [f"--prompt={TARGET}", *flags]
  code, said, err = edited(model, movie.with_suffix(".npz"), tmp_path / "out", *asked)
  assert code == 2 and not said and words in err and err.splitlines()[-1].startswith("error: "), err
  assert not (tmp_path / "out").exists()


def test_bad_inputs_are_one_line_and_write_nothing(model, movie, tmp_path):
  clip, senses, info = read_arrays(movie)
  described = {"senses": json.loads(movie.with_suffix(".json").read_text())["senses"], **info}
  bad = {
    "short": {"sight": clip["sight"][:2]},
    "wide": {"sight": clip["sight"] * 3},
    "nan": {"sight": clip["sight"] * np.nan},
    "strange": {"smell": np.zeros((4, 6), np.float32)},
  }
  for name, some in bad.items():
    np.savez(tmp_path / f"{name}.npz", **some)
    (tmp_path / f"{name}.json").write_text(json.dumps(described))
  (tmp_path / "empty.mp4").touch()
  (tmp_path / "half.mp4").write_bytes(movie.with_suffix(".mp4").read_bytes()[:900])
  words = {
    "short.npz": "has shape (2,",
    "wide.npz": "outside of [-1, 1]",
    "nan.npz": "outside of [-1, 1]",
    "strange.npz": "has no sense",
    "none.npz": "cannot read the arrays",
    "empty.mp4": "empty",
    "half.mp4": "half.mp4",
    "none.mp4": "none.mp4",
  }
  for name, said in words.items():
    with pytest.raises(UserError) as raised:
      read_clip(tmp_path / name, model)
    assert said in str(raised.value) and "\n" not in str(raised.value), name
  code, said, err = edited(model, tmp_path / "half.mp4", tmp_path / "out", f"--prompt={TARGET}")
  assert code == 2 and not said and "half.mp4" in err and not (tmp_path / "out").exists(), err
