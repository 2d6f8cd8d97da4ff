"""Writes captions with a vision model behind an endpoint that speaks OpenAI's chat API.

Besides OpenAI, servers such as vLLM, llama.cpp and Ollama, and most providers, offer this API. The
environment variable OPENAI_BASE_URL holds its address, by default https://api.openai.com/v1, and
OPENAI_API_KEY the key, if it needs one.
"""

import base64
import json
import os
import time
import urllib.error
import urllib.request
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from stale_jax.data.metadata import Described, without_mentions
from stale_jax.errors import UserError

_ASK = (
  "These are four frames of a video clip, in order. Describe the clip in one sentence of at most 30 words: "
  "who or what is seen, what it does, and where. Name nobody, and do not mention frames, images or video."
)
_HINT = " The uploader's caption, which may say nothing about the clip, is: "
_SIDE = 512  # Greatest side of the pictures that are sent, in pixels.
_SECONDS = 15.0  # Time limit of a request.
_TRIES = 5  # Tries, with pauses of _PAUSE, 2 _PAUSE, 4 _PAUSE, ... seconds between them.
_PAUSE = 2.0
_TOKENS = 200  # Greatest length of an answer.
# Answers after which another try may succeed: too many requests, and failures of the server.
_TRANSIENT = (408, 429, 500, 502, 503, 504)


def ask_for_caption(model: str, pictures: UInt8[np.ndarray, "4 height width 3"], known: Described) -> str:
  """The caption of a clip.

  Args:
    model: the endpoint's name of the model.
    pictures: pictures of the clip, in order.
    known: the metadata of its video, of which the caption is passed on.

  Raises:
    UserError: the endpoint does not answer, or not with a caption.
  """
  text = _ASK + (_HINT + json.dumps(known.caption) if known.caption else "")
  images = [{"type": "image_url", "image_url": {"url": _data_url(picture)}} for picture in pictures]
  message = {"role": "user", "content": [{"type": "text", "text": text}, *images]}
  body = {"model": model, "messages": [message], "max_tokens": _TOKENS, "temperature": 0}
  base = os.environ.get("OPENAI_BASE_URL", "https://api.openai.com/v1").rstrip("/")
  answer = _post(f"{base}/chat/completions", body)
  try:
    choice = answer["choices"][0]
    caption, is_cut = choice["message"]["content"].strip().strip('"'), choice.get("finish_reason") == "length"
  except (KeyError, IndexError, TypeError, AttributeError) as error:
    raise UserError(f"{base} gave no caption, but {_cut(json.dumps(answer))}") from error
  if is_cut:
    raise UserError(
      f"{base} gave a caption of more than {_TOKENS} tokens; choose another model than {model!r}."
    )
  if not caption:
    raise UserError(f"{base} gave an empty caption; choose another model than {model!r}.")
  return without_mentions(caption)


def _post(address: str, body: dict[str, Any]) -> Any:
  """Sends `body` as JSON and returns the answer, parsed."""
  headers = {"Content-Type": "application/json"}
  if key := os.environ.get("OPENAI_API_KEY"):
    headers["Authorization"] = f"Bearer {key}"
  for number in range(1, _TRIES + 1):
    try:
      request = urllib.request.Request(address, json.dumps(body).encode(), headers)
      with urllib.request.urlopen(request, timeout=_SECONDS) as response:
        return json.loads(response.read())
    except urllib.error.HTTPError as error:
      if number == _TRIES or error.code not in _TRANSIENT:
        raise UserError(
          f"{address} answers {error.code}: {_cut(error.read().decode(errors='replace'))}"
        ) from error
    except (OSError, ValueError) as error:
      if number == _TRIES:
        raise UserError(f"{address} cannot be used (set OPENAI_BASE_URL): {_cut(str(error))}") from error
    time.sleep(_PAUSE * 2 ** (number - 1))
  raise AssertionError


def _data_url(picture: UInt8[np.ndarray, "height width 3"]) -> str:
  scale = min(1, _SIDE / max(picture.shape[:2]))
  size = tuple(max(1, round(side * scale)) for side in picture.shape[1::-1])
  small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
  _, data = cv2.imencode(".jpg", small[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, 85))
  return f"data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode()}"


def _cut(text: str) -> str:
  return " ".join(text.split())[:200]
