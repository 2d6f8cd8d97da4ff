"""Errors of reads that Orbax gives up print nothing, and errors of others do."""

import asyncio
import logging
import shutil
import sys
import types

import pytest
import tensorstore

from stale_jax.checkpoints.quiet import silence
from tests.programs import finish


def give_up_a_read():
  """A read that ends after another one has failed and the event loop is closed, as Orbax reads arrays."""
  promise, future = tensorstore.Promise.new()

  async def read():
    return await future

  async def fail():
    raise ValueError("the first error")

  async def both():
    await asyncio.gather(read(), fail())

  loop = asyncio.new_event_loop()
  with pytest.raises(ValueError, match="the first error"):
    loop.run_until_complete(both())
  loop.close()
  promise.set_exception(ValueError("a later error"))


def delete_halfway(file):
  """A coroutine of the code in `file` that raises when it is deleted."""
  text = "async def read(x):\n  try:\n    await x\n  except GeneratorExit as e:\n    raise ValueError from e"
  names = {}
  exec(compile(text, file, "exec"), names)

  @types.coroutine
  def wait():
    yield

  coroutine = names["read"](wait())
  coroutine.send(None)
  del coroutine


def test_what_is_given_up_prints_nothing_and_other_errors_do(monkeypatch, capfd):
  monkeypatch.setattr(sys, "unraisablehook", sys.__unraisablehook__)
  give_up_a_read()
  delete_halfway("/lib/orbax/checkpoint/serialization.py")
  before = capfd.readouterr().err
  assert "Event loop is closed" in before and "orbax" in before
  silence()
  give_up_a_read()
  delete_halfway("/lib/orbax/checkpoint/serialization.py")
  assert not capfd.readouterr().err
  delete_halfway("/home/me/notebook.py")
  assert "notebook" in capfd.readouterr().err


async def _read_array():
  """A read as Orbax names its own."""


async def mine():
  """A coroutine of other code."""


def test_reads_that_never_began_are_not_warned_of(recwarn):
  silence()
  _read_array(), mine()
  assert [str(warning.message) for warning in recwarn] == ["coroutine 'mine' was never awaited"]


def test_only_messages_about_checkpoints_are_dropped(caplog):
  silence()
  with caplog.at_level(logging.ERROR):
    logging.getLogger("asyncio").error("Task exception was never retrieved: ... [tensorstore_spec=...]")
    logging.getLogger("asyncio").error("Task exception was never retrieved: of mine")
  assert [record.getMessage() for record in caplog.records] == ["Task exception was never retrieved: of mine"]


def test_a_run_without_its_data_files_is_one_line_per_checkpoint(micro_run, tmp_path):
  run = shutil.copytree(micro_run, tmp_path / "run")
  for file in (run / "checkpoints").rglob("d/*"):
    file.unlink()
  code, out, err = finish("evaluate", f"--workdir={run}", "--suite=denoising")
  *damaged, last = err.splitlines()
  assert code == 2 and not out and last == f"error: every checkpoint in {run} is damaged."
  assert len(damaged) == 3 and all("is damaged: NOT_FOUND" in line for line in damaged), err
