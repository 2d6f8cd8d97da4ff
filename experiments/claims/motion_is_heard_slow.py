"""Asked for more motion, a model makes clips in which more moves.

A small model of digits in four frames is trained on captions that are all another clip's, so that nothing but
the micro-condition tells it how fast its digit is to go. Then it is asked for the motion of each of 256 real
test clips, with a caption that says nothing and without guidance. Value is Spearman's rank correlation of
what was asked for with what moves in the clips that were made, by the same optical flow; bar .5. `unheard`
is the same of clips from the same noise that were not asked for any motion, and should be about 0.
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
