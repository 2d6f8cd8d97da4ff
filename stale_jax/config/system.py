"""From a resolved config to a system: data, network and diffusion."""

from collections.abc import Mapping
from typing import Any

from stale_jax.clip import Sense
from stale_jax.config.latents import build_latents
from stale_jax.config.schema import is_autoencoder
from stale_jax.construct import construct
from stale_jax.data import build_senses, build_source
from stale_jax.errors import UserError
from stale_jax.models import Transformer, build_autoencoder, build_model
from stale_jax.objectives import Artv, ConditionCorruption, FirstFrames, MessUp
from stale_jax.processes import Process, TimeSampler, build_process, build_time_sampler
from stale_jax.sampling import Rollout, Sampling
from stale_jax.system import Data, Diffusion, System


def build_autoencoder_system(config: Mapping[str, Any]) -> System:
  """An autoencoder and its clips."""
  data = build_data(config)
  adversary = config["objective"]["adversarial"] > 0
  network = build_autoencoder(config["model"], data.senses, data.source.frames, adversary)
  return System(data=data, network=network, diffusion=None)


def build_diffusion_system(config: Mapping[str, Any]) -> System:
  """A denoiser, its clips and how it is used."""
  data = build_data(config)
  process = build_process(config["process"])
  artv = _build_artv(config, data.senses, process)
  time_sampler = build_time_sampler(config["times"])
  network = _build_denoiser(config, data, artv)
  diffusion = _build_diffusion(config, data, process, time_sampler, artv, network)
  return System(data=data, network=network, diffusion=diffusion)


def build_data(config: Mapping[str, Any]) -> Data:
  """The source and its senses."""
  coded = config["source"].get("name") == "latents"
  source = build_latents(config["source"]) if coded else build_source(config["source"])
  if (coded or is_autoencoder(config)) and len(source.pixels.sizes) > 1:
    raise UserError(
      "source.buckets and source.images: an autoencoder and its latents have clips of one size."
    )
  if coded and config["model"]["micro"]:
    raise UserError("model.micro: what is known of clips is measured in pixels, and latents are none.")
  return Data(source=source, senses=build_senses(config["senses"], source))


def _build_denoiser(config: Mapping[str, Any], data: Data, artv: Artv | None) -> Transformer:
  """The transformer; what it has besides its own section depends on how it is trained."""
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
  """How many classes the network judges clips by, and the token that it judges with."""
  if config["cringe"] is None:
    return {}
  labels = source.labels
  if not labels:
    raise UserError("the source has no labels to judge by: leave the config's section 'cringe' out.")
  return {"labels": sum(labels.values()), "emoji": config["cringe"]["emoji"]}


def _build_artv(config: Mapping[str, Any], senses: tuple[Sense, ...], process: Process) -> Artv | None:
  """How frames are learnt one by one, None if they are not; raises UserError if they cannot be."""
  if config["artv"] is None:
    return None
  artv = construct(Artv, config["artv"], "artv")
  if config["cringe"] is not None or config["first"]["share"]:
    raise UserError(
      "config.artv has given frames of its own, and no labels: leave first.share and cringe out."
    )
  if any(sense.patch[0] > 1 for sense in senses):
    raise UserError("config.artv makes a frame at a time, and tokens here cover more: set source.patch=1.")
  if artv.mask and not process.mixes_noise:
    raise UserError(
      "artv.mask is for processes that mix data with noise: set it to False, or another process."
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
  """How the network is used; the usual rollout depends on what it was trained for."""
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
