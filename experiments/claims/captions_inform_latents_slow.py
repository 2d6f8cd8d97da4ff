"""A diffusion model of latents uses its captions: with captions of other clips its held-out loss is higher.

A small model is trained on the packaged autoencoder's latents of moving digits. Value: its loss on held-out
clips, averaged over sixteen times, when each clip is given the next clip's caption, divided by its loss with
the clips' own captions. Bar: 1.03.
"""

STEPS, CODED, CLIPS = 600, 2048, 256


def measure(seed: int) -> dict:
  import dataclasses
  import tempfile

  import jax
  import numpy as np

  from experiments.claims._small import digits
  from stale_jax.checkpoints.named import AUTOENCODER
  from stale_jax.checkpoints.weights import load_weights
  from stale_jax.data import collate
  from stale_jax.evaluation.denoising import TIMES, clip_losses
  from stale_jax.testing.models import trained

  with tempfile.TemporaryDirectory() as folder:
    config = digits(seed, canvas=16, depth=4, width=96)
    config["source"] = {
      "name": "latents",
      "source": load_weights(AUTOENCODER)[1]["source"],
      "autoencoder": str(AUTOENCODER),
      "cache": folder,
      "size": CODED,
      "patch": 4,
    }
    config["ema"]["decay"] = 0.99
    model = trained(config, STEPS, batch=32)
    experiment = model.system
    source = dataclasses.replace(experiment.data.source, split="test", size=CLIPS)
    own = [source[i] for i in range(CLIPS)]
  others = [{**e, "caption": after["caption"]} for e, after in zip(own, own[1:] + own[:1], strict=True)]
  keys = jax.random.split(jax.random.key(seed), CLIPS)

  @jax.jit
  def loss(batch, t):
    return clip_losses(experiment.network, experiment.diffusion.process, model.params, batch, t, keys)[
      "sight"
    ].mean()

  losses = {}
  for name, examples in (("own", own), ("others", others)):
    batch = collate(examples, experiment.data.senses, experiment.network.text_length)
    losses[name] = np.array([float(loss(batch, t)) for t in TIMES])
  for t, *both in zip(TIMES, *losses.values(), strict=True):
    print(f"t = {t:.3f}: " + ", ".join(f"{name} {x:.4f}" for name, x in zip(losses, both, strict=True)))
  means = {name: float(x.mean()) for name, x in losses.items()}
  value = means["others"] / means["own"]
  return {"value": value, "bar": 1.03, "holds": value >= 1.03, **means, "clips": CLIPS, "steps": STEPS}
