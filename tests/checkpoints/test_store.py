"""Checkpoints: what is damage and what may pass, what is read of them, how long a save may take."""

import errno
import shutil
import threading
import time

import chex
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
import tensorstore

from stale_jax.checkpoints.fingerprint import word_sums
from stale_jax.checkpoints.load import newest_ema
from stale_jax.checkpoints.reading import newest_part, newest_state
from stale_jax.checkpoints.store import Checkpointer
from stale_jax.errors import UserError
from stale_jax.training.state import Skipped, State


def draw(seed: int, step: int) -> State:
  """A state of four trees of parameters, as those of Adam with one average."""
  rng = np.random.default_rng(seed)

  def params():
    return {
      "params": {
        f"layer_{i}": {"kernel": jnp.asarray(rng.normal(size=(48, 32)), jnp.float32)} for i in range(4)
      }
    }

  return State(
    step=jnp.asarray(step, jnp.int32),
    params=params(),
    opt_state=(params(), params()),
    ema=params(),
    key=jnp.asarray([seed, 1], jnp.uint32),
    skipped=Skipped.none(),
  )


STATES = {4: draw(0, 4), 8: draw(1, 8)}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
  """The folder of a run with two checkpoints."""
  folder = tmp_path_factory.mktemp("run")
  checkpoints = Checkpointer(folder)
  for step, state in STATES.items():
    checkpoints.save(step, state, {"at": step})
  checkpoints.close()
  (folder / "config.json").write_text("{}")
  return folder


@pytest.fixture
def run(written, tmp_path):
  return shutil.copytree(written, tmp_path / "run")


def restore(run, said=None):
  checkpoints = Checkpointer(run)
  try:
    return checkpoints.restore(STATES[8], (said if said is not None else []).append)
  finally:
    checkpoints.close()


def same(a, b):
  chex.assert_trees_all_equal(a, b)


def test_what_was_saved_comes_back(run):
  said = []
  state, data = restore(run, said)
  same(state, STATES[8])
  assert data == {"at": 8} and not said


PASSING = [
  OSError(errno.EIO, "Input/output error"),
  OSError(errno.EMFILE, "Too many open files"),
  PermissionError(errno.EACCES, "Permission denied"),
  TimeoutError("no answer"),
  MemoryError(),
  jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes."),
  ValueError("UNAVAILABLE: Error reading local file"),
  ValueError("RESOURCE_EXHAUSTED: quota"),
]


@pytest.mark.parametrize("error", PASSING, ids=lambda e: f"{type(e).__name__} {e}"[:40])
def test_an_error_that_may_pass_moves_nothing(run, monkeypatch, error):
  def fail(*args, **kwargs):
    raise error

  # Orbax may add errors of its own around it.
  def fail_within(*args, **kwargs):
    try:
      raise error
    except Exception as inner:
      raise RuntimeError("restoring failed") from inner

  for raises in (fail, fail_within):
    with monkeypatch.context() as patched:
      patched.setattr(ocp.CheckpointManager, "restore", raises)
      for read in (restore, newest_state, newest_ema):
        with pytest.raises(UserError, match="cannot read checkpoint 8") as told:
          read(run)
        assert "\n" not in str(told.value)
  assert not list(run.glob("damaged_*")) and (run / "checkpoints" / "8").is_dir()
  same(restore(run)[0], STATES[8])


def flipped(data: bytes, at: int) -> bytes:
  return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


SPOILS = {
  "deleted": None,
  "emptied": lambda data: b"",
  "cut short": lambda data: data[: len(data) // 2],
  "without its end": lambda data: data[:-1],
  "one bit": lambda data: flipped(data, len(data) // 2),
  "zeros": lambda data: bytes(len(data)),
  "null": lambda data: b"null",
  "a number": lambda data: b"3",
  "a list": lambda data: b"[]",
  "no text": lambda data: b"\xff\xfe{}",
}


@pytest.mark.parametrize("kind", SPOILS)
def test_damage_of_any_file_is_found_or_is_of_no_consequence(written, tmp_path, kind):
  files = [path.relative_to(written) for path in sorted((written / "checkpoints" / "8").rglob("*"))]
  moved = 0
  for i, name in enumerate(name for name in files if (written / name).is_file()):
    run = shutil.copytree(written, tmp_path / str(i))
    if kind == "deleted":
      (run / name).unlink()
    else:
      (run / name).write_bytes(SPOILS[kind]((run / name).read_bytes()))
    if name.name == "_CHECKPOINT_METADATA" and kind in ("a number", "a list"):
      # Orbax reads it before it opens any checkpoint.
      for read in (restore, newest_state):
        with pytest.raises(UserError, match=f"{name.name} holds .* instead of a JSON object; delete it"):
          read(run)
      (run / name).unlink()
    ema = newest_part(run, "ema")
    said = []
    state, data = restore(run, said)
    assert data["at"] in (4, 8), name
    same(state, STATES[data["at"]])
    if data["at"] == 4:
      assert "checkpoint 8 is damaged" in said[0] and (run / "damaged_8").is_dir(), name
      moved += 1
    same(ema, STATES[8 if np.array_equal(_kernel(ema), _kernel(STATES[8].ema)) else 4].ema)
  assert moved >= 3


def _kernel(ema) -> np.ndarray:
  return np.asarray(ema["params"]["layer_0"]["kernel"])


def test_damage_in_all_files_of_arrays_is_found(run):
  for path in (run / "checkpoints" / "8" / "state").rglob("d/*"):
    path.write_bytes(flipped(path.read_bytes(), path.stat().st_size // 2))
  same(newest_part(run, "ema"), STATES[4].ema)
  said = []
  state, _ = restore(run, said)
  same(state, STATES[4])
  assert "going back to step 4" in said[0]


def bytes_read() -> int:
  metrics = tensorstore.experimental_collect_matching_metrics("/tensorstore/kvstore/file/bytes_read")
  return sum(value["value"] for metric in metrics for value in metric["values"])


def test_the_averages_are_read_without_the_rest(run):
  before = bytes_read()
  ema = newest_part(run, "ema")
  read, size = bytes_read() - before, sum(x.nbytes for x in jax.tree.leaves(STATES[8].ema))
  same(ema, STATES[8].ema)
  before = bytes_read()
  same(newest_state(run)["params"], STATES[8].params)
  whole = bytes_read() - before
  assert whole > 3.5 * size and read < 1.5 * size, (read, whole, size)


def old(monkeypatch, folder):
  """Checkpoints as of the first releases: one fingerprint for all of their arrays."""
  with monkeypatch.context() as patched:
    honest = ocp.args.JsonSave

    def without(rest):
      return honest({name: value for name, value in rest.items() if name != "sums"})

    patched.setattr(ocp.args, "JsonSave", without)
    checkpoints = Checkpointer(folder)
    for step, state in STATES.items():
      checkpoints.save(step, state, {"at": step})
    checkpoints.close()
  (folder / "config.json").write_text("{}")


def test_checkpoints_of_former_versions_are_read(monkeypatch, tmp_path):
  old(monkeypatch, tmp_path)
  same(newest_ema(tmp_path)[0], STATES[8].ema)
  same(restore(tmp_path)[0], STATES[8])
  for path in (tmp_path / "checkpoints" / "8" / "state").rglob("d/*"):
    path.write_bytes(flipped(path.read_bytes(), path.stat().st_size // 2))
  same(newest_ema(tmp_path)[0], STATES[4].ema)


def test_a_save_that_never_ends_is_told(monkeypatch, tmp_path):
  never = threading.Event()
  checkpoints = Checkpointer(tmp_path, patience=0.2)
  with monkeypatch.context() as patched:
    patched.setattr(ocp.CheckpointManager, "wait_until_finished", lambda self: never.wait(30))
    begun = time.monotonic()
    with pytest.raises(UserError, match=r"did not finish within 0\.2 s"):
      checkpoints.save(4, STATES[4], {})
    assert time.monotonic() - begun < 10
    never.set()
  checkpoints.close()


def test_setting_the_clock_forward_gives_no_save_up(monkeypatch, tmp_path):
  honest, jumps = time.time, iter(range(10**9))
  monkeypatch.setattr(time, "time", lambda: honest() + 1e5 * next(jumps))
  checkpoints = Checkpointer(tmp_path, patience=60)
  for step, state in STATES.items():
    checkpoints.save(step, state, {"at": step})
  checkpoints.close()
  monkeypatch.undo()
  same(restore(tmp_path)[0], STATES[8])


def test_sums_are_those_of_all_words():
  x = np.arange(6, dtype=np.float32).reshape(2, 3)
  want = int(x.view(np.uint32).sum(dtype=np.uint64) % 2**32)
  assert word_sums({"a": {"x": jnp.asarray(x)}, "b": ()}) == {"a": want, "b": 0}
  assert word_sums({"a": [jnp.asarray(x[:1]), jnp.asarray(x[1:].T)]}) == {"a": want}
