"""The flags that name the model a program loads, and the devices that it runs on."""

import contextlib
from collections.abc import Iterator, Mapping

from absl import flags

from stale_jax.errors import UserError

flags.disclaim_key_flags()  # Flags defined here belong to the program that asks for them.


def define_model() -> flags.FlagHolder:
  """Defines --workdir, the argument of `stale_jax.load`."""
  return flags.DEFINE_string(
    "workdir",
    None,
    "Run folder, weights file, or packaged model (cartoons, digits, causal, autoencoder); default: cartoons.",
  )


class _AdapterParser(flags.ArgumentParser):
  """Parses PATH or PATH:WEIGHT, as in hats.safetensors:0.5."""

  def parse(self, word: str) -> tuple[str, float]:
    """Returns (path, weight); the weight is 1 if `word` states none."""
    path, _, weight = word.rpartition(":")
    try:
      return (path, float(weight)) if path else (word, 1.0)
    except ValueError:  # The colon is part of an address, such as gs://bucket/file.
      return word, 1.0


def define_adapters(name: str = "adapters") -> flags.FlagHolder:
  """Defines --NAME, the argument `adapters` of `stale_jax.load`."""
  return flags.DEFINE_multi(
    _AdapterParser(),
    flags.ArgumentSerializer(),
    name,
    None,
    "Adapter to merge into the model: its file, or the folder of its run; PATH:WEIGHT scales it. Repeatable.",
  )


def define_mesh() -> tuple[flags.FlagHolder, flags.FlagHolder]:
  """Defines --mesh and --processes, for `on_devices`."""
  mesh = flags.DEFINE_list(
    "mesh",
    None,
    "Sizes of the mesh that the model is sharded over, as in data=2,fsdp=4; default: one device.",
  )
  processes = flags.DEFINE_integer(
    "processes", 1, "Number of processes that run this command together, usually one per host.", lower_bound=1
  )
  return mesh, processes


@contextlib.contextmanager
def on_devices(mesh: flags.FlagHolder, processes: flags.FlagHolder) -> Iterator[Mapping[str, int] | None]:
  """Connects the processes, and yields the argument `mesh` of `stale_jax.load`.

  Raises:
    UserError: --mesh is malformed, or there are several processes without a mesh.
  """
  from stale_jax.hosts import join_processes

  sizes = None if mesh.value is None else dict(map(_size, mesh.value))
  if processes.value > 1 and sizes is None:
    raise UserError(f"--processes={processes.value} needs --mesh, for example --mesh=fsdp=-1.")
  with join_processes({"training": {"processes": processes.value}}):
    yield sizes


def _size(word: str) -> tuple[str, int]:
  name, _, size = word.partition("=")
  try:
    return name.strip(), int(size)
  except ValueError as error:
    raise UserError(f"--mesh: {word!r} is not of the form axis=size, as in fsdp=4.") from error
