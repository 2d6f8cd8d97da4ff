"""Latents of another source: coded once, kept under a name of their own, undone again."""

import jax
import numpy as np
import pytest

from configs import latent_digits
from stale_jax.checkpoints.named import DIGITS as WEIGHTS
from stale_jax.checkpoints.weights import save_weights
from stale_jax.config import build
from stale_jax.config.latents import build_latents
from stale_jax.data import Digits
from stale_jax.errors import UserError
from stale_jax.training.initial import init_params

DIGITS = {"name": "digits", "canvas": 16, "frames": 5, "patch": 1}
CODER = {
  "senses": ("sight",),
  "source": DIGITS,
  "model": {"name": "autoencoder", "width": 8, "channels": 3},
  "objective": {"adversarial": 0.5},
}


@pytest.fixture(scope="module")
def coders(tmp_path_factory):
  folder = tmp_path_factory.mktemp("coders")
  experiment = build(CODER)
  for seed in range(2):
    params = init_params(experiment, jax.random.key(seed))
    save_weights(folder / f"{seed}.safetensors", params, CODER)
  return folder


def latents(coders, cache, seed=0, **fields):
  path = str(coders / f"{seed}.safetensors")
  return build_latents({"source": DIGITS, "autoencoder": path, "cache": str(cache), "size": 40, **fields})


def test_an_example_is_the_sources_coded(coders, tmp_path):
  source = latents(coders, tmp_path)
  coder, params = source.codec.network, source.codec.params
  low, high = source.box
  for index in (0, 39):
    example, real = source[index], source.pixels[index]
    assert {k: v for k, v in example.items() if k != "clip"} == {k: v for k, v in real.items() if k != "clip"}
    z = np.clip(coder.apply(params, real["clip"]["sight"][None], method="encode"), low, high)
    want = (z - (high + low) / 2) / ((high - low) / 2)
    np.testing.assert_allclose(example["clip"]["sight"], want[0], atol=2e-3)  # Kept in 16 bits.
    back = source.decode({name: x[None] for name, x in example["clip"].items()})
    for name, x in real["clip"].items():
      if name != "sight":
        np.testing.assert_allclose(back[name][0], x, atol=1e-3)
    np.testing.assert_allclose(back["sight"], coder.apply(params, z, method="decode"), atol=5e-3)


def test_latents_fill_the_box(coders, tmp_path):
  source = latents(coders, tmp_path)
  clips = np.stack([source.pixels[i]["clip"]["sight"] for i in range(256)])
  z = source.encode({"sight": clips})["sight"]
  assert np.abs(z).max() == 1
  for side in (-1, 1):
    np.testing.assert_allclose((z == side).mean((0, 1, 2, 3)), 1e-3, atol=3e-4)
  # The box is of the training clips, whatever the split, and of its autoencoder alone.
  np.testing.assert_array_equal(latents(coders, tmp_path, split="test", size=8).box, source.box)
  np.testing.assert_array_equal(latents(coders, tmp_path / "elsewhere").box, source.box)
  assert np.abs(latents(coders, tmp_path, seed=1).box - source.box).max() > 1e-3


def test_not_every_clip_needs_every_sense(coders, tmp_path, monkeypatch):
  source = latents(coders, tmp_path, size=6)
  read = type(source.pixels).__getitem__

  def some(self, index):
    example = read(self, index)
    return {**example, "clip": {k: v for k, v in example["clip"].items() if k != "touch" or index % 2}}

  monkeypatch.setattr(type(source.pixels), "__getitem__", some)
  assert ["touch" in source[i]["clip"] for i in range(6)] == [False, True] * 3
  want = latents(coders, tmp_path / "all").encode({"touch": source.pixels[3]["clip"]["touch"][None]})["touch"]
  np.testing.assert_allclose(source[3]["clip"]["touch"], want[0], atol=1e-3)


def test_senses_are_those_of_what_is_given(coders, tmp_path):
  source = latents(coders, tmp_path, patch=2)
  example = source[3]["clip"]
  assert source.senses["sight"].shape == (4, 4, 3) and source.senses["sight"].grid(source.frames) == (3, 2, 2)
  for name, sense in source.senses.items():
    assert example[name].shape == (source.frames, *sense.shape) and sense.rate == 4.0
    assert np.abs(example[name]).max() <= 1
  assert source.length(5) == 3 and source.length(6) == 4 and source.length(1) == 1


def test_clips_are_coded_once_for_each_autoencoder(coders, tmp_path, capsys):
  first = latents(coders, tmp_path)[7]["clip"]["sight"]
  assert "coding 40 clips" in capsys.readouterr().out
  np.testing.assert_array_equal(latents(coders, tmp_path)[7]["clip"]["sight"], first)
  assert not capsys.readouterr().out
  assert np.abs(latents(coders, tmp_path, seed=1)[7]["clip"]["sight"] - first).max() > 0.01
  assert np.abs(latents(coders, tmp_path, split="test")[7]["clip"]["sight"] - first).max() > 0.01
  assert len(list(tmp_path.glob("*.array_record"))) == 3 and not list(tmp_path.glob("*.partial"))


def test_what_cannot_code_is_refused(coders, tmp_path):
  with pytest.raises(UserError, match="is not an autoencoder"):
    build_latents({"source": DIGITS, "autoencoder": str(WEIGHTS)})
  with pytest.raises(UserError, match="no weights at"):
    build_latents({"source": DIGITS, "autoencoder": str(tmp_path / "nothing")})
  with pytest.raises(UserError, match="must divide"):
    latents(coders, tmp_path, patch=3)
  with pytest.raises(UserError, match="source.cache=gs://bucket/x is an address"):
    latents(coders, "gs://bucket/x")


def test_what_is_cached_keeps_its_name(tmp_path):
  # Of the first releases: a model trained on cached latents finds their box where it was, without its data.
  section = latent_digits.get_config().source.to_dict()
  source = build_latents({**section, "cache": str(tmp_path)})
  assert source._name(source.source.fingerprint) == "55ec9e0fd1be12cc"


def test_a_model_of_latents_decodes_without_its_data(coders, tmp_path, monkeypatch):
  box = latents(coders, tmp_path).box

  def gone(self, index):
    raise OSError("no data")

  monkeypatch.setattr(Digits, "__getitem__", gone)
  source = latents(coders, tmp_path)
  clip = source.decode({"sight": np.zeros((1, 3, 4, 4, 3), np.float32)})
  assert clip["sight"].shape == (1, 5, 16, 16, 3)
  np.testing.assert_array_equal(source.box, box)
  # Where there is no cache, data must be there.
  with pytest.raises(OSError, match="no data"):
    latents(coders, tmp_path / "new").decode({"sight": np.zeros((1, 3, 4, 4, 3), np.float32)})
