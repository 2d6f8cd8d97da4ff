"""Classification by the program: a video or arrays in, a JSON line out; misuse is one line."""

import json

import pytest

from stale_jax.checkpoints.weights import save_weights
from stale_jax.media import save_movie
from stale_jax.pipeline import load
from stale_jax.testing.models import drawn
from tests import micro
from tests.programs import finish

PROMPTS = ["a red seven moves left quickly", "a red <two> moves left quickly", "a cat"]


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
  save_movie(folder, "clip", {name: clip[name] for name in senses}, senses, {"prompt": PROMPTS[0]})
  return folder / "clip"


def classified(model, *flags, prompts=PROMPTS):
  return finish("classify", f"--workdir={model.name}", *(f"--prompt={p}" for p in prompts), *flags)


def test_a_line_for_each_input(model, movie, tmp_path):
  plot = tmp_path / "new" / "plot.svg"
  inputs = [f"--input={movie}.{ending}" for ending in ("npz", "mp4")]
  code, said, err = classified(model, *inputs, "--seed=3", f"--plot={plot}")
  assert code == 0, err
  arrays, video = map(json.loads, said.splitlines())
  for found in (arrays, video):
    p = [each["probability"] for each in found["posterior"]]
    assert [each["prompt"] for each in found["posterior"]] == PROMPTS
    assert sum(p) == pytest.approx(1) and found["prompt"] == PROMPTS[p.index(max(p))]
    assert min(found["gaps"]) == 0 and found["evaluations"] <= 3 * 16 and found["seed"] == 3
  assert arrays["senses"] == ["sight", "touch"] and video["senses"] == ["sight"]
  drawn_plot = plot.read_text()
  assert drawn_plot.count("<image") == 2 and drawn_plot.count("&lt;two&gt;") == 2
  assert drawn_plot.count('class="on"') == 6

  flags = ("--senses=sight", "--temperature=100", "--seed=3", inputs[0])
  code, said, err = classified(model, *flags)
  assert code == 0, err
  found = json.loads(said)
  assert found["senses"] == ["sight"] and found["settings"]["temperature"] == 100
  assert found["posterior"][0]["probability"] == pytest.approx(1 / 3, abs=0.01)
  assert found["gaps"] != arrays["gaps"]


@pytest.mark.parametrize(
  ("flags", "prompts", "words"),
  [
    (["--senses=sight,smell"], PROMPTS, "has no sense 'smell'; its senses are sight, touch"),
    (["--temperature=0"], PROMPTS, "classification.temperature=0.0"),
    ([], PROMPTS[:1], "two or more prompts"),
    ([], [*PROMPTS, "long " * 99], "at most"),
    ([], [], "--prompt is missing"),
    (["--senses=touch", "--plot=x.svg"], PROMPTS, "--plot needs inputs with sight"),
    (["--input=nothing.mp4"], PROMPTS, "nothing.mp4"),
  ],
)
def test_misuse_is_one_line(model, movie, flags, prompts, words):
  code, said, err = classified(model, f"--input={movie}.npz", *flags, prompts=prompts)
  assert code == 2 and not said and "Traceback" not in err
  assert words in err.splitlines()[-1]
