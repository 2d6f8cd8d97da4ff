"""Five-sense movies of handwritten digits: the model that ships with the repository.

python -m experiments.train --config=configs/digits.py --workdir=runs/digits

Hardware: 2 CPU cores, otherwise idle. Time: 70 minutes, 1.2 steps per second.
Result (experiments.evaluate --suite=captions, three seeds of the noise): digit .98, colour and direction
1.00, speed .995, senses .98, Fréchet distance 17.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
  config = base.get_config(times="logit_normal", optimizer="muon")
  config.senses = ("sight", "sound", "touch", "smell", "taste")
  config.source.update(canvas=16, frames=8, patch=1)
  # More times near the noise, where most of a clip is decided. Every frame has its own time.
  config.times.update(mean=-1.5, std=1.5, independent=True)
  config.model.update(
    width=128,
    side_width=32,
    text_width=96,
    condition_width=128,
    depth=4,
    heads=4,
    text_length=48,
    causal=True,  # No frame attends to a later one: movies of any length.
  )
  # The other senses follow from caption and picture, so that smaller weights suffice.
  config.objective.weights = {"sound": 0.2, "touch": 0.2, "smell": 0.1, "taste": 0.1}
  config.training.steps = 5000
  # Two frames at a time: with single frames, motion fades. The sinks stay in the cache and preserve the
  # digit. No training clip changes its caption: when the prompt changes, the movie starts anew.
  config.rollout.update(chunk=2, sinks=2, on_change="cut")
  # Guidance only while the digit is decided: before and after, it makes clips less realistic.
  config.sampling.update(guidance=4.0, interval=(0.5, 0.95))
  return config
