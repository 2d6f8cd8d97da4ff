"""Programs of several processes, on one machine: started together, listened to, killed one by one."""

import os
import socket
import time
from pathlib import Path

from tests import programs

_LIMIT = 300  # Seconds, after which anything waited for is not going to happen.


class Host:
  """One process of a program; what it says goes to `log`."""

  def __init__(self, log: Path, command: list[str], environment: dict[str, str]):
    self._log = log
    log.touch()
    self.process = programs._SERVER.Process(target=_run, args=(command, log, environment))
    self.process.start()

  def said(self) -> str:
    """All it has said so far."""
    return self._log.read_text()

  def wait_for(self, words: str) -> None:
    """Returns once it has said `words`."""
    end = time.monotonic() + _LIMIT
    while words not in self.said():
      assert self.process.is_alive() and time.monotonic() < end, f"never said {words!r}: {self.said()}"
      time.sleep(0.02)

  def send(self, number: int) -> None:
    """A signal."""
    os.kill(self.process.pid, number)

  def exit_code(self) -> int:
    """Waits for its end."""
    self.process.join(_LIMIT)
    if self.process.exitcode is None:
      self.process.kill()
      raise TimeoutError(self.said())
    return self.process.exitcode


def start(folder: Path, count: int, name: str, *arguments, devices: int = 1, **environment) -> list[Host]:
  """Starts experiments.`name` in `count` processes of so many devices each; their logs lie in `folder`."""
  folder.mkdir(exist_ok=True)
  with socket.create_server(("127.0.0.1", 0)) as free:
    port = free.getsockname()[1]
  command = programs._command(name, arguments)
  common = {
    "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}",
    "JAX_NUM_PROCESSES": str(count),
    "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={devices}",
    # Simulated devices wait for one another, each on a thread of one pool.
    "PJRT_NPROC": "16",
    **environment,
  }
  logs = [folder / f"{time.monotonic_ns()}_{number}" for number in range(count)]
  return [
    Host(log, command, {**common, "JAX_PROCESS_ID": str(i), **environment}) for i, log in enumerate(logs)
  ]


def _run(command: list[str], log: Path, environment: dict[str, str]) -> None:
  os.environ.update(environment)
  import jax

  # JAX, which is imported already, read these too early.
  jax.config.update("jax_platforms", "cpu")
  if folder := environment.get("JAX_COMPILATION_CACHE_DIR"):
    jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
  programs._run(command, programs.ROOT, log, log)
