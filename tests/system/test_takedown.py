"""What is taken down is obeyed by a run that began before anything was."""

import dataclasses

import pytest

from stale_jax.data import Shards
from stale_jax.data.metadata import Described
from stale_jax.data.sources.shards import record, write_shards
from stale_jax.errors import UserError
from stale_jax.run import train
from tests import micro
from tests.data.clips import encode

SIZES = {"frames": 2, "height": 8, "width": 8, "rate": 5.0, "patch": (2, 8, 8), "hearing": False}


def test_a_run_under_way_is_told_of_it(tmp_path, monkeypatch):
  video = encode(tmp_path / "a.mp4", frames=8).read_bytes()
  known = [Described(source_id=f"id {n}") for n in range(3)]
  records = [(d.source_id, record(video, dataclasses.asdict(d))) for d in known]
  path = write_shards(tmp_path / "shards", {"train": records})
  source = {"name": "shards", "path": str(path), **SIZES}
  read, find = set(), Shards.find

  def remembered(self, which):
    found = find(self, which)
    read.add(found and found[1].source_id)
    return found

  monkeypatch.setattr(Shards, "find", remembered)

  def run(steps, **fields):
    read.clear()
    config = micro.config(senses=("sight",), objective__weights={}, ema__snapshots=0)
    config["source"] = {**source, **fields}
    config["training"] = {**config["training"], "steps": steps, "checkpoint_every": 2}
    return int(train(config, tmp_path / "run").step), set(read)

  assert run(2) == (2, {"id 0", "id 1", "id 2"})
  (tmp_path / "down.txt").write_text("id 1\n")
  down = {"takedown": str(tmp_path / "down.txt")}
  assert run(4, **down) == (4, {"id 0", "id 2", None})
  (tmp_path / "down.txt").write_text("id 1\nid 2\n")
  assert run(6, **down) == (6, {"id 0", None})
  (tmp_path / "down.txt").write_text("id 0\nid 1\nid 2\n")
  with pytest.raises(UserError, match="all are taken down"):
    run(8, **down)
  with pytest.raises(UserError, match=r"source.seed=0 \(now 1\)"):
    run(8, seed=1)
