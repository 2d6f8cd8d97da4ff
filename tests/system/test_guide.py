"""Guidance by an energy, by the program: movies, a page, and one line for what is wrong."""

import jax.numpy as jnp
import numpy as np
import pytest

from stale_jax.checkpoints.weights import save_weights
from stale_jax.guidance_by_energy import guide_by_energy
from stale_jax.media import read_arrays
from stale_jax.pipeline import load
from stale_jax.sampling.editing import Langevin
from stale_jax.testing.models import drawn
from tests import micro
from tests.programs import finish

ENERGIES = """
import jax.numpy as jnp
import numpy as np

def dark(clip):
  return jnp.square(clip["sight"] + 1).mean((1, 2, 3, 4))

def one(clip):
  return jnp.float32(0)

def smell(clip):
  return clip["smell"].mean((1, 2))

def slow(clip):
  return np.asarray(clip["sight"]).mean((1, 2, 3, 4))

def broken(clip):
  return jnp.nan * dark(clip)
"""
PROMPT = "a red seven moves left quickly"
STEM = "-".join(PROMPT.split())


@pytest.fixture(scope="module")
def path(tmp_path_factory):
  """Weights of a model; nothing is trained."""
  folder = tmp_path_factory.mktemp("weights")
  (folder / "energies.py").write_text(ENERGIES)
  config = micro.config()
  save_weights(folder / "model.safetensors", drawn(config).params, config)
  return folder / "model.safetensors"


def guided(path, out, energy, *flags):
  short = ("--iterations=3", "--steps=2")
  where = f"--workdir={path}", f"--prompt={PROMPT}", f"--out={out}", f"--energy={energy}"
  return finish("guide", *where, *(flags or short), cwd=path.parent)


def test_the_movies_and_those_from_which_they_began(path, tmp_path):
  code, said, err = guided(
    path, tmp_path / "out", "energies:dark", "--iterations=3", "--steps=2", "--weight=50"
  )
  assert code == 0 and "mean energy" in said, err
  after, before = (read_arrays(tmp_path / "out" / f"{name}-0") for name in (STEM, f"before-{STEM}"))
  assert after[2]["weight"] == 50 and after[2]["iterations"] == 3 and before[2]["solver"] == "euler"
  assert set(after[0]) == set(before[0]) and np.abs(after[0]["sight"] - before[0]["sight"]).max() > 1e-3
  page = (tmp_path / "out" / "index.html").read_text()
  assert page.count("<video") == 2 and "energies:dark" in page

  model = load(path)
  plain = model.sample([PROMPT], [0], solver="euler", how="all_frames", steps=2)
  np.testing.assert_allclose(before[0]["sight"], plain["sight"][0], atol=1e-5)


def test_a_clip_does_not_depend_on_the_others(path):
  def dark(clip):
    return jnp.square(clip["sight"] + 1).mean((1, 2, 3, 4))

  model, settings = load(path), Langevin(iterations=2)
  both = guide_by_energy(model, [PROMPT, ""], [3, 4], dark, settings, steps=2)
  alone = guide_by_energy(model, [""], [4], dark, settings, steps=2)
  np.testing.assert_allclose(both.clip["sight"][1], alone.clip["sight"][0], atol=1e-4)
  np.testing.assert_allclose(both.energies[:, 1], alone.energies[:, 0], atol=1e-4)
  assert both.energies.shape == (3, 2) and both.norms.shape == (2,)


@pytest.mark.parametrize(
  "energy, flags, said",
  [
    ("energies", (), "MODULE:FUNCTION"),
    ("nowhere:dark", (), "cannot import nowhere"),
    ("energies:light", (), "no function light"),
    ("energies:one", (), "one number per clip"),
    ("energies:smell", (), "the clips have sight"),
    ("energies:slow", (), "jax.numpy"),
    ("energies:broken", ("--iterations=1", "--steps=1"), "NaN"),
    ("energies:dark", ("--size=1",), "size"),
    ("energies:dark", ("--iterations=0",), "iterations"),
  ],
)
def test_misuse_is_one_line(path, tmp_path, energy, flags, said):
  code, _, err = guided(path, tmp_path / "out", energy, *flags)
  last = err.strip().splitlines()[-1]
  assert code == 2 and last.startswith("error:") and said in last and "Traceback" not in err
  assert not (tmp_path / "out").exists()
