"""Tests that need several devices run in a process of their own, which simulates them."""

import functools
import multiprocessing
import os
import traceback

import pytest

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(
  ["stale_jax.evaluation", "stale_jax.pipeline", "stale_jax.training", "sklearn.datasets"]
)


def on_devices(count: int):
  """Decorates a test, whose arguments can be pickled, to run where JAX has `count` CPU devices."""

  def decorate(test):
    @functools.wraps(test)
    def wrapped(**arguments):
      ours, theirs = _SERVER.Pipe(duplex=False)
      given = (theirs, count, test.__module__, test.__name__, arguments)
      process = _SERVER.Process(target=_run, args=given)
      process.start()
      theirs.close()
      try:
        failure = ours.recv()
      except EOFError:
        failure = f"the process died: {process.exitcode}"
      process.join()
      assert not failure, failure

    return pytest.mark.devices(wrapped)

  return decorate


def _run(pipe, count: int, module: str, name: str, arguments) -> None:
  os.environ["XLA_FLAGS"] = (
    f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={count}"
  )
  # Simulated devices wait for one another, each on a thread of one pool.
  os.environ["PJRT_NPROC"] = str(2 * count)
  try:
    __import__("importlib").import_module(module).__dict__[name].__wrapped__(**arguments)
  except BaseException:
    pipe.send(traceback.format_exc())
  else:
    pipe.send("")
