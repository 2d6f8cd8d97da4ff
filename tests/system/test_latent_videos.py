"""From a folder of videos to a movie made in an autoencoder's space, by the programs."""

import json

import numpy as np
import pytest

from stale_jax.data.decode.video import probe
from tests import micro
from tests.data.clips import encode
from tests.programs import finish

pytestmark = pytest.mark.slow

VIDEOS = 8
SMALL = ("--config.training.batch=4", "--config.training.steps=4", "--config.training.log_every=1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  folder = tmp_path_factory.mktemp("videos")
  for number in range(VIDEOS):
    # Every other one has sound.
    encode(folder / f"{number}.mp4", frames=20, tones=(440,) if number % 2 else ())
  return folder


def test_a_folder_becomes_movies_by_way_of_latents(folder, tmp_path):
  sizes = {"height": 16, "width": 16, "held_out": 0.5}

  def run(name, *arguments):
    code, out, err = finish(name, *arguments)
    assert code == 0, err
    return out

  coder = ("--config=configs/autoencoder_videos.py", f"--workdir={tmp_path / 'coder'}")
  source = [f"--config.source.{key}={value}" for key, value in {**sizes, "path": folder}.items()]
  run("train", *coder, *source, "--config.model.width=8", *SMALL)
  sheet = f"--sheet={tmp_path / 'coded.png'}"
  said = run("evaluate", f"--workdir={tmp_path / 'coder'}", "--suite=reconstruction", "--clips=4", sheet)
  assert json.loads(said.splitlines()[-1])["latent"] == [5, 4, 4, 4]

  values = micro.SIZES | {f"source.source.{key}": value for key, value in {**sizes, "path": folder}.items()}
  values |= {"source.autoencoder": tmp_path / "coder", "source.cache": tmp_path / "cache", "source.size": 12}
  latent = ("--config=configs/latent_videos.py", f"--workdir={tmp_path / 'model'}")
  said = run("train", *latent, *(f"--config.{key}={value}" for key, value in values.items()), *SMALL)
  assert "coding 12 clips" in said
  out = ("--prompt=colours", f"--out={tmp_path / 'movies'}", "--steps=2")
  run("generate", f"--workdir={tmp_path / 'model'}", *out)
  (arrays,), (video,) = ((tmp_path / "movies").rglob(f"*.{ending}") for ending in ("npz", "mp4"))
  with np.load(arrays) as clip:
    assert clip["sight"].shape == (9, 16, 16, 3) and clip["sound"].shape == (9, 12)
  assert probe(video).has_sound and probe(video).rate == 8
