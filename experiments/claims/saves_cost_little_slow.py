"""A save every 100 steps of half a second stalls training for at most 2% of the time.

The configuration of digits is trained with batches of 128 for 300 steps, and saved after every hundredth.
Value: how much longer the ten steps after a save take than ten other steps (they wait for the copy, and share
the CPU with the background writer), divided by the time of 100 steps. Bar: .02. A step must take at least .5
s.
"""

EVERY, AFTER, BATCH = 100, 10, 128


def measure(seed: int) -> dict:
  import json
  import statistics
  import tempfile
  from pathlib import Path

  from configs import digits
  from stale_jax.errors import UserError
  from stale_jax.run import train

  config = {**digits.get_config().to_dict(), "seed": seed}
  kept = {"steps": 3 * EVERY, "batch": BATCH, "log_every": 1, "checkpoint_every": EVERY, "keep": 1}
  config["training"] = {**config["training"], **kept}
  with tempfile.TemporaryDirectory() as folder:
    if int(train(config, folder).step) < kept["steps"]:
      raise UserError("training was interrupted: check the claim again.")
    lines = map(json.loads, (Path(folder) / "metrics.jsonl").read_text().splitlines())
    seconds = {line["step"]: 1 / line["steps_per_second"] for line in lines}
  # The first step compiles. The metrics of a step are written before its save, so they do not include it.
  saves = (EVERY, 2 * EVERY)
  after = {step for save in saves for step in range(save + 1, save + 1 + AFTER)}
  usual = statistics.mean(seconds[step] for step in range(2, kept["steps"] + 1) if step not in after)
  stalls = [sum(seconds[save + 1 + i] for i in range(AFTER)) - AFTER * usual for save in saves]
  value = statistics.mean(stalls) / (100 * usual)
  print(f"a step: {usual:.3f} s; stalls after the saves: " + ", ".join(f"{s:.3f} s" for s in stalls))
  return {
    "value": value,
    "bar": 0.02,
    "holds": value <= 0.02 and usual >= 0.5,
    "step_seconds": usual,
    "stalls_seconds": stalls,
  }
