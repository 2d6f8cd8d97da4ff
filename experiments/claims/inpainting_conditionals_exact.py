"""The conditionals of a circuit are those of its joint distribution (to 1e-5), and it models clips.

Tractable in-painting (arXiv 2401.03349; `sampling/inpainting`). A circuit with random weights has 8 binary
values, two frames of 2 x 2 pixels. Value: the greatest error of the sum of the probabilities of its 256
clips, and of the posterior of every value for all 3^8 combinations of known and unknown values, against
enumeration. Bar: 1e-5.

Independent values are normalised and have exact conditionals too. The packaged circuit must therefore have a
log-likelihood, on 64 test clips of the digits in all senses, that is better by 5% than that of independent
values, each with its own histogram. Two fakes are measured: a circuit of independent pixels, which has one
state, must fail this; conditionals that do not look at the known values must fail the first.
"""

CLIPS, HELD_OUT = 2048, 64


def measure(seed: int) -> dict:
  import itertools

  import jax
  import jax.numpy as jnp
  import numpy as np

  from stale_jax.checkpoints.circuit_file import load_circuit
  from stale_jax.clip import Sense
  from stale_jax.pipeline import load
  from stale_jax.sampling.inpainting import CircuitSettings, fit, log_likelihood, posterior, random_circuit
  from stale_jax.sampling.inpainting.circuit import IMPOSSIBLE
  from stale_jax.sampling.inpainting.em import stacked
  from stale_jax.sampling.inpainting.independent import compare

  sense = Sense(name="sight", shape=(2, 2, 1), rate=8.0, patch=(1, 1, 1), channels=("ink",))
  settings = CircuitSettings(levels=2, groups=2, leaf_states=3, states=4, root_states=5)
  circuit = random_circuit(jax.random.key(seed), (sense,), 2, settings)
  kinds = np.array(list(itertools.product((0, 1, 2), repeat=8)))  # 2: unknown.
  possible = np.stack([kinds != 1, kinds != 0], -1)
  evidence = jnp.where(possible, 0.0, IMPOSSIBLE).reshape(-1, 2, 2, 2, 1, 2)
  log_p = np.asarray(jax.jit(log_likelihood)(circuit, {"sight": evidence}), np.float64)
  whole = (kinds < 2).all(1)
  clips, p = kinds[whole], np.exp(log_p[whole])
  fits = ((kinds[:, None] == 2) | (kinds[:, None] == clips)).all(-1)
  exact = np.einsum("kn,niv->kiv", fits * p, np.eye(2)[clips])
  exact /= exact.sum(-1, keepdims=True)
  own = np.asarray(jax.jit(posterior)(circuit, {"sight": evidence})["sight"]).reshape(exact.shape)
  value = max(float(abs(p.sum() - 1)), float(np.abs(own - exact).max()))
  marginal = exact[(kinds == 2).all(1)]
  blind = float(np.abs(np.where((kinds == 2)[..., None], marginal, exact) - exact).max())

  model = load("digits")
  senses = model.system.data.senses
  train = stacked(model.source, senses, range(CLIPS))
  held_out = stacked(model.source.test_split(seed), senses, range(HELD_OUT))
  lone = CircuitSettings(groups=1, leaf_states=1, states=1, root_states=1, epochs=1)
  likelihoods = {
    "circuit": compare(load_circuit("digits"), train, held_out)["log_likelihood"],
    "one state": compare(fit(train, lone, seed), train, held_out)["log_likelihood"],
    "independent": compare(load_circuit("digits"), train, held_out)["independent"],
  }
  least = 0.95 * likelihoods["independent"]
  conditions = {
    "the circuit beats independent values by 5%": likelihoods["circuit"] >= least,
    "a circuit of independent pixels does not": likelihoods["one state"] < least,
    "conditionals that ignore the known values are wrong": blind > 1e-5,
  }
  return {
    "value": value,
    "bar": 1e-5,
    "holds": bool(value <= 1e-5 and all(conditions.values())),
    "conditions": conditions,
    "error_of_marginals": blind,
    "log_likelihood": likelihoods,
  }
