"""The ODE's likelihood of known densities is within 1% of the truth, and Hutchinson's error bar covers it.

Under `reflected` and `uniform_flow`, the data are a mixture of folded Gaussians in 1 and in 8 independent
dimensions, the score is exact, and the truth is computed by quadrature. Under `gaussian_flow`, the data are
Gaussian with 8 correlated dimensions, the truth is analytic, and the divergence is estimated with random
probes. Value: the greatest relative error of the mean log-likelihood, in bits per dimension. Bar: .01. In
addition, under `gaussian_flow`, the estimate +- 2 standard errors must cover the truth for .85 to .97 of the
clips.
"""

CLIPS, STEPS, PROBES = 512, 256, 8


def measure(seed: int) -> dict:
  import jax
  import jax.numpy as jnp
  import numpy as np
  from scipy.stats import multivariate_normal

  from stale_jax.clip import Context
  from stale_jax.evaluation.likelihood import likelihood, path
  from stale_jax.processes import GaussianFlow, Reflected, UniformFlow
  from stale_jax.processes.process import per_frame
  from stale_jax.testing.densities import FoldedMixture

  rng, mixture = np.random.default_rng(seed), FoldedMixture()
  cells = np.linspace(-1, 1, 200_001)
  middle = (cells[1:] + cells[:-1]) / 2

  def follow(process, denoiser, x, times, probes):
    context = Context(text=jnp.zeros((len(x), 1), jnp.int32))
    key = jax.random.key(seed)
    run = jax.jit(lambda x: likelihood(process, denoiser, {"a": x}, times, context, key, probes))
    return jax.device_get(run(jnp.asarray(x[:, None])))

  def folded(process, dimensions):
    """Measures clips at equally spaced quantiles of the folded mixture, so that there is no sampling error.

    Returns:
      The mean bits per dimension, their true value, and the share of values whose path ends outside the box.
    """
    times = path(STEPS)
    density = mixture.noised_density(middle, process, times[0])
    mass = density * np.diff(cells)
    truth = (mass * (np.log2(np.maximum(density, 1e-300)) + 1)).sum()
    quantiles = np.interp((np.arange(CLIPS) + 0.5) / CLIPS, np.append(0, np.cumsum(mass)) / mass.sum(), cells)
    x = np.stack([rng.permutation(quantiles) for _ in range(dimensions)], -1)
    # The Jacobian is diagonal, so every probe of +-1 is exact.
    found = follow(process, mixture.denoiser(process), x, times, 2)
    return found.bits.mean(), truth, found.outside.mean()

  def correlated():
    """Measures samples of correlated Gaussian data, for which the Jacobian is not diagonal.

    Returns:
      The mean bits per dimension, their true value, the share of clips for which the estimate +- 2 standard
      errors covers the truth, and the mean standard error.
    """
    process, times, dimensions = GaussianFlow(), path(STEPS), 8
    factor = 0.2 * rng.standard_normal((dimensions, dimensions)) / np.sqrt(dimensions) + 0.05 * np.eye(
      dimensions
    )
    covariance = factor @ factor.T
    variance, axes = np.linalg.eigh(covariance)

    def denoiser(clip, t, context):
      a, t = per_frame(1 - t, clip["a"]), per_frame(t, clip["a"])
      gain = a * variance / (jnp.square(a) * variance + jnp.square(t))
      return {"a": (clip["a"] @ axes * gain) @ axes.T}

    normal = multivariate_normal(cov=(1 - times[0]) ** 2 * covariance + times[0] ** 2 * np.eye(dimensions))
    x = normal.rvs(CLIPS, random_state=rng)
    found, truth = follow(process, denoiser, x, times, PROBES), normal.logpdf(x) / np.log(2) / dimensions + 1
    covered = np.abs(found.bits - truth) <= 2 * found.error
    return found.bits.mean(), truth.mean(), covered.mean(), found.error.mean()

  rows = {}
  with jax.enable_x64(True):
    for name, process in (("reflected", Reflected(sigma_min=0.005)), ("uniform_flow", UniformFlow())):
      for dimensions in (1, 8):
        bits, truth, outside = folded(process, dimensions)
        rows[f"{name} {dimensions}"] = float(bits / truth - 1)
        print(
          f"{name:14} {dimensions} dimension(s): {bits:.4f} bits per dimension, truth {truth:.4f}, "
          f"share outside the box {outside:.4f}"
        )
    bits, truth, covered, error = correlated()
  rows["gaussian_flow 8"] = float(bits / truth - 1)
  print(f"gaussian_flow  8 correlated dimensions: {bits:.4f} bits per dimension, truth {truth:.4f}")
  print(
    f"the estimate +- 2 standard errors over {PROBES} probes (mean {error:.4f}) covers the truth for "
    f"{covered:.3f} of the clips"
  )
  value = max(map(abs, rows.values()))
  return {
    "value": value,
    "bar": 0.01,
    # Student's t with 7 degrees of freedom lies within 2 with probability .914.
    "holds": bool(value <= 0.01 and 0.85 <= covered <= 0.97 and error > 0),
    "relative_errors": rows,
    "covered": float(covered),
  }
