"""An autoencoder's bottleneck binds: if a bit costs a thousand times as much, the error at least doubles.

Small autoencoders of moving digits, trained alike from the same seed, with a KL weight of 1 and with the
config's .001. Value: the ratio of their mean squared errors on held-out clips. Bar: 2. `nats` is the KL
divergence per latent value, in nats.
"""

STEPS, CLIPS = 600, 256


def measure(seed: int) -> dict:
  from experiments.claims._small import autoencoder
  from stale_jax.evaluation import evaluate_reconstruction
  from stale_jax.testing.models import trained

  found = {}
  for name, objective in (("plain", {}), ("costly", {"kl": 1.0})):
    model = trained(autoencoder(seed, canvas=12, objective=objective), STEPS)
    found[name], _ = evaluate_reconstruction(model, clips=CLIPS)
    mse, nats = found[name]["mse"], found[name]["nats"]
    print(
      f"{name:7} mse {mse:.5f}, {found[name]['over_pca']:.3f} of the error of PCA; {nats:.3f} nats per value"
    )
  value = found["costly"]["mse"] / found["plain"]["mse"]
  each = {score: {name: said[score] for name, said in found.items()} for score in ("mse", "nats")}
  return {"value": value, "bar": 2.0, "holds": value >= 2, **each, "steps": STEPS}
