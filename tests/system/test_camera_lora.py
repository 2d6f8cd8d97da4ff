"""The way from clips of a moving camera to an adapter and a sheet of clips, by the programs."""

import numpy as np
import pytest

from stale_jax.media import read_picture
from tests import micro
from tests.programs import finish


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
  """A run of a small model of digits, and a LoRA of it for a camera that pans, of a few steps each."""
  folder = tmp_path_factory.mktemp("runs")
  short = {"training__steps": 2, "training__checkpoint_every": 2, "ema__snapshots": 0}
  base, lora = folder / "base", folder / "lora"
  filmed = {"source__name": "filmed", "source__motions": ("pan_left",)}
  adapter = {"adapter__name": "lora", "optimizer__name": "adamw", "optimizer__learning_rate": 1.0}
  more = {**filmed, **adapter, "training__init_from": base}
  for workdir, overrides in ((base, short), (lora, {**short, **more})):
    code, _, err = finish("train", *micro.arguments(workdir, **overrides))
    assert code == 0, err
  return base, lora


def test_a_sheet_has_a_row_without_and_one_with_the_adapter(runs, tmp_path):
  base, lora = runs
  out = tmp_path / "sheets" / "camera.png"
  flags = f"--workdir={base}", f"--adapters={lora}:0", f"--adapters={lora}:100", f"--out={out}"
  code, said, err = finish("sheet", *flags, "--prompt=a red seven moves up slowly")
  assert code == 0 and said.startswith(f"wrote {out}"), err
  # Three rows of four frames of 12 pixels, four times as large, with grey lines between them.
  picture = read_picture(out, 4 * (3 * 12 + 2), 4 * (4 * 12 + 3))
  # The gates of a model after so few steps are closed: no adapter changes its clips.
  plain, off = (picture[52 * row : 52 * row + 48] for row in range(2))
  np.testing.assert_array_equal(off, plain)


def test_misuse_is_one_line(tmp_path):
  code, out, err = finish(
    "sheet", "--prompt=a red seven", "--adapters=nowhere", f"--out={tmp_path / 'a.png'}"
  )
  assert code == 2 and not out and err.startswith("error: ") and err.count("\n") == 1
  assert not (tmp_path / "a.png").exists()
