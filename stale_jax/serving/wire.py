"""The messages of a WebSocket: JSON texts in both directions, and finished chunks as binary messages.

A binary message of the server is a length of two bytes (little-endian), a header of so many bytes (JSON), and
the parts that the header lists, one after the other:

  {"chunk": 3, "frame": 12, "prompt": "...", "made": 81.2, "generated": true, "parts": [
    {"sense": "sight", "encoding": "rgb8", "shape": [4, 12, 12, 3], "bytes": [1728]},
    {"sense": "touch", "encoding": "u8", "shape": [4, 4], "bytes": [16]}]}

Encodings: "rgb8", bytes of pixels; "jpeg", one file per frame; "u8", intensities from 0 to 255; "pcm16",
samples of sound (little-endian), with the ears in the last axis.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from stale_jax.clip import Sense, intensity
from stale_jax.fields import fits, words
from stale_jax.media.picture import to_bytes
from stale_jax.serving.limits import Limits
from stale_jax.serving.outbox import Chunk
from stale_jax.serving.refusal import RefusalError

_SMALL = 64 * 64  # Pixels up to which a picture is sent as it is.
_QUALITY = 90  # Of JPEG.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Open:
  """Begins a stream.

  Attributes:
    prompt: what the movie shows.
    seed: seed of the noise; None: the server draws one.
    sound: whether the chunks contain sound.
    source: whether the client will send pictures for video-to-video.
    access: the access token, if the server needs one.
  """

  kind: ClassVar[str] = "open"
  prompt: str
  seed: int | None = None
  sound: bool = False
  source: bool = False
  access: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Resume:
  """Continues a stream after a lost connection, with the token that `opened` contained."""

  kind: ClassVar[str] = "resume"
  stream: str
  token: str
  sound: bool = False
  access: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prompt:
  """Changes the prompt from the next entering chunk on.

  Attributes:
    prompt: the new prompt.
    cut: whether the movie starts anew, without seeing its past; None: as the config of the model says.
  """

  kind: ClassVar[str] = "prompt"
  prompt: str
  cut: bool | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sound:
  """Turns sound on or off."""

  kind: ClassVar[str] = "sound"
  on: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ping:
  """Is answered with `pong`, which repeats `sent` and adds the clock of the server."""

  kind: ClassVar[str] = "ping"
  sent: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Close:
  """Ends the stream."""

  kind: ClassVar[str] = "close"


Message = Open | Resume | Prompt | Sound | Ping | Close
MESSAGES: dict[str, type] = {cls.kind: cls for cls in (Open, Resume, Prompt, Sound, Ping, Close)}
_MOST_SEED = 2**32 - 1


def parse(text: str, limits: Limits, prompt_bytes: int) -> Message:
  """Reads a message of a client.

  Args:
    text: the message.
    limits: limits of the server.
    prompt_bytes: bytes of the longest prompt.

  Raises:
    RefusalError: the message is malformed.
  """
  if len(text) > limits.message_bytes:
    raise RefusalError(
      "message_too_long", f"the message has {len(text)} characters; at most {limits.message_bytes} are read."
    )
  try:
    fields = json.loads(text)
  except (ValueError, RecursionError) as error:
    raise RefusalError("not_json", f"the message is not JSON: {str(error)[:80]}.") from error
  if not isinstance(fields, dict):
    raise RefusalError("not_an_object", 'the message must be an object such as {"type": "ping", "sent": 0}.')
  kind = fields.pop("type", None)
  if not isinstance(kind, str) or kind not in MESSAGES:
    raise RefusalError(
      "unknown_type", f"unknown type {str(kind)[:40]!r}; choose {', '.join(MESSAGES)}.", param="type"
    )
  return _checked(MESSAGES[kind], fields, prompt_bytes)


def _checked(cls: type, fields: Mapping[str, Any], prompt_bytes: int) -> Message:
  known = {field.name: field for field in dataclasses.fields(cls)}
  for name, value in fields.items():
    if name not in known:
      raise RefusalError(
        "unknown_field", f"{cls.kind} has no field {name[:40]!r}; it has {', '.join(known) or 'none'}."
      )
    if not fits(value, known[name].type):
      raise RefusalError("wrong_type", f"{name} must be {words(known[name].type)}.", param=name)
  for name, field in known.items():
    if field.default is dataclasses.MISSING and name not in fields:
      raise RefusalError("missing_field", f"{cls.kind} needs the field {name!r}.", param=name)
  if fields.get("seed") is not None:
    check_seed(fields["seed"])
  if "prompt" in fields:
    check_prompt(fields["prompt"], prompt_bytes)
  return cls(**fields)


def check_seed(seed: int) -> None:
  """Raises RefusalError if `seed` is out of range."""
  if not 0 <= seed <= _MOST_SEED:
    raise RefusalError("out_of_range", f"seed must lie from 0 to {_MOST_SEED}.", param="seed")


def check_prompt(prompt: str, most: int) -> None:
  """Raises RefusalError unless `prompt` is empty or a text of at most `most` bytes."""
  try:
    length = len(prompt.encode())
  except UnicodeEncodeError as error:
    raise RefusalError("prompt_invalid", "the prompt is not valid UTF-8.", param="prompt") from error
  if length > most:
    raise RefusalError(
      "prompt_too_long", f"the prompt has {length} bytes; at most {most} are read.", param="prompt"
    )
  if prompt and not prompt.strip():
    raise RefusalError("prompt_invalid", "the prompt has only white space.", param="prompt")


def described(senses: Sequence[Sense]) -> dict[str, Any]:
  """The senses of a stream, for a client."""
  return {sense.name: {"shape": list(sense.shape), "channels": list(sense.channels)} for sense in senses}


def encode(chunk: Chunk, wave: Float[np.ndarray, "samples *ears"] | None, rate: int) -> bytes:
  """A binary message.

  Args:
    chunk: the finished chunk.
    wave: its sound in [-1, 1]; None for none.
    rate: samples of sound per second.
  """
  parts, data = [], []
  frames = len(next(iter(chunk.clip.values())))

  def add(sense: str, encoding: str, shape: Sequence[int], pieces: Sequence[bytes], **more: int) -> None:
    sizes = [len(piece) for piece in pieces]
    parts.append({"sense": sense, "encoding": encoding, "shape": list(shape), "bytes": sizes, **more})
    data.extend(pieces)

  for name, values in chunk.clip.items():
    if name == "sight" and values.shape[1] * values.shape[2] > _SMALL:
      add(name, "jpeg", values.shape, [_jpeg(picture) for picture in to_bytes(values)])
    elif name == "sight":
      add(name, "rgb8", values.shape, [to_bytes(values).tobytes()])
    else:
      add(name, "u8", values.shape, [np.rint(intensity(values) * 255).astype(np.uint8).tobytes()])
  if wave is not None:
    samples = np.rint(np.clip(wave, -1, 1) * 32767).astype("<i2")
    add("sound", "pcm16", samples.shape, [samples.tobytes()], rate=rate)
  about = {"chunk": chunk.number, "frame": chunk.number * frames, "prompt": chunk.prompt}
  about |= {"made": round(chunk.made, 4), "generated": True, "parts": parts}
  header = json.dumps(about, separators=(",", ":")).encode()
  return b"".join([len(header).to_bytes(2, "little"), header, *data])


def decode(message: bytes) -> tuple[dict[str, Any], list[bytes]]:
  """(header, the pieces of all parts) of a binary message, for clients in Python."""
  size = int.from_bytes(message[:2], "little")
  header, rest = json.loads(message[2 : 2 + size]), message[2 + size :]
  pieces, at = [], 0
  for part in header["parts"]:
    for length in part["bytes"]:
      pieces.append(rest[at : at + length])
      at += length
  return header, pieces


def _jpeg(picture: UInt8[np.ndarray, "height width 3"]) -> bytes:
  _, data = cv2.imencode(".jpg", picture[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, _QUALITY))
  return data.tobytes()
