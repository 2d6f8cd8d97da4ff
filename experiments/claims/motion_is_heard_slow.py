"""Asked for more motion, a model makes clips in which more moves.

A small model of clips of four frames is trained with the caption of another clip for every clip, so that only
the micro-condition "motion" tells it how fast the digit should move. It is then asked for the motion of each
of 256 real test clips, with uninformative captions and without guidance. Value: Spearman's rank correlation
between the requested motion and the motion of the generated clips, measured with the same optical flow. Bar:
.5. `unheard` is the correlation for clips from the same noise that were not asked for any motion; it should
be about 0.
"""

STEPS, BATCH, CLIPS = 2000, 32, 256


def measure(seed: int) -> dict:
  import dataclasses

  from scipy.stats import spearmanr

  from experiments.claims._small import digits
  from stale_jax.data.micro import measure_motion
  from stale_jax.testing.models import trained

  config = digits(seed, canvas=12, frames=4, micro=("motion",))
  config["corruption"] = {"captions": 1.0}
  model = trained(config, STEPS, batch=BATCH)
  source = dataclasses.replace(model.system.data.source, split="test")
  examples = [source[seed + i] for i in range(CLIPS)]
  prompts, seeds = [example["caption"] for example in examples[::-1]], list(range(CLIPS))
  asked = [measure_motion(example["clip"], source.rate) for example in examples]

  def correlation(**micro) -> float:
    made = model.sample(prompts, seeds, guidance=1.0, **micro)["sight"]
    moved = [measure_motion({"sight": clip}, source.rate) for clip in made]
    return float(spearmanr(asked, moved).statistic)

  value = correlation(micro={"motion": asked})
  return {"value": value, "bar": 0.5, "holds": value >= 0.5, "unheard": correlation(), "steps": STEPS}
