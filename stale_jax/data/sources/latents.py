"""A source of latents: another source's clips, their sight coded by a trained autoencoder, kept on disk.

Diffusion then runs in the autoencoder's space (Rombach et al., arXiv 2112.10752). Each channel of its
latents is moved and scaled to fill the box [-1, 1] in which all diffuses here, as LDM gives them the variance
of its Gaussian prior: -1 and 1 are what one in a thousand latents lies below, and above, and is clipped to.
The map is linear: one by rank would spread the small changes of a background over all of it. The other senses
are small: of each group of frames that one latent stands for, their values lie side by side.
"""

import contextlib
import dataclasses
import fcntl
import functools
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax.serialization import msgpack_restore, msgpack_serialize
from jaxtyping import Float

from stale_jax.clip import Clip, Sense
from stale_jax.compilation import batches
from stale_jax.construct import at_least
from stale_jax.data import build_source
from stale_jax.errors import UserError
from stale_jax.files import make_folder, write_whole
from stale_jax.models import Autoencoder, build_autoencoder
from stale_jax.models.autoencoder import lengthen

_BATCH = 32
# Clips by which the box of the latents is measured, and the share of latents beyond each of its sides.
_MEASURED, _BEYOND = 256, 1e-3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Latents:
  """Random access to coded clips.

  The first `size` clips are coded once, when the first is asked for, and kept in `cache` under a name that
  depends on the autoencoder's weights and on the source: another autoencoder has another file. So is the box
  of the latents, which is that of the first training clips for both splits.

  Attributes:
    source: the section of the source whose clips are coded.
    autoencoder: a run's folder or a weights file.
    cache: folder of the coded clips; without it, what a trained model needs of it is measured anew.
    size: how many of the source's clips are coded.
    split: of the source.
    patch: latents of a side that one token covers.
  """

  source: Mapping[str, Any]
  autoencoder: str
  cache: str = "runs/latents"
  size: int = 4096
  split: str = "train"
  patch: int = 1

  def __post_init__(self):
    at_least(1, "source", size=self.size, patch=self.patch)
    if self._shape[1] % self.patch or self._shape[2] % self.patch:
      raise UserError(
        f"source.patch={self.patch} must divide the latents' {self._shape[1]}x{self._shape[2]}."
      )

  @functools.cached_property
  def pixels(self):
    """The source of the clips themselves."""
    return build_source({**self.source, "split": self.split})

  @functools.cached_property
  def _coder(self) -> tuple[Autoencoder, Any]:
    from stale_jax.checkpoints.store import model_at  # Which knows what is built, as this source is.

    params, config = model_at(self.autoencoder)
    if config.get("model", {}).get("name") != "autoencoder":
      raise UserError(f"source.autoencoder={self.autoencoder} is a model of another kind.")
    senses = tuple(self.pixels.senses.values())
    # Its judge is not asked.
    params = {"params": {k: v for k, v in params["params"].items() if k != "patches"}}
    return build_autoencoder(config["model"], senses, self.pixels.frames, False), params

  @property
  def _shape(self) -> tuple[int, ...]:
    return self._coder[0].latent_shape(self.pixels.frames, self.pixels.senses["sight"].shape)

  @property
  def frames(self) -> int:
    """Latent frames of a clip."""
    return self._shape[0]

  def length(self, frames: int) -> int:
    """Latent frames of at least so many frames."""
    return 1 + -(-(frames - 1) // self._coder[0].time)

  @property
  def labels(self) -> dict[str, int]:
    """The source's own."""
    return getattr(self.pixels, "labels", {})

  @functools.cached_property
  def senses(self) -> dict[str, Sense]:
    """Every sense of the source, as it is coded."""
    time, out = self._coder[0].time, {}
    for name, sense in self.pixels.senses.items():
      rate = sense.rate / time
      if name == "sight":
        shape, patch = self._shape[1:], (1, self.patch, self.patch)
        channels = tuple(f"latent_{i}" for i in range(shape[-1]))
      elif len(sense.shape) > 1:
        continue
      else:
        channels = tuple(f"{channel}/{i}" for i in range(time) for channel in sense.channels)
        shape, patch = (len(channels),), (1,)
      out[name] = Sense(name=name, shape=shape, rate=rate, patch=patch, channels=channels)
    return out

  def __len__(self) -> int:
    return self.size

  def __getitem__(self, index: int) -> dict:
    """The example at `index`, as the source's but for its clip."""
    example = msgpack_restore(self._records[int(index)])
    return {**example, "clip": {name: x.astype(np.float32) for name, x in example["clip"].items()}}

  def encode(self, clip: Clip) -> Clip:
    """Clips [batch, frames, ...] of the source, coded."""
    time, out = self._coder[0].time, {}
    for name, x in clip.items():
      if name == "sight":
        low, high = self.box
        out[name] = np.clip((2 * self._coded(x) - low - high) / (high - low), -1, 1)
      elif name in self.senses:
        with jax.ensure_compile_time_eval():  # An example may be asked for while something is traced.
          x = np.asarray(lengthen(x, time))
        out[name] = x.reshape(len(x), x.shape[1] // time, -1)
    return out

  def decode(self, clip: Clip) -> Clip:
    """Undoes `encode`."""
    (coder, params), time, out = self._coder, self._coder[0].time, {}
    for name, x in clip.items():
      if name == "sight":
        (low, high), parts = self.box, []
        z = (np.clip(x, -1, 1) * (high - low) + low + high) / 2
        for rows in batches(len(z), min(_BATCH, len(z))):
          parts.append(jax.device_get(_run(coder, "decode")(params, z[rows])))
        out[name] = np.concatenate(parts)[: len(x)]
      else:
        x = np.asarray(x)
        out[name] = x.reshape(len(x), x.shape[1] * time, -1)[:, time - 1 :]
    return out

  def _coded(self, sight: Float[np.ndarray, "batch frames height width 3"]) -> np.ndarray:
    """Latents as the autoencoder has them."""
    coder, params = self._coder
    with jax.ensure_compile_time_eval():
      return jax.device_get(_run(coder, "encode")(params, sight))

  @functools.cached_property
  def box(self) -> Float[np.ndarray, "2 channels"]:
    """From where to where the latents of each channel lie, but for one in a thousand at either side."""
    # Who was trained in it stays in it, whatever is taken down.
    section = {key: value for key, value in self.source.items() if key != "takedown"}
    path = make_folder(self.cache) / f"{self._name(section)}.json"
    with _locked(Path(f"{path}.lock")):
      if not path.exists():
        source = dataclasses.replace(self.pixels, split="train")
        clips = (source[i]["clip"] for i in range(min(_MEASURED, len(source))))
        seen = [self._coded(clip["sight"][None]) for clip in clips if "sight" in clip]
        low, high = np.quantile(np.concatenate(seen), (_BEYOND, 1 - _BEYOND), axis=(0, 1, 2, 3))
        # A channel that says nothing has no width.
        write_whole(path, json.dumps([low.tolist(), np.maximum(high, low + 1e-3).tolist()]))
      return np.array(json.loads(path.read_text()), np.float32)

  @functools.cached_property
  def _records(self):
    from array_record.python.array_record_data_source import ArrayRecordDataSource

    down = sorted(getattr(self.pixels, "taken_down", ()))
    name = self._name(dict(self.source), self.split, self.size, self.box.tolist(), down)
    path = make_folder(self.cache) / f"{name}.array_record"
    with _locked(Path(f"{path}.lock")):
      if not path.exists():
        self._write(Path(path))
    return ArrayRecordDataSource([str(path)])

  def _name(self, *of) -> str:
    """By all that a file's content depends on: the autoencoder, and what else it is `of`."""
    digest = hashlib.sha256(json.dumps(of, sort_keys=True).encode())
    digest.update(repr(self._coder[0]).encode())
    for leaf in jax.tree.leaves(self._coder[1]):
      digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()[:16]

  def _write(self, path: Path) -> None:
    from array_record.python.array_record_module import ArrayRecordWriter

    print(f"coding {self.size} clips into {path}.", flush=True)
    partial = path.with_name(path.name + ".partial")
    writer = ArrayRecordWriter(str(partial), "group_size:1")
    for start in range(0, self.size, _BATCH):
      examples = [self.pixels[i] for i in range(start, min(start + _BATCH, self.size))]
      coded: list[Clip] = [{} for _ in examples]
      for name in self.senses:  # Not every clip has each.
        rows = [row for row, example in enumerate(examples) if name in example["clip"]]
        if rows:
          x = self.encode({name: np.stack([examples[row]["clip"][name] for row in rows])})[name]
          for row, values in zip(rows, x, strict=True):
            coded[row][name] = values.astype(np.float16)
      for example, clip in zip(examples, coded, strict=True):
        writer.write(msgpack_serialize({**example, "clip": clip}))
    writer.close()
    partial.rename(path)


@functools.cache
def _run(coder: Autoencoder, method: str):
  return jax.jit(functools.partial(coder.apply, method=method))


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
  """One process at a time; the others wait."""
  with path.open("w") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    yield
