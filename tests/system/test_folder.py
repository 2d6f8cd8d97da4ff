"""The training program on a folder of really encoded videos."""

import json
import shutil

import numpy as np
import pytest

from tests import micro
from tests.data.clips import encode
from tests.programs import finish

SMALL = {
  "source.held_out": 0.0,
  "source.frames": 4,
  "source.height": 16,
  "source.width": 16,
  "source.patch": (2, 8, 8),
  "model.depth": 1,
  "model.heads": 2,
  "training.batch": 4,
  "training.steps": 8,
  "training.log_every": 2,
  "training.checkpoint_every": 4,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  path = tmp_path_factory.mktemp("videos")
  for name, codec, pixel_format, fields in (
    ("a.mp4", "libx264", "yuv420p", {"tones": (440,), "height": 64, "width": 36}),
    ("b.mp4", "libx265", "yuv420p10le", {"tones": (440, 880), "rotation": 90}),
    ("c.webm", "libvpx-vp9", "yuv420p", {}),
    ("d.mov", "prores_ks", "yuv422p10le", {"height": 50, "width": 70}),
  ):
    encode(path / name, codec, pixel_format=pixel_format, **fields)
    (path / name).with_suffix(".txt").write_text(f"all the colours, {name}")
  (path / "broken.mp4").write_bytes((path / "a.mp4").read_bytes()[:500])
  return path


def train(folder, workdir, environment=None, **overrides):
  values = {**micro.SIZES, **SMALL, **{key.replace("__", "."): value for key, value in overrides.items()}}
  flags = [f"--config.{key}={value}" for key, value in values.items()]
  arguments = ("--config=configs/folder.py", f"--config.source.path={folder}", f"--workdir={workdir}", *flags)
  return finish("train", *arguments, **(environment or {}))


def test_a_folder_trains_and_goes_on_exactly_where_it_was(folder, tmp_path):
  code, _, err = train(folder, tmp_path / "run")
  assert code == 0 and err.count("left out") == 1 and "broken.mp4" in err, err
  losses = [
    json.loads(line)["loss"] for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
  ]
  assert len(losses) == 4 and np.isfinite(losses).all()
  # As it was when it had made four of its eight steps.
  shutil.copytree(tmp_path / "run", tmp_path / "again")
  shutil.rmtree(tmp_path / "again" / "checkpoints" / "8")
  (tmp_path / "again" / "weights.safetensors").unlink()
  code, out, err = train(folder, tmp_path / "again")
  assert code == 0 and "at step 4" in out, err
  files = [(tmp_path / name / "weights.safetensors").read_bytes() for name in ("run", "again")]
  assert files[0] == files[1]


def test_a_run_goes_on_with_data_that_moved_if_it_is_told_so(folder, tmp_path):
  videos, moved, run = tmp_path / "videos", tmp_path / "moved", tmp_path / "run"
  shutil.copytree(folder, videos)
  code, _, err = train(videos, run, training__steps=4)
  assert code == 0, err
  videos.rename(moved)
  config = (run / "config.json").read_text()
  code, out, err = train(moved, run)
  last = err.splitlines()[-1]
  assert code == 2 and last.startswith("error: ") and "Traceback" not in err, err
  assert f"source.path='{videos}' (now '{moved}')" in last and "--config.training.new_data=True" in last
  assert (run / "config.json").read_text() == config
  code, out, err = train(moved, run, training__new_data=True)
  assert code == 0 and "at step 4" in out, err
  assert json.loads((run / "config.json").read_text())["training"]["new_data"] is False
  # From now on, the data is there.
  code, out, err = train(f"{moved}/", run)
  assert code == 0 and "at step 8" in out, err


@pytest.mark.parametrize(
  ("overrides", "words"),
  [
    ({"source__path": "''"}, "not a folder"),
    ({"source__frames": 6, "source__patch": (4, 8, 8)}, "source.patch"),
    ({"source__frames": 40}, "40 frames need 5.00 s"),
  ],
)
def test_misuse_is_one_line(folder, tmp_path, overrides, words):
  code, out, err = train(folder, tmp_path / "run", **overrides)
  assert code == 2 and not out and not (tmp_path / "run").exists()
  assert err.splitlines()[-1].startswith("error: ") and words in err.splitlines()[-1], err
