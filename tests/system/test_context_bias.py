"""A model with a bias of context, by the programs: it is trained, makes movies and edits one."""

import json

import numpy as np
import pytest

from stale_jax.checkpoints.weights import load_weights
from stale_jax.config import build
from stale_jax.errors import UserError
from stale_jax.media import save_movie
from stale_jax.pipeline import load
from tests import micro
from tests.programs import finish

BIASED = {"model__relation_width": 8, "training__steps": 12, "ema__snapshots": 0}
PROMPT = "a red seven moves left quickly"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  folder = tmp_path_factory.mktemp("biased")
  code, _, err = finish("train", *micro.arguments(folder, **BIASED))
  assert code == 0, err
  return folder


def test_training_fits_the_relation_and_logs_its_size(run):
  lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
  assert lines[0]["bias"] < lines[-1]["bias"] < 1
  params, config = load_weights(run / "weights.safetensors")
  assert config["model"]["relation_width"] == 8
  assert any(np.any(x) for x in params["params"]["relation"]["sight_out"]["dense"].values())


def test_a_movie_and_an_edit_depend_on_the_relation(run, tmp_path):
  model = load(run)
  plain = model.sample([PROMPT], [0])
  other = load(run)
  out = other.params["params"]["relation"]["sight_out"]["dense"]
  out["bias"] = out["bias"] + 2.0
  assert np.abs(other.sample([PROMPT], [0])["sight"] - plain["sight"]).max() > 1e-3
  code, _, err = finish("generate", f"--workdir={run}", f"--prompt={PROMPT}", f"--out={tmp_path / 'made'}")
  assert code == 0, err
  with np.load(next((tmp_path / "made").glob("*.npz"))) as made:
    np.testing.assert_allclose(made["sight"], plain["sight"][0], atol=1e-4)

  clip = {name: model.source[0]["clip"][name] for name in ("sight", "touch")}
  save_movie(tmp_path, "clip", clip, {name: model.source.senses[name] for name in clip}, {"prompt": ""})
  flags = [f"--workdir={run}", f"--input={tmp_path / 'clip.npz'}", f"--prompt={PROMPT}"]
  code, _, err = finish("edit", *flags, "--strength=0.5", f"--out={tmp_path / 'edited'}")
  assert code == 0, err
  prompts = {path: json.loads(path.read_text())["prompt"] for path in (tmp_path / "edited").glob("*.json")}
  (edited,) = (path for path, prompt in prompts.items() if prompt == PROMPT)
  with np.load(edited.with_suffix(".npz")) as arrays:
    assert 0.01 < np.abs(arrays["sight"] - clip["sight"]).mean() and np.abs(arrays["sight"]).max() <= 1


@pytest.mark.parametrize(
  ("program", "flags", "words"),
  [
    ("generate", [f"--prompt={PROMPT}", "--solver=heun", "--out={out}"], "DDIM alone"),
    ("classify", ["--input={clip}", f"--prompt={PROMPT}", "--prompt=a"], "bias of context"),
    ("evaluate", ["--suite=denoising", "--clips=2"], "bias of context"),
    ("edit", ["--input={clip}", f"--prompt={PROMPT}", "--out={out}"], "touch is missing"),
  ],
)
def test_what_has_no_bias_is_refused_in_one_line(run, tmp_path, program, flags, words):
  model = load(run)
  sight = {"sight": model.source[0]["clip"]["sight"]}
  save_movie(tmp_path, "clip", sight, {"sight": model.source.senses["sight"]}, {"prompt": ""})
  filled = [flag.format(out=tmp_path / "out", clip=tmp_path / "clip.npz") for flag in flags]
  code, said, err = finish(program, f"--workdir={run}", *filled)
  assert code == 2 and not said and words in err and err.splitlines()[-1].startswith("error: "), err
  assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
  ("overrides", "words"),
  [
    ({"process__name": "reflected"}, "mixes data with noise"),
    ({"first__share": 0.5}, "made as a whole"),
    ({"model__causal": True}, "model.causal=False"),
    ({"model__relation_width": 6}, "multiple of 4"),
  ],
)
def test_configs_that_cannot_have_a_bias_are_refused(overrides, words):
  with pytest.raises(UserError, match=words):
    build(micro.config(**{**BIASED, **overrides}))
