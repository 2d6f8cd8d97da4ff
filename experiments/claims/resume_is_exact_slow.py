"""A run killed with -9 at random moments ends with the same bits as an uninterrupted run.

The configuration of digits is trained at full size for 24 steps, and killed three times. Value: the number of
arrays of the final state that differ. Bar: 0.
"""


def measure(seed: int) -> dict:
  import random
  import re
  import subprocess
  import sys
  import tempfile
  import time
  from pathlib import Path

  import jax
  import numpy as np

  from stale_jax.checkpoints.reading import newest_state
  from stale_jax.errors import UserError

  root = Path(__file__).parents[2]

  def start(folder):
    options = {"steps": 24, "log_every": 2, "checkpoint_every": 6}
    flags = [f"--config.training.{key}={value}" for key, value in options.items()]
    program = (sys.executable, "-m", "experiments.train", "--config=configs/digits.py", f"--workdir={folder}")
    return subprocess.Popen([*program, *flags], cwd=root, stdout=subprocess.PIPE, text=True)

  def finish(folder):
    process = start(folder)
    out, _ = process.communicate()
    if process.returncode:
      raise UserError(f"training failed with exit code {process.returncode}: {out[-200:]}")
    return out

  draw, kills = random.Random(seed), 0
  with tempfile.TemporaryDirectory() as folder:
    whole, killed = Path(folder) / "whole", Path(folder) / "killed"
    finish(whole)
    # Killed in its first second, then after 7 and 4 lines of progress (2 steps each). After 7 lines the first
    # checkpoint is complete, because the second waited for it.
    for lines in (0, 7, 4):
      process = start(killed)
      seen = ""
      for line in process.stdout if lines else ():
        seen = line
        lines -= line.startswith("step")
        if not lines:
          break
      time.sleep(draw.uniform(0, 1))
      process.kill()
      kills += process.wait() == -9
      print(f"killed; the last line of output: {seen.strip() or 'none'}")
    resumed = re.search(r"at step (\d+)", finish(killed))
    print(f"the last start resumed {resumed[0] if resumed else 'from no checkpoint'}")
    a, b = (jax.tree.leaves(newest_state(path)) for path in (whole, killed))
  differing = sum(not np.array_equal(np.asarray(x), np.asarray(y)) for x, y in zip(a, b, strict=True))
  print(f"{len(a)} arrays of the final state, {differing} differ; {kills} kills")
  return {
    "value": differing,
    "bar": 0,
    "holds": differing == 0 and kills == 3 and bool(resumed),
    "arrays": len(a),
    "kills": kills,
    "resumed_at": int(resumed[1]) if resumed else None,
  }
