"""The programs as a shell would start them, a process each, but what they all import is imported once."""

import gc
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(
  ["stale_jax.evaluation", "stale_jax.pipeline", "stale_jax.training", "sklearn.datasets"]
)
_LIMIT = 300  # Seconds, after which a program hangs.


def finish(
  name: str, *arguments, limit: float = _LIMIT, cwd: Path = ROOT, **environment
) -> tuple[int, str, str]:
  """Runs experiments.`name` in the folder `cwd` to its end; returns its exit code, stdout and stderr.

  With an environment, part of which is only read while importing, nothing is imported beforehand.
  """
  if environment:
    environment = {**os.environ, **environment}
    streams = {"capture_output": True, "text": True, "timeout": limit}
    done = subprocess.run(_command(name, arguments), cwd=cwd, env=environment, **streams)
    return done.returncode, done.stdout, done.stderr
  with tempfile.TemporaryDirectory() as folder:
    out, err = Path(folder) / "out", Path(folder) / "err"
    out.touch(), err.touch()
    process = _SERVER.Process(target=_run, args=(_command(name, arguments), cwd, out, err))
    process.start()
    process.join(limit)
    if process.exitcode is None:
      process.kill()
      process.join()
      raise TimeoutError(f"experiments.{name} after {limit} s: {out.read_text()}{err.read_text()}")
    return process.exitcode, out.read_text(), err.read_text()


def _run(command: list[str], cwd: Path, out: Path, err: Path) -> None:
  for descriptor, path in ((1, out), (2, err)):
    os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND), descriptor)
  os.chdir(cwd)
  gc.set_threshold(50_000, 20, 50)
  sys.argv = command[2:]
  runpy.run_module(command[2], run_name="__main__")


def _command(name: str, arguments) -> list[str]:
  return [sys.executable, "-m", f"experiments.{name}", *map(str, arguments)]


def start(name: str, *arguments) -> subprocess.Popen:
  """Starts experiments.`name`, its stdout and stderr in one pipe, to be listened to and killed."""
  return subprocess.Popen(
    _command(name, arguments), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
  )
