"""Held-out denoising losses of small models with looped blocks (`models.cycle`) and with token merging."""

import functools

CLIPS = 512
TURNS_STEPS, MERGE_STEPS = 4000, 1500  # Training steps.
ROUNDS, WARM, BATCH = 60, 5, 64  # For timing a forward pass.


@functools.cache
def loss_by_turns(seed: int) -> dict:
  """The losses of one model, trained with 1 to 4 turns of two blocks, when it is run with 1, 2 and 4 turns.

  Returns:
    Number of turns -> held-out loss of each clip, [clips].
  """
  import dataclasses

  from experiments.claims._small import digits
  from stale_jax.evaluation.denoising import held_out_losses
  from stale_jax.pipeline import Model
  from stale_jax.testing.models import trained

  model = trained(digits(seed, canvas=12, frames=4, patch=2, depth=2, turns=4), TURNS_STEPS)

  def loss(turns: int):
    network = model.system.network.clone(turns=turns)
    turned = Model(dataclasses.replace(model.system, network=network), model.params, model.name)
    return held_out_losses(turned, CLIPS, seed)["sight"].mean(1)

  return {turns: loss(turns) for turns in (1, 2, 4)}


@functools.cache
def merged_and_whole(seed: int) -> tuple[dict, float]:
  """The losses of models with and without token merging, and the time that merging saves.

  Returns:
    Name -> held-out loss of each clip, [clips]: "whole" is trained and run without merging, "merged" is
    trained and run with merging, "merged without training" is trained without and run with merging.
    The median time of a forward pass with merging, divided by that without; the two are timed alternately.
  """
  import jax
  import jax.numpy as jnp
  import numpy as np

  from experiments.claims._small import digits
  from experiments.claims._timing import alternate
  from stale_jax.clip import Context
  from stale_jax.evaluation.denoising import held_out_losses
  from stale_jax.pipeline import Model
  from stale_jax.testing.models import trained

  def config(merge: bool) -> dict:
    return digits(seed, canvas=16, frames=4, patch=1, depth=8, turns=1, merge=merge)

  models = {
    name: trained(config(merge), MERGE_STEPS, batch=32)
    for name, merge in (("whole", False), ("merged", True))
  }
  untaught = Model(models["merged"].system, models["whole"].params, "merged without training")
  losses = {
    name: held_out_losses(model, CLIPS, seed)["sight"].mean(1)
    for name, model in {**models, untaught.name: untaught}.items()
  }

  system = models["whole"].system
  source = system.data.source
  sight = np.random.default_rng(seed).uniform(-1, 1, (BATCH, source.frames, *source.senses["sight"].shape))
  words = jnp.ones((BATCH, system.network.text_length), jnp.int32)
  inputs = {"sight": jnp.asarray(sight, jnp.float32)}, jnp.full(sight.shape[:2], 0.7), Context(text=words)

  def forward(model):
    run = jax.jit(model.system.network.apply)
    return lambda: jax.block_until_ready(run(model.params, *inputs))

  medians = alternate({name: forward(model) for name, model in models.items()}, ROUNDS, WARM)
  return losses, medians["merged"] / medians["whole"]
