"""The programs: bad flags are one line; SIGTERM drains; a load test of a real server."""

import json
import signal
import socket
import time

import pytest

from stale_jax.checkpoints.weights import save_weights
from stale_jax.testing.models import drawn
from tests import micro, programs
from tests.serving.served import PROMPTS, Client


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
  """A file of a tiny causal model."""
  config = micro.config(source__patch=1, model__causal=True, times__independent=True)
  path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
  save_weights(path, drawn(config).params, config)
  return path


def test_misuse_is_one_line(tmp_path):
  other = tmp_path / "other.safetensors"
  save_weights(other, drawn(micro.config()).params, micro.config())
  with socket.create_server(("127.0.0.1", 0)) as taken:
    port = taken.getsockname()[1]
    for flags, words in (
      (["--host=0.0.0.0"], "needs an access token: give --token_file=FILE"),
      (["--host=nowhere.invalid", "--token_file=nothing"], "cannot read --token_file=nothing"),
      ([f"--port={port}"], f"cannot listen on 127.0.0.1 port {port}"),
      (["--port=70000"], "port"),
      (["--steps=0"], "steps"),
      (["--port=0", "--workdir=nothing_here"], "nothing_here"),
      (["--port=0", f"--workdir={other}"], "the model is not causal"),
    ):
      code, out, err = programs.finish("serve", *flags)
      said = err.splitlines()[-1]
      assert code == 2 and not out and said.startswith("error: ") and words in said, err
      assert "Traceback" not in err
  code, out, err = programs.finish("load", "--url=http://127.0.0.1:9", "--seconds=5")
  assert code == 2 and "cannot reach http://127.0.0.1:9" in err and "Traceback" not in err


def serving(process):
  """Reads the log of a server until it serves; returns its address."""
  for line in process.stdout:
    entry = json.loads(line)
    assert {"time", "level", "event"} <= entry.keys()
    if entry["event"] == "serving":
      return entry["url"].removeprefix("http://").rstrip("/")
  raise AssertionError("the server has ended")


@pytest.mark.slow
def test_sigterm_lets_streams_and_jobs_finish(weights, tmp_path):
  flags = (f"--workdir={weights}", "--port=0", "--steps=2", "--streams=2", f"--videos={tmp_path}")
  with programs.start("serve", *flags) as process:
    address = serving(process)
    client, late = Client(address), Client(address)
    client.send("open", prompt=PROMPTS[0])
    client.watch(2)
    process.send_signal(signal.SIGTERM)
    client.until("draining")
    late.send("open", prompt=PROMPTS[0])
    assert late.until("error")["code"] in ("draining", "engine_failed")
    assert client.until("closed")["reason"] == "draining"
    numbers = [header["chunk"] for header, _ in client.chunks]
    assert numbers == list(range(len(numbers)))
    log = [json.loads(line)["event"] for line in process.stdout]
    assert process.wait(30) == 0 and log[-1] == "stopped" and "draining" in log


@pytest.mark.slow
def test_a_load_test_measures_a_server(weights):
  flags = (f"--workdir={weights}", "--steps=2", "--streams=4", "--seconds=8", "--misbehaving=0.25")
  began = time.monotonic()
  code, out, err = programs.finish("load", *flags)
  report = json.loads(out.splitlines()[-1])
  assert report["capacity"] == 4 and report["misbehaving"] == 1 and report["lost"] == [], err
  assert report["chunks"] > 3 * 8 * 5 and report["first_frame_seconds"]["p95"] < 5
  assert set(report["bars"]) == {"streams", "misses", "memory", "none lost"} and report["bars"]["none lost"]
  assert code == (0 if report["holds"] else 1) and time.monotonic() - began < 200
