"""What goes wrong around a run: each is one clear line, or changes nothing."""

import json
import resource
import time

import jax
import numpy as np
import pytest

from stale_jax.checkpoints.reading import newest_state
from stale_jax.data.sources.digits import Digits
from stale_jax.errors import UserError
from stale_jax.run import train
from tests import micro
from tests.devices import on_devices
from tests.programs import finish

SHORT = {"ema__snapshots": 0, "senses": ("sight",), "training__checkpoint_every": 4}


@on_devices(1)
def test_a_full_disk_is_one_line_and_the_checkpoint_before_is_whole(tmp_path):
  state = train(micro.config(**SHORT, training__steps=4), tmp_path)
  saved = jax.tree.map(np.array, jax.device_get(state))
  # No file may grow further than this: the system refuses it to whoever writes.
  _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (2**14, most))
  with pytest.raises(UserError) as error:
    train(micro.config(**SHORT, training__steps=100), tmp_path)
  resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
  assert "cannot save" in str(error.value) and "File too large" in str(error.value), error.value
  assert "step 4 is the last" in str(error.value), error.value
  jax.tree.map(np.testing.assert_array_equal, newest_state(tmp_path)["params"], saved.params)
  # With room again, it goes on.
  assert int(train(micro.config(**SHORT, training__steps=8), tmp_path).step) == 8


def test_an_example_that_cannot_be_read_is_named(tmp_path, monkeypatch):
  class Shards(Digits):
    """Clips in files, one of them cut short."""

  (tmp_path / "shards").mkdir()
  honest = Digits.__getitem__

  def read(self, index):
    example, path = honest(self, index), tmp_path / "shards" / f"{index}.npy"
    np.save(path, example["clip"]["sight"])
    if index % 7 == 3:
      path.write_bytes(path.read_bytes()[:-100])
    return {**example, "clip": {"sight": np.load(path)}}

  monkeypatch.setattr(Digits, "__getitem__", read)
  with pytest.raises(UserError, match=r"^example \d+ of the data cannot be read: .") as error:
    train(micro.config(**SHORT), tmp_path / "run")
  assert int(str(error.value).split()[1]) % 7 == 3


@on_devices(2)
def test_a_run_goes_on_with_another_mesh(tmp_path):
  short = {**SHORT, "training__steps": 4}
  before = train(micro.config(**short, mesh__data=2), tmp_path)
  after = train(micro.config(**short, mesh__data=1, mesh__fsdp=2), tmp_path)
  jax.tree.map(np.testing.assert_array_equal, *map(jax.device_get, (before, after)))
  cut = [x for x in jax.tree.leaves(after) if not x.is_fully_replicated]
  assert cut and all(x.is_fully_replicated for x in jax.tree.leaves(before))
  further = micro.config(**{**short, "training__steps": 8}, mesh__data=1, mesh__fsdp=2)
  assert int(train(further, tmp_path).step) == 8


def test_another_optimizer_is_refused_by_name(tmp_path):
  train(micro.config(**SHORT, training__steps=4), tmp_path)
  other = micro.config(**SHORT, training__steps=4)
  other["optimizer"] = {"name": "adamw"}
  with pytest.raises(UserError, match=r"optimizer.name='muon' \(now 'adamw'\)"):
    train(other, tmp_path)
  # Nor is it taken for this one's where the config does not tell; and the checkpoint stays where it is.
  config = json.loads((tmp_path / "config.json").read_text())
  (tmp_path / "config.json").write_text(json.dumps({**config, "optimizer": {"name": "adamw"}}))
  with pytest.raises(UserError, match=r"opt_state/\S+ is \S+ in the checkpoint and \S.* in this run"):
    train(other, tmp_path)
  assert not list(tmp_path.glob("damaged_*"))


def test_a_clock_that_is_set_back_and_forth_changes_nothing(tmp_path, monkeypatch):
  steady = train(micro.config(**SHORT, training__steps=8), tmp_path / "steady")
  honest, jumps = time.time, iter(range(10**9))
  monkeypatch.setattr(time, "time", lambda: honest() + 1e6 * (-1) ** next(jumps))
  jumping = train(micro.config(**SHORT, training__steps=8), tmp_path / "jumping")
  monkeypatch.undo()
  jax.tree.map(np.testing.assert_array_equal, steady, jumping)
  for line in map(json.loads, (tmp_path / "jumping" / "metrics.jsonl").read_text().splitlines()):
    assert 0 < line["goodput"] < 1 and 0 <= line["data_wait"] < 1 and line["productive_seconds"] < 1e5


def test_chosen_steps_are_traced(tmp_path):
  config = micro.config(**SHORT, training__steps=8)
  for window, words in (((2, 9), "not within training.steps=8"), ((5, 9), "not within")):
    with pytest.raises(UserError, match=words):
      train(config, tmp_path, window)
  train(config, tmp_path, (2, 4))
  (trace,) = (tmp_path / "profile" / "plugins" / "profile").rglob("*.xplane.pb")
  assert trace.stat().st_size > 1000
  with pytest.raises(UserError, match="are done"):
    train(config, tmp_path, (2, 4))


@pytest.mark.parametrize("window", ["3", "4:4", "a:b", "-1:2"])
def test_a_window_that_is_none_is_one_line(tmp_path, window):
  code, out, err = finish("train", *micro.arguments(tmp_path / "run"), f"--profile={window}")
  assert code == 2 and not out and err.count("\n") == 1 and "START:STOP" in err
