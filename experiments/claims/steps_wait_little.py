"""While the configuration of digits trains, the loop waits for a batch less than 2% of the time.

Trains `configs/digits.py` for 64 steps. The first 24, which compile and use up the batches that were read
ahead, are left out. Value: the share of the time of the other steps that was spent waiting for the loader
(`data_wait` of the metrics). Bar: .02.
"""

WARM, STEPS = 24, 64


def measure(seed: int) -> dict:
  import json
  import tempfile
  from pathlib import Path

  from configs import digits
  from stale_jax.errors import UserError
  from stale_jax.run import train

  config = {**digits.get_config().to_dict(), "seed": seed}
  kept = {"steps": STEPS, "log_every": 4, "checkpoint_every": STEPS, "keep": 1}
  config["training"] = {**config["training"], **kept}
  with tempfile.TemporaryDirectory() as folder:
    if int(train(config, folder).step) < STEPS:
      raise UserError("training was interrupted: check the claim again.")
    lines = map(json.loads, (Path(folder) / "metrics.jsonl").read_text().splitlines())
    warm = [line for line in lines if line["step"] > WARM]
  seconds = [1 / line["steps_per_second"] for line in warm]
  waited = sum(line["data_wait"] * each for line, each in zip(warm, seconds, strict=True))
  value = waited / sum(seconds)
  return {"value": value, "bar": 0.02, "holds": value < 0.02, "step_seconds": sum(seconds) / len(seconds)}
