"""Builds a system (data, network and diffusion) from a resolved config."""

from collections.abc import Mapping
from typing import Any

from stale_jax.clip import Sense
from stale_jax.config.latents import build_latents
from stale_jax.config.mixture import build_mixture
from stale_jax.config.schema import is_autoencoder
from stale_jax.construct import construct
from stale_jax.data import build_senses, build_source
from stale_jax.data.source import Source
from stale_jax.errors import UserError
from stale_jax.models import Transformer, build_autoencoder, build_model
from stale_jax.objectives import Artv, ConditionCorruption, FirstFrames, MessUp
from stale_jax.processes import Process, TimeSampler, build_process, build_time_sampler
from stale_jax.sampling import Rollout, Sampling
from stale_jax.system import Data, Diffusion, System


def build_autoencoder_system(config: Mapping[str, Any]) -> System:
  """Builds an autoencoder and its data."""
  data = build_data(config)
  adversary = config["objective"]["adversarial"] > 0
  network = build_autoencoder(config["model"], data.senses, data.source.frames, adversary)
  return System(data=data, network=network, diffusion=None)


def build_diffusion_system(config: Mapping[str, Any]) -> System:
  """Builds a denoiser, its data and its diffusion."""
  data = build_data(config)
  process = build_process(config["process"])
  artv = _build_artv(config, data.senses, process)
  time_sampler = build_time_sampler(config["times"])
  network = _build_denoiser(config, data, artv)
  if network.relation_width:
    _check_relation(config, process)
  diffusion = _build_diffusion(config, data, process, time_sampler, artv, network)
  return System(data=data, network=network, diffusion=diffusion)


def _check_relation(config: Mapping[str, Any], process: Process) -> None:
  """Raises UserError if sampling with a bias of context does not support what the config needs."""
  if not process.mixes_noise:
    name = type(process).__name__
    raise UserError(f"model.relation_width needs a process that mixes data with noise; {name} does not.")
  if config["artv"] is not None or config["first"]["share"] or config["times"]["independent"]:
    raise UserError(
      "model.relation_width needs clips that are made as a whole: leave out artv and first.share, and set "
      "times.independent=False."
    )


def build_data(config: Mapping[str, Any]) -> Data:
  """Builds the source and its senses; raises UserError if the network does not support them."""
  source = _build_source(config["source"])
  coded = source.pixels is not source
  if (coded or is_autoencoder(config)) and len(source.pixels.sizes) > 1:
    raise UserError(
      "source.buckets and source.images: autoencoders and latents need clips of one size; leave them out."
    )
  if coded and config["model"]["micro"]:
    raise UserError("model.micro: micro-conditions are measured on pixels, not on latents; leave it out.")
  return Data(source=source, senses=build_senses(config["senses"], source))


def _build_source(section: Mapping[str, Any]) -> Source:
  """Builds a source, or the latents or the mixture of other sources."""
  if section.get("name") == "mixture":
    return build_mixture(section, _build_source)
  return build_latents(section) if section.get("name") == "latents" else build_source(section)


def _build_denoiser(config: Mapping[str, Any], data: Data, artv: Artv | None) -> Transformer:
  """Builds the transformer; the sections messup, corruption, cringe and artv set some of its fields."""
  messup = construct(MessUp, config["messup"], "messup")
  corruption = construct(ConditionCorruption, config["corruption"], "corruption")
  return build_model(
    config["model"],
    data.senses,
    **_judged(config, data.source),
    token_drop=messup.drop,
    text_noise=corruption.embedding,
    mask=bool(artv and artv.mask),
  )


def _judged(config: Mapping[str, Any], source) -> dict[str, Any]:
  """Returns the arguments of `build_model` that the section `cringe` determines; none if it is off.

  They are the number of classes that the network predicts, and the token that predicts them (`models.emoji`).
  """
  if config["cringe"] is None:
    return {}
  labels = source.labels
  if not labels:
    raise UserError("the source has no labels, which the section 'cringe' needs: leave cringe out.")
  return {"labels": sum(labels.values()), "emoji": config["cringe"]["emoji"]}


def _build_artv(config: Mapping[str, Any], senses: tuple[Sense, ...], process: Process) -> Artv | None:
  """Builds the settings of next-frame training; None if the section `artv` is off.

  Raises:
    UserError: other sections exclude next-frame training.
  """
  if config["artv"] is None:
    return None
  artv = construct(Artv, config["artv"], "artv")
  if config["cringe"] is not None or config["first"]["share"]:
    raise UserError(
      "config.artv has its own conditioning frames, and no labels: leave first.share and cringe out."
    )
  if any(sense.patch[0] > 1 for sense in senses):
    raise UserError("config.artv makes one frame at a time, but a token covers several: set source.patch=1.")
  if artv.mask and not process.mixes_noise:
    raise UserError(
      "artv.mask needs a process that mixes data with noise: set artv.mask=False, or change the process."
    )
  return artv


def _build_diffusion(
  config: Mapping[str, Any],
  data: Data,
  process: Process,
  time_sampler: TimeSampler,
  artv: Artv | None,
  network: Transformer,
) -> Diffusion:
  """Builds the diffusion; rollout.how="auto" selects the sampler that the network was trained for."""
  causal = network.causal and time_sampler.independent
  rollout = config["rollout"]
  if rollout["how"] == "auto":
    rollout = {**rollout, "how": "artv" if artv else "causal" if causal else "windows"}
  return Diffusion(
    process=process,
    time_sampler=time_sampler,
    first=construct(FirstFrames, {**config["first"], "sense": data.senses[0].name}, "first"),
    artv=artv,
    causal=causal,
    sampling=construct(Sampling, config["sampling"], "sampling"),
    rollout=construct(Rollout, rollout, "rollout"),
  )
