"""A server with an access token: what is open, and what is not."""

import dataclasses

import pytest
from starlette.testclient import TestClient

from stale_jax.serving.app import build_app
from tests.serving.served import PROMPTS

TOKEN = "a-long-enough-token"


@pytest.fixture(scope="module")
def client(served):
  """Talks to the application itself; the threads are those of `served`."""
  return TestClient(build_app(dataclasses.replace(served[1], access=TOKEN)), base_url="http://movies.example")


@pytest.mark.parametrize("path", ["/metrics", "/docs", "/openapi.json", "/v1/videos", "/v1/models"])
def test_without_the_token_nothing_is_revealed(client, path):
  refused = client.get(path)
  assert refused.status_code == 401 and refused.json()["error"]["code"] == "unauthorized"
  assert refused.headers["WWW-Authenticate"] == "Bearer"
  assert client.get(path, headers={"Authorization": "Bearer wrong"}).status_code == 401
  assert client.get(path, headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_the_page_asks_for_the_token(client):
  assert client.get("/health").status_code == 200
  page = client.get("/").text
  assert '"needs_access": true' in page and TOKEN not in page


def test_streams_need_the_token(client):
  with client.websocket_connect("/live") as socket:
    socket.send_json({"type": "open", "prompt": PROMPTS[0], "access": "wrong"})
    refused = socket.receive_json()
    assert refused["code"] == "unauthorized" and refused["fatal"]
  with client.websocket_connect("/live") as socket:
    socket.send_json({"type": "open", "prompt": PROMPTS[0], "access": TOKEN})
    assert socket.receive_json()["type"] == "opened"
    socket.send_json({"type": "close"})
