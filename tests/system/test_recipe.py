"""The three stages of training on videos chain: each begins with the weights of the one before."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from stale_jax.checkpoints.load import newest_ema
from stale_jax.data.metadata import Described
from stale_jax.data.sources.shards import record, write_shards
from tests import micro
from tests.data.clips import encode
from tests.programs import finish

pytestmark = pytest.mark.slow

STAGES = ("images", "video", "fine")


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
  folder = tmp_path_factory.mktemp("recipe")
  examples = []
  for name in ("a", "b", "c"):
    encode(folder / f"{name}.mp4", "libx264", tones=(440,))
    described = Described(source_id=name, caption=f"all the colours, {name}")
    examples.append((name, record((folder / f"{name}.mp4").read_bytes(), dataclasses.asdict(described))))
  return write_shards(folder / "data", {"train": examples})


def test_each_stage_goes_on_from_the_one_before(shards, tmp_path):
  for before, stage in zip((None, *STAGES), STAGES, strict=False):
    values = {**micro.SIZES, "source.path": shards, "source.height": 16, "source.width": 16}
    values |= {"training.batch": 4, "training.steps": 3, "training.log_every": 1}
    if before:
      # Nothing is learnt, so that what it ends with is what it began with.
      values |= {"training.init_from": tmp_path / before}
      values |= {"optimizer.learning_rate": 0.0, "optimizer.matrix_learning_rate": 0.0}
    flags = [f"--config.{key}={value}" for key, value in values.items()]
    program = ("train", f"--config=configs/recipe_{stage}.py", f"--workdir={tmp_path / stage}", *flags)
    code, _, err = finish(*program)
    assert code == 0, err
  weights = [newest_ema(tmp_path / stage)[0] for stage in STAGES]
  for later in weights[1:]:
    jax.tree.map(functools.partial(np.testing.assert_allclose, atol=1e-6), weights[0], later)
