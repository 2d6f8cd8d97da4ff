"""Teleport and sizes by the programs: a file is measured and used; misuse is one line and writes nothing."""

import pytest

from stale_jax.checkpoints.weights import save_weights
from stale_jax.media import read_arrays
from stale_jax.testing.models import drawn
from tests import micro
from tests.programs import finish

PROMPT = "--prompt=a red seven moves left quickly"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
  """Nothing is trained."""
  config = {**micro.config(), "process": {"name": "gaussian_flow"}}
  path = tmp_path_factory.mktemp("weights") / "model.safetensors"
  save_weights(path, drawn(config).params, config)
  return path


def test_a_movie_is_made_from_a_measured_file_at_another_size(weights, tmp_path):
  file, out = tmp_path / "teleport.safetensors", tmp_path / "out"
  code, said, err = finish("teleport", f"--workdir={weights}", f"--out={file}", "--clips=20", "--rank=4")
  assert code == 0 and "20 clips, 4 components" in said and file.stat().st_size < 30_000, err
  flags = (f"--workdir={weights}", PROMPT, f"--out={out}", "--steps=4")
  code, _, err = finish("generate", *flags, f"--teleport={file}", "--teleport_share=.5")
  assert code == 0 and len(list(out.glob("*.mp4"))) == 1, err

  code, _, err = finish("generate", *flags, f"--teleport={file}", "--height=16", f"--out={tmp_path / 'no'}")
  assert code == 2 and "was measured for senses" in err and not (tmp_path / "no").exists(), err
  code, _, err = finish("generate", *flags, "--height=16", "--width=20", f"--out={tmp_path / 'wide'}")
  assert code == 0, err
  (path,) = (tmp_path / "wide").glob("*.npz")
  assert read_arrays(path.with_suffix(""))[0]["sight"].shape == (4, 16, 20, 3)


@pytest.mark.parametrize(
  ("program", "flags", "words"),
  [
    ("teleport", ("--workdir=digits",), "UniformFlow, which has no closed form"),
    ("teleport", ("--workdir=digits", "--rank=0"), "teleport.rank=0"),
    ("generate", ("--workdir=digits", PROMPT, "--teleport=none"), "UniformFlow, which has no closed form"),
    ("generate", ("--workdir=digits", PROMPT, "--width=18"), "width=18 must be a multiple of 4"),
  ],
)
def test_misuse_is_one_line_and_writes_nothing(tmp_path, program, flags, words):
  code, said, err = finish(program, *flags, f"--out={tmp_path / 'out'}")
  assert code == 2 and not said and words in err and err.splitlines()[-1].startswith("error: "), err
  assert not (tmp_path / "out").exists()
