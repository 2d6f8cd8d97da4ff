"""A model that was trained to go on from pictures, by the programs."""

import numpy as np
import pytest

from stale_jax.checkpoints.weights import load_weights, save_weights
from stale_jax.files import write_whole
from stale_jax.media import png
from tests import micro
from tests.programs import finish

PROMPT = "--prompt=a red seven moves left quickly"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  folder = tmp_path_factory.mktemp("first")
  code, _, err = finish(
    "train", *micro.arguments(folder, training__steps=8, ema__snapshots=0, first__share=0.5)
  )
  assert code == 0, err
  picture = np.zeros((24, 36, 3), np.uint8)
  picture[:, 6:30] = (255, 0, 0)  # What is left when its middle is cut out.
  write_whole(folder / "red.png", png(picture))
  return folder


def test_movies_begin_with_the_picture(run, tmp_path):
  first = f"--first_frame={run / 'red.png'}"
  code, _, err = finish("generate", f"--workdir={run}", PROMPT, first, f"--out={tmp_path}")
  assert code == 0, err
  (path,) = tmp_path.rglob("*.npz")
  with np.load(path) as clip:
    np.testing.assert_allclose(clip["sight"][0], np.broadcast_to((1, -1, -1), (12, 12, 3)), atol=0.05)
    assert np.abs(clip["sight"][1] - clip["sight"][0]).max() > 0.1
    assert (clip["touch"][0] == -1).all() and not (clip["touch"][1] == -1).all()


@pytest.mark.parametrize(
  ("weights", "picture", "words"),
  [
    ("whole.safetensors", "red.png", "was not trained to continue"),
    ("weights.safetensors", "nothing.png", "cannot be read as a picture"),
    ("weights.safetensors", "config.json", "cannot be read as a picture"),
  ],
)
def test_misuse_is_one_line(run, tmp_path, weights, picture, words):
  save_weights(run / "whole.safetensors", load_weights(run / "weights.safetensors")[0], micro.config())
  model, out = f"--workdir={run / weights}", tmp_path / "out"
  code, said, err = finish("generate", model, PROMPT, f"--first_frame={run / picture}", f"--out={out}")
  assert code == 2 and not said and words in err and err.count("\n") == 1, err
  assert not out.exists()
