"""The search for a prior by its program, and movies with it; misuse is one line and writes nothing."""

import json

import numpy as np
import pytest
from safetensors import safe_open

from stale_jax.checkpoints.weights import save_weights
from stale_jax.evaluation.rewards import build_reward, liveliness
from stale_jax.media import read_arrays
from stale_jax.testing.models import drawn
from tests import micro
from tests.programs import finish

PROMPT = "a red seven moves left quickly"
# Rewards clips that are bright, by their name alone.
BRIGHT = (
  "def bright(clips):\n  return clips['sight'].mean((1, 2, 3, 4))\n\ndef scalar(clips):\n  return 1.0\n"
)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
  """Nothing is trained."""
  config = micro.config()
  path = tmp_path_factory.mktemp("weights") / "model.safetensors"
  save_weights(path, drawn(config).params, config)
  return path


def arrays(folder):
  (path,) = folder.glob("*.npz")
  return read_arrays(path.with_suffix(""))


def test_a_prior_is_found_for_a_function_and_movies_are_made_with_it(weights, tmp_path):
  (tmp_path / "my_reward.py").write_text(BRIGHT)
  out, place = tmp_path / "prior.safetensors", {"PYTHONPATH": str(tmp_path)}
  flags = [f"--workdir={weights}", f"--prompt={PROMPT}", "--steps=2", "--guidance=1"]
  more = ["--reward=my_reward:bright", "--calls=64", f"--out={out}", f"--sheet={tmp_path}/s.png"]
  code, said, err = finish("find", *flags, *more, **place)
  assert code == 0 and str(out) in said, err
  assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")
  with safe_open(out, framework="numpy") as file:
    about, names = json.loads(file.metadata()["about"]), set(file.keys())
  assert about["reward"] == "my_reward:bright" and about["calls"] == 64 and len(about["rewards"]) == 2
  assert names == {f"{part}/{sense}" for part in ("mean", "log_std") for sense in ("sight", "touch")}

  for name, prior in (("tuned", [f"--prior={out}"]), ("plain", [])):
    code, _, err = finish("generate", *flags, *prior, f"--out={tmp_path / name}")
    assert code == 0, err
  (tuned, _, info), (plain, _, _) = arrays(tmp_path / "tuned"), arrays(tmp_path / "plain")
  assert info["prior"] == str(out) and np.abs(tuned["sight"] - plain["sight"]).max() > 1e-3

  code, said, err = finish("find", *flags, "--reward=my_reward:scalar", f"--out={out}2.safetensors", **place)
  assert code == 2 and "array () for 32 clips" in err.splitlines()[-1] and not said, err


@pytest.mark.parametrize(
  ("flags", "words"),
  [
    (["--reward=digit:eleven"], "unknown class in --reward=digit:eleven: did you mean 'seven'?"),
    (["--reward=beauty"], "unknown --reward=beauty"),
    (["--reward=no_such_module:f"], "cannot import no_such_module"),
    (["--reward=json:f"], "json has no function f"),
    (["--calls=8"], "find.calls=8"),
    (["--senses=smell"], "coarse.senses=['smell']"),
    (["--out=prior.bin"], "must end in .safetensors"),
    (["--workdir=autoencoder"], "autoencoder"),
  ],
)
def test_bad_settings_are_one_line_and_write_nothing(weights, tmp_path, flags, words):
  out = tmp_path / "prior.safetensors"
  usual = [f"--workdir={weights}", f"--prompt={PROMPT}", "--reward=liveliness", f"--out={out}"]
  code, said, err = finish(
    "find", *usual, *flags, cwd=tmp_path, PYTHONPATH=str(micro.__file__).rpartition("/tests")[0]
  )
  assert code == 2 and not said and words in err and err.splitlines()[-1].startswith("error: "), err
  assert not list(tmp_path.iterdir())


def test_the_rewards_of_real_clips(weights):
  source = drawn(micro.config()).source
  examples = [source[i] for i in range(24)]
  clips = {"sight": np.stack([example["clip"]["sight"] for example in examples])}
  is_red = np.array([example["labels"]["colour"] == 0 for example in examples])
  red = build_reward("colour:red", source)(clips)
  assert red.shape == (24,) and (red <= 0).all() and 0 < is_red.sum() < 24
  assert red[is_red].min() > np.log(0.5) > red[~is_red].max()
  still = {"sight": np.repeat(clips["sight"][:, :1], 4, 1)}
  moving = liveliness(clips)
  assert moving.shape == (24,) and moving.mean() > 0.1 and liveliness(still).max() < 0.05
