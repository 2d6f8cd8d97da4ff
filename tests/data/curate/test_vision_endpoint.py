"""Captions are asked of an endpoint with OpenAI's chat API; what goes wrong there is one line."""

import base64
import http.server
import json
import threading

import cv2
import numpy as np
import pytest

from stale_jax.data.curate import Settings, vision_endpoint
from stale_jax.data.curate.encode import find_captioner
from stale_jax.data.curate.run import curate
from stale_jax.data.metadata import Described
from stale_jax.data.sources.shards import Shards
from stale_jax.errors import UserError
from stale_jax.testing.scenes import scene, write


class Endpoint(http.server.BaseHTTPRequestHandler):
  answers: list = []
  asked: list = []

  def do_POST(self):
    body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
    self.asked.append((self.path, dict(self.headers), body))
    code, answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
    self.send_response(code)
    self.end_headers()
    self.wfile.write(answer.encode())

  def log_message(self, *_):
    pass


def said(caption):
  return 200, json.dumps({"choices": [{"message": {"content": caption}}]})


@pytest.fixture
def endpoint(monkeypatch):
  server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
  threading.Thread(target=server.serve_forever, daemon=True).start()
  monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{server.server_port}/v1/")
  monkeypatch.setenv("OPENAI_API_KEY", "a key")
  monkeypatch.setattr(vision_endpoint, "_PAUSE", 0.01)
  Endpoint.asked = []
  yield Endpoint
  server.shutdown()


PICTURES = np.stack([np.full((600, 1000, 3), (60 * k, 20, 200 - 40 * k), np.uint8) for k in range(4)])


def test_the_request_has_the_pictures_and_the_caption(endpoint):
  endpoint.answers = [(503, "busy"), said('  "A red field of @farmer grows darker."\n')]
  caption = find_captioner("openai:some/model:7b")(PICTURES, Described(caption="#fyp"))
  assert caption == "A red field of @ grows darker." and len(endpoint.asked) == 2
  path, headers, body = endpoint.asked[1]
  assert path == "/v1/chat/completions" and headers["Authorization"] == "Bearer a key"
  assert body["model"] == "some/model:7b"
  text, *images = body["messages"][0]["content"]
  assert '"#fyp"' in text["text"] and len(images) == 4
  for picture, image in zip(PICTURES, images, strict=True):
    data = base64.b64decode(image["image_url"]["url"].removeprefix("data:image/jpeg;base64,"))
    read = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert read.shape == (307, 512, 3) and np.abs(read.mean((0, 1)) - picture[0, 0]).max() < 4


@pytest.mark.parametrize(
  ("answer", "words", "tries"),
  [
    ((401, '{"error":\n "no such key"}'), '401: {"error": "no such key"}', 1),
    ((500, "broken"), "500: broken", 5),
    ((200, "not JSON"), "cannot be used", 5),
    ((200, '{"choices": []}'), "gave no caption, but", 1),
    (said("  "), "empty caption", 1),
    ((200, '{"choices": [{"message": {"content": "A red"}, "finish_reason": "length"}]}'), "200 tokens", 1),
  ],
)
def test_an_endpoint_that_fails_is_one_line(endpoint, answer, words, tries):
  endpoint.answers = [answer]
  with pytest.raises(UserError) as error:
    find_captioner("openai:m")(PICTURES, Described())
  assert words in str(error.value) and "\n" not in str(error.value) and len(endpoint.asked) == tries


def test_no_endpoint_is_one_line(monkeypatch):
  monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9")
  monkeypatch.setattr(vision_endpoint, "_PAUSE", 0.01)
  with pytest.raises(UserError, match="cannot be used .set OPENAI_BASE_URL"):
    find_captioner("openai:m")(PICTURES, Described())


def test_curation_writes_the_captions_into_the_shards(endpoint, tmp_path):
  endpoint.answers = [said("A camera pans over hills.")]
  (tmp_path / "in").mkdir()
  write(tmp_path / "in" / "a.mp4", scene("pan", 1.3, 1, 96, 160))
  curate(
    tmp_path / "in",
    tmp_path / "out",
    settings=Settings(test_share=0.0),
    salt="a salt of the test's",
    captioner="openai:m",
    say=lambda _: None,
  )
  source = Shards(path=str(tmp_path / "out/clips/1.0.0"), frames=8, height=32, width=32)
  assert source[0]["caption"] == "A camera pans over hills." and len(endpoint.asked) == 1
