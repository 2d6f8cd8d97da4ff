"""Merging the least-attended third of the tokens saves more of the time than it loses of the loss.

Eight blocks, one turn: of 64 tokens of sight (16 places, four times) the last seven see 44. Both
models are trained alike, one with and one without merging. Value is the relative rise of the
held-out denoising loss over the relative saving of a forward pass's time, timed in alternation
within this run; below 1 it pays. The loss of merging in the model that was trained without it is
told beside.
"""

STEPS, CLIPS = 1500, 512
ROUNDS, WARM, BATCH = 60, 5, 64


def measure(seed: int) -> dict:
  import jax
  import jax.numpy as jnp
  import numpy as np

  from experiments.claims._small import digits
  from experiments.claims._timing import alternate
  from stale_jax.clip import Context
  from stale_jax.evaluation.denoising import held_out_losses
  from stale_jax.pipeline import Model
  from stale_jax.testing.models import trained

  models = {
    name: trained(digits(seed, canvas=16, frames=4, patch=1, depth=8, turns=1, merge=merge), STEPS, batch=32)
    for name, merge in (("whole", False), ("merged", True))
  }
  untaught = Model(models["merged"].system, models["whole"].params, "merged without training")
  loss = {
    name: held_out_losses(model, CLIPS, seed)["sight"].mean(1)
    for name, model in {**models, untaught.name: untaught}.items()
  }

  experiment = models["whole"].system
  source = experiment.data.source
  sight = np.random.default_rng(seed).uniform(-1, 1, (BATCH, source.frames, *source.senses["sight"].shape))
  words = jnp.ones((BATCH, experiment.network.text_length), jnp.int32)
  given = {"sight": jnp.asarray(sight, jnp.float32)}, jnp.full(sight.shape[:2], 0.7), Context(text=words)

  def forward(model):
    run = jax.jit(model.system.network.apply)
    return lambda: jax.block_until_ready(run(model.params, *given))

  medians = alternate({name: forward(model) for name, model in models.items()}, ROUNDS, WARM)

  def compared(name):
    change = loss[name] - loss["whole"]
    return float(change.mean() / loss["whole"].mean()), float(
      change.std(ddof=1) / np.sqrt(len(change)) / loss["whole"].mean()
    )

  (rise, error), ratio = compared("merged"), medians["merged"] / medians["whole"]
  untrained, untrained_error = compared("merged without training")
  print(f"loss {loss['whole'].mean():.5f}; merged {rise:+.2%} (paired standard error {error:.2%})")
  print(f"merged without training {untrained:+.2%} (paired standard error {untrained_error:.2%})")
  print(f"time of a forward pass: {ratio:.3f} of the whole's")
  value = rise / (1 - ratio) if ratio < 1 else float("inf")
  return {
    "value": value,
    "bar": 1.0,
    "holds": value < 1,
    "time_ratio": ratio,
    "loss_change": rise,
    "loss_change_error": error,
    "loss_change_without_training": untrained,
    "loss": {name: float(x.mean()) for name, x in loss.items()},
    "clips": CLIPS,
    "steps": STEPS,
  }
