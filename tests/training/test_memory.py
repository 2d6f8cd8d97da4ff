"""What cannot fit into memory is refused before anything is allocated or written."""

import pytest

from stale_jax.config import build
from stale_jax.errors import UserError
from stale_jax.memory import host_memory
from stale_jax.run import train
from stale_jax.training import program
from tests import micro


@pytest.mark.parametrize(
  ("overrides", "words"),
  [
    ({"training__batch": 10**9}, r"training.batch=1000000000: .* [\d,]{15,} bytes, .* make the batch"),
    ({"model__width": 1 << 20}, r"the model .* needs [\d,]{15,} bytes on each device"),
  ],
)
def test_what_exceeds_the_memory_is_one_line(tmp_path, overrides, words):
  with pytest.raises(UserError, match=words) as caught:
    train(micro.config(**overrides), tmp_path / "run")
  assert "\n" not in str(caught.value) and not (tmp_path / "run").exists()


def test_the_rows_of_this_process_count_not_those_of_the_pod(monkeypatch):
  experiment = build(micro.config(training__batch=1 << 30))
  mesh = experiment.training.mesh.build()

  class OfOneProcess:
    def addressable_devices_indices_map(self, shape):
      part = slice(0, shape[0] // (1 << 24))
      return {"its first device": (part,), "a replica": (part,)}

  monkeypatch.setattr(program, "batch_sharding", lambda mesh: OfOneProcess())
  program.check_layout(experiment, mesh)
  monkeypatch.setattr(program, "host_memory", lambda: 10_000)
  with pytest.raises(UserError, match="the 64 clips that this process reads"):
    program.check_layout(experiment, mesh)


def test_the_memory_of_the_host_is_that_of_its_container(monkeypatch):
  everything = host_memory()
  assert everything > 1 << 28
  monkeypatch.setattr("pathlib.Path.read_text", lambda path: "1048576\n")
  assert host_memory() == 1 << 20
  monkeypatch.setattr("pathlib.Path.read_text", lambda path: "max\n")
  assert host_memory() >= everything
