"""Stories by the program: panels, transitions, a page with nothing outside it."""

import re

import numpy as np
import pytest

from stale_jax.checkpoints.weights import save_weights
from stale_jax.testing.models import drawn
from tests import micro
from tests.programs import finish

PROMPTS = ("a red seven moves left quickly", "a blue seven <moves> left quickly", "a red seven")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
  """Of pictures that the motion predictor knows; nothing is trained."""
  config = micro.config(source__canvas=16)
  path = tmp_path_factory.mktemp("weights") / "model.safetensors"
  save_weights(path, drawn(config).params, config)
  return path


def story(weights, out, *flags):
  prompts = [f"--prompt={prompt}" for prompt in PROMPTS]
  return finish("story", f"--workdir={weights}", *prompts, f"--out={out}", *flags)


def test_a_page_of_panels_and_transitions(weights, tmp_path):
  code, said, err = story(weights, tmp_path / "seen", "--tile=2", "--rate=0.3")
  assert code == 0 and "3 panel(s)" in said, err
  page = (tmp_path / "seen" / "index.html").read_text()
  assert page.count("<video") == 3 and page.count('class="panel"') == 3 * 4
  assert page.count('class="on"') == 2 * 7
  assert "&lt;moves&gt;" in page and "rate 0.3" in page and "experiments.story" in page
  assert not re.findall(r'(?:src|href)="(?!data:)', page)

  assert story(weights, tmp_path / "alone", "--rate=0")[0] == 0
  first = sorted((tmp_path / "seen").glob("*.npz")), sorted((tmp_path / "alone").glob("*.npz"))
  assert [path.name for path in first[0]] == [path.name for path in first[1]] and len(first[0]) == 3
  for seen, alone in zip(*first, strict=True):
    with np.load(seen) as a, np.load(alone) as b:
      assert np.abs(a["sight"] - b["sight"]).max() > 1e-3


@pytest.mark.parametrize(
  ("flags", "words"), [(["--rate=2"], "rate=2.0"), (["--tile=1"], "tile"), (["--prompt="], "prompt is empty")]
)
def test_misuse_is_one_line_and_writes_nothing(weights, tmp_path, flags, words):
  code, said, err = story(weights, tmp_path / "out", *flags)
  assert code == 2 and not said and words in err and err.count("\n") == 1, err
  assert not (tmp_path / "out").exists()
