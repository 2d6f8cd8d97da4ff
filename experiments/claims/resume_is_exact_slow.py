"""A run killed -9 at random moments ends with the very bits of one that was not.

The shipped configuration at full size, 24 steps, killed three times.
"""


def measure(seed: int) -> dict:
  import random
  import subprocess
  import sys
  import tempfile
  import time
  from pathlib import Path

  import jax
  import numpy as np

  from stale_jax.training.checkpoint import newest_state

  def command(folder):
    options = {"steps": 24, "log_every": 2, "checkpoint_every": 6}
    flags = [f"--config.training.{key}={value}" for key, value in options.items()]
    return [
      *(sys.executable, "-m", "experiments.train", "--config=configs/digits.py"),
      *(f"--workdir={folder}", *flags),
    ]

  draw, kills = random.Random(seed), 0
  with tempfile.TemporaryDirectory() as folder:
    whole, killed = Path(folder) / "whole", Path(folder) / "killed"
    subprocess.run(command(whole), check=True, stdout=subprocess.DEVNULL)
    for lines in (0, 4, 3):
      process = subprocess.Popen(command(killed), stdout=subprocess.PIPE, text=True)
      seen = [process.stdout.readline() for _ in range(lines)]
      time.sleep(draw.uniform(0, 10 if lines == 0 else 1))
      process.kill()
      kills += process.wait() == -9
      print(f"killed after: {seen[-1].strip() if seen else 'nothing'}")
    subprocess.run(command(killed), check=True, stdout=subprocess.DEVNULL)
    a, b = (jax.tree.leaves(newest_state(path)) for path in (whole, killed))
  differing = sum(not np.array_equal(np.asarray(x), np.asarray(y)) for x, y in zip(a, b, strict=True))
  print(f"{len(a)} arrays of the final state, {differing} differ; {kills} kills")
  return {
    "value": differing,
    "bar": 0,
    "holds": differing == 0 and kills == 3,
    "arrays": len(a),
    "kills": kills,
  }
