"""In-painting by the program: a movie and a mask in, a filled movie and a page out; misuse is one line."""

import numpy as np
import pytest

from stale_jax.checkpoints.circuit_file import load_circuit
from stale_jax.checkpoints.weights import save_weights
from stale_jax.errors import UserError
from stale_jax.inpainting import Steer, inpaint
from stale_jax.masks import read_mask
from stale_jax.media import png, read_arrays, save_movie
from stale_jax.pipeline import load
from stale_jax.testing.models import drawn
from tests import micro
from tests.programs import finish

SMALL = ("--clips=32", "--states=6", "--epochs=1")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
  """Nothing is trained."""
  config = micro.config(times__independent=True)
  path = tmp_path_factory.mktemp("weights") / "model.safetensors"
  save_weights(path, drawn(config).params, config)
  return load(path)


@pytest.fixture(scope="module")
def movie(model, tmp_path_factory):
  """The stem of a movie as `Movie.save` writes it, with its video."""
  folder, clip = tmp_path_factory.mktemp("movie"), model.source[0]["clip"]
  senses = {name: model.source.senses[name] for name in ("sight", "touch")}
  save_movie(folder, "clip", {name: clip[name] for name in senses}, senses, {"prompt": ""})
  return folder / "clip"


@pytest.fixture(scope="module")
def circuit(tmp_path_factory):
  """A circuit file of the program, for clips like those of the model."""
  out = tmp_path_factory.mktemp("circuit") / "circuit.safetensors"
  sizes = [
    f"--config.{key}={value!r}"
    for key, value in micro.OVERRIDES.items()
    if key.startswith("source") or key == "senses"
  ]
  code, said, err = finish("circuit", "--config=configs/digits.py", f"--out={out}", *SMALL, *sizes)
  assert code == 0 and '"independent": -' in said.splitlines()[-1], err
  return out


def filled(model, path, out, *flags):
  return finish("generate", f"--workdir={model.name}", f"--input={path}", f"--out={out}", "--steps=3", *flags)


def arrays(folder):
  (path,) = folder.glob("*.npz")
  return read_arrays(path.with_suffix(""))


def test_half_of_a_movie_is_made_anew_with_a_circuit(model, movie, circuit, tmp_path):
  flags = ["--mask=left", f"--circuit={circuit}", "--prompt=a red seven moves left quickly"]
  code, said, err = filled(model, movie.with_suffix(".npz"), tmp_path, *flags)
  assert code == 0 and "index.html" in said, err
  source, (clip, _, info) = read_arrays(movie)[0], arrays(tmp_path)
  np.testing.assert_array_equal(clip["sight"][:, :, 6:], source["sight"][:, :, 6:])
  np.testing.assert_array_equal(clip["touch"], source["touch"])
  assert np.abs(clip["sight"] - source["sight"])[:, :, :6].max() > 0.1
  assert info["steer"] == "1 in 0.2 of the steps" and info["steps"] == 3
  assert (tmp_path / "rows.png").read_bytes().startswith(b"\x89PNG")


def test_a_video_gets_the_senses_that_it_lacks(model, movie, tmp_path):
  code, _, err = filled(model, movie.with_suffix(".mp4"), tmp_path, "--mask=touch,last:1")
  assert code == 0 and "anything" in err, err
  clip, _, _ = arrays(tmp_path)
  assert clip["touch"].shape == (4, 4) and np.abs(clip["touch"]).max() <= 1
  assert np.abs(clip["sight"][:3] - read_arrays(movie)[0]["sight"][:3]).mean() < 0.1


def test_a_clip_does_not_depend_on_its_batch_and_the_circuit_matters(model, movie, circuit):
  clip = {name: np.repeat(x[None], 3, 0) for name, x in read_arrays(movie)[0].items()}
  unknown = read_mask("right,touch", model.source.senses, 4)
  many = inpaint(model, clip, unknown, [""] * 3, [0, 1, 2], steps=3, batch=2)
  one = inpaint(model, {n: x[:1] for n, x in clip.items()}, unknown, [""], [1], steps=3)
  np.testing.assert_allclose(many["sight"][1:2], one["sight"], atol=1e-4)
  steered = inpaint(
    model,
    {n: x[:1] for n, x in clip.items()},
    unknown,
    [""],
    [1],
    circuit=load_circuit(circuit),
    steer=Steer(share=1.0),
    steps=3,
  )
  assert np.abs(steered["sight"] - one["sight"]).max() > 1e-2
  with pytest.raises(UserError, match="3 clips need as many prompts and seeds; got 1 prompts and 3 seeds"):
    inpaint(model, clip, unknown, [""], [0, 1, 2])


def test_known_frames_are_clean_where_frames_have_times(model, movie, monkeypatch):
  """A mask per frame becomes conditioning frames, in models that were trained with them."""
  clip = {name: x[None] for name, x in read_arrays(movie)[0].items()}
  seen = []
  monkeypatch.setattr(type(model), "sample", lambda self, *a, known, **kw: seen.append(known) or {})
  inpaint(model, clip, read_mask("last:2", model.source.senses, 4), [""], [0])
  inpaint(model, clip, read_mask("left", model.source.senses, 4), [""], [0])
  assert seen[0].clean.tolist() == [[True, True, False, False]] and not seen[1].clean.any()


def test_masks_in_files_and_words(model, tmp_path):
  senses = {name: model.source.senses[name] for name in ("sight", "touch")}
  picture = np.zeros((12, 12, 3), np.uint8)
  picture[:, :4] = 255
  (tmp_path / "m.png").write_bytes(png(picture))
  mask = read_mask(str(tmp_path / "m.png"), senses, 4)
  assert mask["sight"][:, :, :4].all() and not mask["sight"][:, :, 4:].any() and not mask["touch"].any()
  array = np.zeros((4, 12, 12), np.uint8)
  array[1, 2] = 1
  np.save(tmp_path / "m.npy", array)
  mask = read_mask(f"{tmp_path / 'm.npy'},touch", senses, 4)
  assert mask["sight"].sum() == 12 * 3 and mask["sight"][1, 2].all() and mask["touch"].all()
  assert read_mask("centre", senses, 4)["sight"].sum() == 4 * 6 * 6 * 3
  top, bottom = (read_mask(word, senses, 4)["sight"] for word in ("top", "bottom"))
  assert (top ^ bottom).all() and top[:, :6].all()
  first = read_mask("first:3", senses, 4)
  assert all(mask[:3].all() and not mask[3:].any() for mask in first.values())
  np.save(tmp_path / "wrong.npy", array[:2])
  for word, said in {
    str(tmp_path / "wrong.npy"): "frames, height, width",
    "lefft": "did you mean 'left'",
    "first:4": "give 1 to 3",
    "smell": "neither a file nor a word",
  }.items():
    with pytest.raises(UserError, match=said):
      read_mask(word, senses, 4)


@pytest.mark.parametrize(
  ("flags", "words"),
  [
    (["--mask=lefft"], "did you mean 'left'"),
    (["--mask=left", "--seconds=3"], "--seconds does not go with --input"),
    (["--mask=left", "--circuit=digits"], "the circuit"),
    (["--mask=left", "--circuit=none.safetensors"], "none.safetensors: fit one"),
    (["--mask=left", "--steer_weight=0.5"], "needs a circuit"),
    (["--mask=left", "--workdir=autoencoder"], "autoencoder"),
    ([], "--input needs --mask"),
  ],
)
def test_misuse_is_one_line_and_writes_nothing(model, movie, tmp_path, flags, words):
  code, said, err = filled(model, movie.with_suffix(".npz"), tmp_path / "out", *flags)
  assert code == 2 and not said and words in err and err.splitlines()[-1].startswith("error: "), err
  assert not (tmp_path / "out").exists()


def test_a_file_that_is_no_circuit_is_refused(tmp_path):
  (tmp_path / "x.safetensors").write_bytes(b"nothing")
  with pytest.raises(UserError, match="is not a circuit file"):
    load_circuit(tmp_path / "x.safetensors")
