"""Five-sense movies of handwritten digits: the model that ships with the repository.

python -m experiments.train --config=configs/digits.py --workdir=runs/digits

Hardware: 2 CPU cores, otherwise idle. Time: 70 minutes, 1.2 steps per second.
Result (experiments.evaluate --suite=captions, three seeds of the noise): the share of clips that show what
their captions say is .98 for the digit, 1.00 for colour and direction and .995 for speed; the F1 of the other
senses is .98; the Fréchet distance is 17.
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
  # Two frames are made at a time: with single frames, motion fades. The sinks, the first two frames, stay in
  # the cache and preserve the digit. No training clip changes its caption, so the movie starts anew when the
  # prompt changes.
  config.rollout.update(chunk=2, sinks=2, on_change="cut")
  # Guidance only at the times at which the digit is decided: at others it makes clips less realistic.
  config.sampling.update(guidance=4.0, interval=(0.5, 0.95))
  return config
