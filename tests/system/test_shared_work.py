"""Two real processes of a run share the scan of a folder of videos and the encoding of its clips."""

import json
import os
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest

from stale_jax.checkpoints.weights import save_weights
from stale_jax.config import build
from stale_jax.config.latents import build_latents
from stale_jax.data import Folder
from stale_jax.training.initial import init_params
from tests.data import clips
from tests.programs import ROOT

VIDEOS, CLIPS, CHUNK = 13, 40, 8
# Prints what a process did itself, and what it knows in the end.
_SCRIPT = f"""
import ast, json, sys
from stale_jax import hosts
from stale_jax.config.latents import build_latents
from stale_jax.data import Folder
from stale_jax.data.sources import coded, folder, videos

coded._CHUNK = {CHUNK}
read, measured, encoded = [], [], []
describe, probe, encode = folder.read_described, videos.probe, coded.CodedSource._encode_into
folder.read_described = lambda path, *a: read.append(path) or describe(path, *a)
videos.probe = lambda path, hdr: measured.append(path) or probe(path, hdr)
coded.CodedSource._encode_into = lambda self, *a: encoded.append(a[1].start) or encode(self, *a)
of_folder, of_latents = ast.literal_eval(sys.argv[1])
with hosts.join_processes({{"training": {{"processes": 2}}}}):
  source = Folder(**of_folder)
  source.prepare(hosts.spread)
  did = [read[:], measured[:]]
  latents = build_latents(of_latents)
  latents.prepare(hosts.spread)
  fitting = [list(map(int, fit)) for fit in source._fitting]
  known = [[path for path, _ in source._videos], fitting, len(latents._records)]
  known.append(latents.manifest(hosts.spread))
  print("RESULT " + json.dumps([*did, encoded, known]))
"""


@pytest.mark.slow
def test_two_processes_share_the_scan_and_the_encoding(tmp_path):
  folder = tmp_path / "videos"
  folder.mkdir()
  for k in range(VIDEOS):
    clips.encode(folder / f"{k:02}.mp4", height=16, width=16 if k % 3 else 32)
    (folder / f"{k:02}.txt").write_text(f"video {k}")
  plain = {"path": str(folder), "hearing": False, "patch": (1, 4, 4), "held_out": 0.0}
  buckets = {**plain, "buckets": ((5, 16, 16), (5, 16, 32))}
  source = {"name": "folder", **plain, "frames": 5, "height": 16, "width": 16, "size": CLIPS}
  coder = {
    "senses": ("sight",),
    "source": source,
    "model": {"name": "autoencoder", "width": 8, "channels": 3},
    "objective": {"adversarial": 0.0},
  }
  weights = tmp_path / "coder.safetensors"
  save_weights(weights, init_params(build(coder), jax.random.key(0)), coder)
  latents = {"source": source, "autoencoder": str(weights), "size": CLIPS}

  shared = {**latents, "cache": str(tmp_path / "shared")}
  with socket.create_server(("127.0.0.1", 0)) as free:
    address = f"127.0.0.1:{free.getsockname()[1]}"
  common = {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": "2", "JAX_PLATFORMS": "cpu"}
  pair = [
    subprocess.Popen(
      [sys.executable, "-c", _SCRIPT, repr([buckets, shared])],
      cwd=ROOT,
      env={**os.environ, **common, "JAX_PROCESS_ID": str(k)},
      stdout=subprocess.PIPE,
      text=True,
    )
    for k in range(2)
  ]
  said = [process.communicate(timeout=200)[0] for process in pair]
  found = [json.loads(text.partition("RESULT ")[2]) for text in said]

  # Each did about half of all, and nothing was done twice; both know the same.
  for mine, other in zip(*(each[:3] for each in found), strict=True):
    assert mine and other and not set(mine) & set(other)
  (read, measured, encoded), (more_read, more_measured, more_encoded) = (each[:3] for each in found)
  assert len(read) + len(more_read) == len(measured) + len(more_measured) == VIDEOS
  assert sorted(encoded + more_encoded) == list(range(0, CLIPS, CHUNK))
  assert found[0][3] == found[1][3]
  alone = Folder(**buckets)
  assert found[0][3] == [
    [path for path, _ in alone._videos],
    [list(map(int, fit)) for fit in alone._fitting],
    CLIPS,
    build_latents(shared).manifest(),
  ]

  # Two processes encode the same clips as one process. After a video has changed, all are encoded again.
  a, b = (build_latents({**latents, "cache": str(tmp_path / name)}) for name in ("shared", "alone"))
  for k in range(CLIPS):
    x, y = a[k], b[k]
    assert x["caption"] == y["caption"]
    np.testing.assert_allclose(x["clip"]["sight"], y["clip"]["sight"], atol=2e-3)
  files = set(tmp_path.glob("alone/*.array_record"))
  clips.encode(folder / "00.mp4", height=16, width=16, frames=30)
  build_latents({**latents, "cache": str(tmp_path / "alone")}).prepare()
  assert len(set(tmp_path.glob("alone/*.array_record")) - files) == len(files)
