"""Two devices, the parameters cut into parts: the same training as on one device."""

import os

import jax
import numpy as np
import pytest

from stale_jax.checkpoints.reading import newest_state
from stale_jax.checkpoints.weights import load_weights
from tests import micro
from tests.programs import finish

pytestmark = pytest.mark.slow


def train(folder, devices, **overrides):
  # Simulated devices wait for one another inside a program, each on a thread of one pool. By default it
  # has a thread a core, and whatever else takes one leaves a device waiting for ever.
  flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={devices}"
  code, out, err = finish(
    "train",
    *micro.arguments(folder, training__accumulate=2, training__batch=16, **overrides),
    XLA_FLAGS=flags,
    JAX_PLATFORMS="cpu",
    PJRT_NPROC="16",
  )
  assert code == 0, out + err
  return out


def test_two_devices_train_as_one_does_and_resume_there(tmp_path):
  short = {"training__steps": 4, "training__checkpoint_every": 2}
  train(tmp_path / "one", 1, **short)
  train(tmp_path / "two", 2, mesh__fsdp=2, **short)
  want, got = newest_state(tmp_path / "one"), newest_state(tmp_path / "two")
  for a, b in zip(jax.tree.leaves(want["params"]), jax.tree.leaves(got["params"]), strict=True):
    np.testing.assert_allclose(a, b, atol=2e-5)
  snapshots = sorted(path.name for path in (tmp_path / "one" / "snapshots").iterdir())
  assert len(snapshots) == 8
  for name in snapshots:
    one, two = (load_weights(tmp_path / run / "snapshots" / name)[0] for run in ("one", "two"))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), one, two)
  out = train(tmp_path / "two", 2, mesh__fsdp=2, **{**short, "training__steps": 6})
  assert "at step 4" in out
