"""From a config to the objects of an experiment, once; no code below reads a config."""

from collections.abc import Mapping
from typing import Any

from stale_jax.clip import Sense
from stale_jax.config.latents import build_latents
from stale_jax.construct import check_keys, choose, construct
from stale_jax.data import build_senses, build_source
from stale_jax.errors import UserError
from stale_jax.mesh import MeshShape
from stale_jax.models import build_autoencoder, build_model
from stale_jax.objectives import (
  Artv,
  ConditionCorruption,
  Copy,
  Cringe,
  Denoising,
  DoG,
  FirstFrames,
  MessUp,
  Reconstruction,
  Total,
)
from stale_jax.processes import (
  Interpolant,
  Process,
  UniformTokens,
  build_density,
  build_process,
)
from stale_jax.sampling import Rollout, Sampling
from stale_jax.system import Data, Diffusion
from stale_jax.training.ema import Ema
from stale_jax.training.experiment import Experiment
from stale_jax.training.experiment import Training as TrainingPlan
from stale_jax.training.optimizer import AdamW, Muon
from stale_jax.training.settings import Training
from stale_jax.training.steps.nft import GRPO, check_grpo
from stale_jax.training.steps.self_forcing import SelfForcing, check_self_forcing

OBJECTIVES = {"denoising": Denoising}
OPTIMIZERS = {"adamw": AdamW, "muon": Muon}


SECTIONS = (
  "seed",
  "senses",
  "source",
  "process",
  "times",
  "model",
  "objective",
  "cringe",
  "dog",
  "messup",
  "corruption",
  "first",
  "artv",
  "optimizer",
  "ema",
  "mesh",
  "training",
  "sampling",
  "rollout",
  "self_forcing",
  "grpo",
)
# Those that an autoencoder has.
CODER_SECTIONS = ("seed", "senses", "source", "model", "objective", "optimizer", "ema", "mesh", "training")


def build(config: Mapping[str, Any]) -> Experiment:
  """Builds every section of `config`; sections left out take their defaults.

  Raises:
    UserError: an unknown section, key or name, or values that do not fit one another.
  """
  coder = config.get("model", {}).get("name") == "autoencoder"
  check_keys(config, CODER_SECTIONS if coder else SECTIONS, "config of an autoencoder" if coder else "config")
  for section in ("senses", "source", *(() if coder else ("process",))):
    if section not in config:
      raise UserError(f"the config lacks its section {section!r}.")
  coded = config["source"].get("name") == "latents"
  source = build_latents(config["source"]) if coded else build_source(config["source"])
  if (coded or coder) and len(getattr(getattr(source, "pixels", source), "sizes", ())) > 1:
    raise UserError(
      "source.buckets and source.images: an autoencoder and its latents have clips of one size."
    )
  senses = build_senses(config["senses"], source)
  training = construct(Training, config.get("training", {}), "training")
  seed = config.get("seed", 0)
  if not 0 <= seed < 2**31:
    raise UserError(f"seed={seed} must lie from 0 to 2^31 - 1.")
  data = Data(source=source, senses=senses)
  shared = {
    "seed": seed,
    "optimizer": choose(OPTIMIZERS, {"name": "adamw", **config.get("optimizer", {})}, "optimizer"),
    "ema": construct(Ema, config.get("ema", {}), "ema"),
    "mesh": construct(MeshShape, config.get("mesh", {}), "mesh"),
    "settings": training,
  }
  if coder:
    objective = construct(Reconstruction, {**config.get("objective", {}), "source": source}, "objective")
    network = build_autoencoder(config["model"], senses, source.frames, objective.adversarial > 0)
    return Experiment(
      data=data, network=network, diffusion=None, training=TrainingPlan(**shared, objective=objective)
    )
  process = build_process(config["process"])
  check_keys(config.get("objective", {}).get("weights", {}), source.senses, "objective.weights")
  objective = {"name": "denoising", **config.get("objective", {}), "process": process}
  terms, judged = [choose(OBJECTIVES, objective, "objective")], {}
  if config.get("cringe") is not None:
    cringe = _cringe(config["cringe"], source, training)
    terms.append(cringe)
    judged = {"labels": sum(cringe.labels.values()), "emoji": cringe.emoji}
  dog = config.get("dog") or {"weight": 0.0}
  if dog.get("weight", DoG.weight):
    given = {"process": process, "source": source, "weights": terms[0].weights}
    terms.append(construct(DoG, {**dog, **given}, "dog"))
  if coded and config.get("model", {}).get("micro"):
    raise UserError("model.micro: what is known of clips is measured in pixels, and latents are none.")
  messup = construct(MessUp, config.get("messup", {}), "messup")
  if messup.noise and isinstance(process, UniformTokens):
    raise UserError("messup.noise is added to clips, and nothing can be added to tokens: messup.drop can be.")
  corruption = construct(ConditionCorruption, config.get("corruption", {}), "corruption")
  perturbed = {"token_drop": messup.drop, "text_noise": corruption.embedding}
  artv = None if config.get("artv") is None else _artv(config, senses, process)
  masked = bool(artv and artv.mask)
  if masked:
    terms.append(Copy(weight=artv.copy))
  time_sampler = build_density(config.get("times", {"name": "uniform"}))
  network = build_model(config.get("model", {}), senses, **perturbed, **judged, mask=masked)
  causal = network.causal and time_sampler.independent
  usual = {"how": "artv" if artv else "causal" if causal else "windows"}
  experiment = Experiment(
    data=data,
    network=network,
    diffusion=Diffusion(
      process=process,
      time_sampler=time_sampler,
      first=construct(FirstFrames, {**config.get("first", {}), "sense": senses[0].name}, "first"),
      artv=artv,
      causal=causal,
      sampling=construct(Sampling, config.get("sampling", {}), "sampling"),
      rollout=construct(Rollout, {**usual, **config.get("rollout", {})}, "rollout"),
    ),
    training=TrainingPlan(
      **shared,
      objective=Total(terms=tuple(terms)),
      messup=messup,
      corruption=corruption,
      self_forcing=_if_given(SelfForcing, config, "self_forcing"),
      grpo=_if_given(GRPO, config, "grpo"),
    ),
  )
  if experiment.training.self_forcing:
    check_self_forcing(experiment)
  if experiment.training.grpo:
    check_grpo(experiment)
  return experiment


def _if_given(cls: type, config: Mapping[str, Any], name: str):
  """What the section `name` describes; None if there is none."""
  return construct(cls, config[name], name) if config.get(name) else None


def _artv(config: Mapping[str, Any], senses: tuple[Sense, ...], process: Process) -> Artv:
  """How frames are learnt one by one; raises UserError if they cannot be."""
  artv = construct(Artv, config["artv"], "artv")
  if config.get("cringe") is not None or (config.get("first") or {}).get("share"):
    raise UserError(
      "config.artv has given frames of its own, and no labels: leave first.share and cringe out."
    )
  if any(sense.patch[0] > 1 for sense in senses):
    raise UserError("config.artv makes a frame at a time, and tokens here cover more: set source.patch=1.")
  if artv.mask and not isinstance(process, Interpolant):
    raise UserError(
      "artv.mask is for processes that mix data with noise: set it to False, or another process."
    )
  return artv


def _cringe(section: Mapping[str, Any], source, training: Training) -> Cringe:
  """The objective, over the labels of `source`; raises UserError if nothing could be learnt from them."""
  check_keys(section, ("weight", "emoji"), "cringe")
  labels = getattr(source, "labels", {})
  if not labels:
    raise UserError("the source has no labels to judge by: leave the config's section 'cringe' out.")
  if not training.caption_dropout:
    raise UserError("training.caption_dropout=0: cringe learns from clips whose caption is withheld.")
  return construct(Cringe, {**section, "labels": labels}, "cringe")
