"""Training of 14 billion parameters on clips of 81 frames at 720p fits a v5p-256.

A v5p-256 has 128 chips (4x4x8) with 256 TensorCores. The training step of configs/stale_14b.py is compiled
for them. Value: the memory that the step needs on a chip, in GiB. Bar: the chip's memory minus what the
runtime reserves.
"""


def measure(seed: int) -> dict:
  from experiments.tpu import without_tpu

  without_tpu()
  from configs import stale_14b
  from stale_jax.planning import lines, plan

  config = {**stale_14b.get_config("720p").to_dict(), "seed": seed}
  made = plan(config, "v5p:4x4x8", sampler=False)
  for line in lines(made):
    print(line)
  return {
    "value": made.used / 2**30,
    "bar": made.available / 2**30,
    "holds": made.fits,
    "parameters": made.parameters,
    "step_seconds": made.seconds.step,
    "mfu": made.mfu,
  }
