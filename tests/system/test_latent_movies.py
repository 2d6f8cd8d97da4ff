"""From an autoencoder to movies in its space, by the programs."""

import json

import numpy as np
import pytest

from tests import micro
from tests.programs import finish

pytestmark = pytest.mark.slow

CODER = [
  "--config=configs/autoencoder_digits.py",
  "--config.source.canvas=16",
  "--config.source.frames=5",
  "--config.model.width=8",
  "--config.training.batch=4",
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
  folder = tmp_path_factory.mktemp("latents")
  code, _, err = finish("train", *CODER, f"--workdir={folder / 'coder'}", "--config.training.steps=30")
  assert code == 0, err
  config = (
    "from configs import latent_digits\n"
    "def get_config():\n"
    "  config = latent_digits.get_config()\n"
    f"  config.update_from_flattened_dict({_small(folder)!r})\n"
    "  return config\n"
  )
  (folder / "config.py").write_text(config)
  code, out, err = finish("train", f"--config={folder / 'config.py'}", f"--workdir={folder / 'model'}")
  assert code == 0, err
  assert "coding 32 clips" in out
  return folder


def _small(folder) -> dict:
  kept = ("model.", "training.", "sampling.")
  return {
    **{key: value for key, value in micro.OVERRIDES.items() if key.startswith(kept)},
    "senses": ("sight", "touch"),
    "source.source.canvas": 16,
    "source.source.frames": 5,
    "source.autoencoder": str(folder / "coder"),
    "source.cache": str(folder / "cache"),
    "source.size": 32,
    "training.steps": 8,
  }


def test_an_autoencoder_is_measured(runs):
  sheet = runs / "sheet.png"
  arguments = ("--suite=reconstruction", "--clips=8", f"--sheet={sheet}")
  code, out, err = finish("evaluate", f"--workdir={runs / 'coder'}", *arguments)
  assert code == 0, err
  said = json.loads(out.splitlines()[-1])
  assert said["latent"] == [3, 4, 4, 4] and said["psnr"] == pytest.approx(10 * np.log10(4 / said["mse"]))
  assert said["over_pca"] == pytest.approx(said["mse"] / said["pca"]) and said["nats"] > 0
  assert sheet.stat().st_size > 100


def test_movies_are_made_in_its_space_and_shown_in_pixels(runs):
  prompt = "--prompt=a red seven moves left quickly"
  out = runs / "movies"
  code, _, err = finish("generate", f"--workdir={runs / 'model'}", prompt, f"--out={out}", "--seconds=1.1")
  assert code == 0, err
  (arrays,) = out.rglob("*.npz")
  with np.load(arrays) as clip:
    assert clip["sight"].shape == (9, 16, 16, 3) and clip["touch"].shape == (9, 4)
  code, said, err = finish("evaluate", f"--workdir={runs / 'model'}", "--suite=captions", "--clips=8")
  assert code == 0, err
  assert json.loads(said.splitlines()[-1])["clips"] == 8


@pytest.mark.parametrize(
  ("program", "which", "words"),
  [
    (("evaluate", "--suite=captions"), "coder", "is an autoencoder"),
    (("evaluate", "--suite=reconstruction"), "model", "is not an autoencoder"),
    (("generate", "--prompt=a red seven", "--out=nowhere"), "coder", "is an autoencoder"),
  ],
)
def test_each_is_taken_for_what_it_is(runs, program, which, words):
  code, out, err = finish(*program, f"--workdir={runs / which}")
  assert code == 2 and not out and words in err and err.count("\n") == 1
