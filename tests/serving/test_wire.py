"""Messages: what is malformed has a named error; chunks arrive as they were sent."""

import json

import cv2
import numpy as np
import pytest

from stale_jax.serving import wire
from stale_jax.serving.limits import Limits
from stale_jax.serving.outbox import Chunk
from stale_jax.serving.refusal import CODES, RefusalError


@pytest.mark.parametrize(
  ("text", "code"),
  [
    ("{", "not_json"),
    ("\0", "not_json"),
    ("[" * 5000, "not_json"),
    ("[]", "not_an_object"),
    ("3", "not_an_object"),
    ("{}", "unknown_type"),
    ('{"type": 7}', "unknown_type"),
    ('{"type": "opne", "prompt": "a"}', "unknown_type"),
    ('{"type": "open"}', "missing_field"),
    ('{"type": "open", "prompt": "a", "speed": 1}', "unknown_field"),
    ('{"type": "open", "prompt": 3}', "wrong_type"),
    ('{"type": "open", "prompt": "a", "seed": true}', "wrong_type"),
    ('{"type": "open", "prompt": "a", "seed": 1.5}', "wrong_type"),
    ('{"type": "open", "prompt": "a", "seed": -1}', "out_of_range"),
    ('{"type": "open", "prompt": "a", "seed": 4294967296}', "out_of_range"),
    ('{"type": "open", "prompt": "\\ud800"}', "prompt_invalid"),
    ('{"type": "prompt", "prompt": "  "}', "prompt_invalid"),
    ('{"type": "prompt", "prompt": "ééééééééééé"}', "prompt_too_long"),
    ('{"type": "sound", "on": "yes"}', "wrong_type"),
    ('{"type": "ping"}', "missing_field"),
    ('{"type": "resume", "stream": "x"}', "missing_field"),
    ('{"type": "open", "prompt": "' + "a" * 9000 + '"}', "message_too_long"),
  ],
)
def test_malformed_messages_have_a_named_error(text, code):
  with pytest.raises(RefusalError) as refused:
    wire.parse(text, Limits(), 20)
  assert refused.value.code == code and code in CODES
  event = refused.value.event(fatal=False)
  assert json.loads(json.dumps(event)) == event and len(event["message"]) < 200


def test_messages_are_read():
  assert wire.parse('{"type": "open", "prompt": "a red two", "seed": 5}', Limits(), 20) == wire.Open(
    prompt="a red two", seed=5
  )
  assert wire.parse('{"type": "prompt", "prompt": "", "cut": true}', Limits(), 20).cut is True
  assert wire.parse('{"type": "ping", "sent": 1}', Limits(), 20).kind == "ping"
  with pytest.raises(RefusalError):  # Python reads NaN, which is no JSON; a seed is an integer in any case.
    wire.parse('{"type": "open", "prompt": "a", "seed": NaN}', Limits(), 20)


def chunk(height, width):
  rng = np.random.default_rng(0)
  sight = np.broadcast_to(rng.uniform(-1, 1, (4, 1, 1, 3)), (4, height, width, 3)).astype(np.float32)
  touch = np.linspace(-1, 1, 16, dtype=np.float32).reshape(4, 4)
  return Chunk(number=3, prompt="é <", made=12.5, clip={"sight": sight, "touch": touch})


def test_small_chunks_arrive_exactly():
  sent = chunk(12, 10)
  wave = np.linspace(-1, 1, 50, dtype=np.float32).reshape(25, 2)
  header, pieces = wire.decode(wire.encode(sent, wave, 24_000))
  assert header | {"parts": 0} == {
    "chunk": 3,
    "frame": 12,
    "prompt": "é <",
    "made": 12.5,
    "generated": True,
    "parts": 0,
  }
  assert [part["encoding"] for part in header["parts"]] == ["rgb8", "u8", "pcm16"]
  sight = np.frombuffer(pieces[0], np.uint8).reshape(header["parts"][0]["shape"])
  assert np.abs(sight / 127.5 - 1 - sent.clip["sight"]).max() <= 1 / 255 + 1e-6
  np.testing.assert_array_equal(np.frombuffer(pieces[1], np.uint8), np.rint(np.linspace(0, 255, 16)))
  np.testing.assert_allclose(np.frombuffer(pieces[2], "<i2") / 32767, wave.ravel(), atol=1e-4)


def test_large_pictures_are_sent_as_jpeg():
  sent = chunk(96, 128)
  data = wire.encode(sent, None, 24_000)
  header, pieces = wire.decode(data)
  assert header["parts"][0]["encoding"] == "jpeg" and len(pieces) == 5 and len(data) < 20_000
  for piece, frame in zip(pieces, sent.clip["sight"], strict=False):
    shown = cv2.imdecode(np.frombuffer(piece, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert shown.shape == frame.shape and np.abs(shown / 127.5 - 1 - frame).max() < 0.05
