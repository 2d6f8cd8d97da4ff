"""On held-out clips the autoencoder's error is at most .3 times that of the best linear code of its size.

Compares the packaged autoencoder with principal components of the same patches (4x4 pixels of two frames), as
many as a latent has values. Value: the ratio of the mean squared errors. Bar: .3.
"""

CLIPS = 256


def measure(seed: int) -> dict:
  from stale_jax.checkpoints.named import AUTOENCODER
  from stale_jax.evaluation import evaluate_reconstruction
  from stale_jax.pipeline import load

  scores, _ = evaluate_reconstruction(load(AUTOENCODER), clips=CLIPS, seed=seed)
  value = scores["over_pca"]
  return {
    "value": value,
    "bar": 0.3,
    "holds": value <= 0.3,
    **{k: scores[k] for k in ("mse", "pca", "psnr", "std")},
  }
