"""Loads a server of live movies with clients, a tenth of which misbehave, and measures what they see.

python -m experiments.load [--workdir=causal] [--seconds=600] [--clients=N] [--url=http://127.0.0.1:8000]

Without --url, the command starts a server of its own (experiments.serve). The last line of stdout is one JSON
object; the exit code is 0 only if all bars hold (docs/serving.md).
"""

import asyncio
import json
import os
import subprocess
import sys

from absl import flags

from experiments.main import run
from stale_jax.errors import UserError

URL = flags.DEFINE_string("url", None, "Address of a server that runs; default: a server of its own.")
WORKDIR = flags.DEFINE_string("workdir", "causal", "Model of its own server, as for experiments.serve.")
STEPS = flags.DEFINE_integer("steps", 8, "Number of noise levels of its own server.", lower_bound=1)
STREAMS = flags.DEFINE_integer("streams", 16, "Largest number of streams of its own server.", lower_bound=1)
CLIENTS = flags.DEFINE_integer(
  "clients", None, "Number of clients; default: as many as the server admits.", lower_bound=1
)
SECONDS = flags.DEFINE_float("seconds", 600.0, "Duration of the load.", lower_bound=5)
MISBEHAVING = flags.DEFINE_float(
  "misbehaving", 0.1, "Share of the clients that misbehave.", lower_bound=0, upper_bound=1
)
SEED = flags.DEFINE_integer("seed", 0, "Seed of prompts and times.", lower_bound=0)
JSON = flags.DEFINE_string("json", None, "File to write the report to.")


def main() -> int:
  from stale_jax.files import check_on_disk, write_whole
  from stale_jax.serving.load import put_load

  check_on_disk("--", json=JSON.value)
  access, server = os.environ.get("STALE_JAX_TOKEN", ""), None
  try:
    url = URL.value.rstrip("/") if URL.value else None
    if url is None:
      server, url = _start()
    elif not url.startswith("http"):
      raise UserError(f"--url={url} must begin with http:// or https://.")
    load = put_load(url, CLIENTS.value, SECONDS.value, MISBEHAVING.value, SEED.value, access)
    report = asyncio.run(load)
  finally:
    if server is not None:
      server.terminate()
      server.wait(60)
  line = json.dumps(report)
  if JSON.value is not None:
    write_whole(JSON.value, line + "\n")
  print(line)
  return 0 if report["holds"] else 1


def _start() -> tuple[subprocess.Popen, str]:
  """Starts a server, and waits until it serves; its log goes to stderr."""
  own = (f"--workdir={WORKDIR.value}", f"--steps={STEPS.value}", f"--streams={STREAMS.value}")
  command = [sys.executable, "-m", "experiments.serve", "--port=0", "--streams_per_client=100000", *own]
  read, write = os.pipe()
  server = subprocess.Popen(command, stderr=write)
  os.close(write)
  log = os.fdopen(read, encoding="utf-8", errors="replace")
  for line in log:
    print(line, end="", file=sys.stderr)
    if line.startswith("error: "):
      raise UserError(line.removeprefix("error: "))
    if '"event": "serving"' in line:
      _follow(log)
      return server, json.loads(line)["url"].rstrip("/")
  raise UserError("the server has ended before it could serve; its log is above.")


def _follow(log) -> None:
  """Copies the rest of the log to stderr, so that the pipe never fills."""
  import threading

  def copy() -> None:
    for line in log:
      print(line, end="", file=sys.stderr)

  threading.Thread(target=copy, daemon=True).start()


if __name__ == "__main__":
  run(main)
