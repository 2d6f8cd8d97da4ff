"""An autoencoder's bottleneck binds: bits that cost more are fewer, and of finite scalars many are in use.

Small autoencoders of moving digits, trained alike from the same seed. At a KL weight of 1, in place of the
config's .001, the mean squared error of held-out clips must be at least twice as great; the perplexity of
finite-scalar codewords at least a quarter of their number. Value is the lesser of the two, each over its bar.
"""

STEPS, CLIPS = 1000, 256
LEVELS = (8, 5, 5, 5)
BARS = {"kl": 2.0, "codes": 0.25}


def measure(seed: int) -> dict:
  from experiments.claims._small import autoencoder, trained
  from stale_jax.evaluation import evaluate_reconstruction

  def scores(**sections) -> dict:
    said, _ = evaluate_reconstruction(trained(autoencoder(seed, canvas=12, **sections), STEPS), clips=CLIPS)
    return said

  plain, costly = scores(), scores(objective={"kl": 1.0})
  finite = scores(model={"bottleneck": "fsq", "levels": LEVELS})
  for name, of in (("KL .001", plain), ("KL 1", costly), ("finite scalars", finite)):
    nats = f"{of['nats']:.3f} nats a number" if "nats" in of else f"perplexity {of['codes']:.3f} of the codes"
    print(f"{name:15} mse {of['mse']:.5f}, {of['over_pca']:.3f} of principal components'; {nats}")
  values = {"kl": costly["mse"] / plain["mse"], "codes": finite["codes"]}
  worst = min(values[name] / bar for name, bar in BARS.items())
  return {
    "value": worst,
    "bar": 1.0,
    "holds": bool(worst >= 1),
    **values,
    "bars": BARS,
    "mse": {"plain": plain["mse"], "costly": costly["mse"], "finite": finite["mse"]},
    "nats": {"plain": plain["nats"], "costly": costly["nats"]},
    "steps": STEPS,
  }
