"""Clients of a real server: streams, prompts, sound, pictures, lost connections, misbehaviour."""

import contextlib
import json
import urllib.error
import urllib.request

import cv2
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests.serving.served import PROMPTS, Client


@pytest.fixture
def open_client(served):
  address, server = served
  clients = []

  def build(**options):
    clients.append(Client(address, **options))
    return clients[-1]

  yield build
  for client in clients:
    if {"opened", "resumed"} & {event["type"] for event in client.events}:
      with contextlib.suppress(ConnectionClosed, OSError, TimeoutError):
        client.send("close")
        client.until("closed")
    client.close()


def get(address, path):
  try:
    with urllib.request.urlopen(f"http://{address}{path}") as answer:
      return answer.status, answer.headers, answer.read()
  except urllib.error.HTTPError as error:
    return error.code, error.headers, error.read()


def test_a_client_opens_watches_and_changes_its_prompt(open_client):
  client = open_client()
  client.send("open", prompt=PROMPTS[0], seed=5)
  opened = client.until("opened")
  assert opened["generated"] is True and opened["model"] == "drawn" and opened["seed"] == 5
  assert opened["senses"]["touch"]["channels"] and opened["rate"] == 8
  first = client.watch(3)
  assert [header["chunk"] for header in first] == [0, 1, 2] and first[0]["prompt"] == PROMPTS[0]
  client.send("prompt", prompt=PROMPTS[1], cut=True)
  change = client.until("prompt")["from_chunk"]
  later = client.watch(change - client.chunks[-1][0]["chunk"] + 2)
  assert all(header["prompt"] == PROMPTS[header["chunk"] >= change] for header in later)
  client.send("ping", sent=3.5)
  assert client.until("pong")["sent"] == 3.5


def test_the_same_seed_makes_the_same_stream(open_client):
  shown = []
  for _ in range(2):
    client = open_client()
    client.send("open", prompt=PROMPTS[0], seed=11)
    client.watch(3)
    shown.append([pieces for _, pieces in client.chunks])
    client.send("close")
    assert client.until("closed")["reason"] == "closed"
  for a, b in zip(*shown, strict=True):
    for x, y in zip(a, b, strict=True):
      assert np.abs(np.frombuffer(x, np.uint8).astype(int) - np.frombuffer(y, np.uint8)).max() <= 1


def test_sound_is_sent_when_it_is_on(open_client):
  client = open_client()
  client.send("open", prompt=PROMPTS[0], sound=True)
  header = client.watch(2)[-1]
  (sound,) = [part for part in header["parts"] if part["encoding"] == "pcm16"]
  assert sound["shape"][0] == sound["rate"] / 8 and sound["bytes"] == [2 * int(np.prod(sound["shape"]))]
  client.send("sound", on=False)
  client.watch(4)
  assert all(part["encoding"] != "pcm16" for part in client.chunks[-1][0]["parts"])


def test_a_lost_stream_is_resumed_where_it_is(open_client):
  client = open_client()
  client.send("open", prompt=PROMPTS[0], seed=1)
  opened = client.until("opened")
  last = client.watch(2)[-1]["chunk"]
  client.drop()
  other = open_client()
  other.send("resume", stream=opened["stream"], token="wrong")
  assert other.until("error")["code"] == "no_such_stream"
  again = open_client()
  again.send("resume", stream=opened["stream"], token=opened["token"])
  resumed = again.until("resumed")
  assert resumed["stream"] == opened["stream"] and resumed["prompt"] == PROMPTS[0]
  numbers = [header["chunk"] for header in again.watch(4)]
  assert numbers[0] > last and numbers == list(range(numbers[0], numbers[0] + 4))


def test_a_connection_that_resumes_supersedes_the_other(open_client):
  client, other = open_client(), open_client()
  client.send("open", prompt=PROMPTS[0])
  opened = client.until("opened")
  other.send("resume", stream=opened["stream"], token=opened["token"])
  other.watch(2)
  assert client.until("error")["code"] == "superseded"
  other.watch(2)


def test_beyond_the_capacity_the_refusal_says_when_to_try_again(open_client):
  clients = [open_client() for _ in range(3)]
  for client in clients[:2]:
    client.send("open", prompt="")
    client.until("opened")
  clients[2].send("open", prompt="")
  refused = clients[2].until("error")
  assert refused["code"] == "full" and refused["fatal"] and refused["retry_after"] > 0
  with pytest.raises(ConnectionClosed) as closed:
    clients[2].next()
  assert closed.value.rcvd.code == 1013
  for client in clients[:2]:
    numbers = [header["chunk"] for header in client.watch(3)]
    assert numbers == list(range(numbers[0], numbers[0] + 3))


def test_misbehaviour_costs_nobody_else_a_chunk(open_client, served):
  watcher = open_client()
  watcher.send("open", prompt=PROMPTS[0])
  watcher.watch(2)
  garbage = open_client()
  for message, code in [
    ("{", "not_json"),
    (b"\xff\xd8", "no_source"),
    ('{"type": "sound"}', "missing_field"),
  ]:
    garbage.send_raw(message)
    assert garbage.until("error")["code"] == code
  garbage.send("sound", on=True)
  assert garbage.until("error")["code"] == "not_open"
  garbage.send_raw("x" * 9000)
  assert garbage.until("error")["code"] == "message_too_long"
  with pytest.raises(ConnectionClosed):
    for _ in range(500):
      garbage.send("ping", sent=0)
    while garbage.next():
      pass
  # The errors themselves may be lost, since the client has not stopped sending.
  for code in ("too_fast", "too_many_errors"):
    assert served[1].metrics.refusals.labels(code)._value.get() >= 1
  huge = open_client()
  with pytest.raises((ConnectionClosed, OSError)):
    huge.send_raw(b"x" * (1 << 23))
    huge.next()
  gone = open_client()
  gone.send("open", prompt=PROMPTS[1])
  gone.drop()
  numbers = [header["chunk"] for header in watcher.watch(8)]
  assert [header["chunk"] for header, _ in watcher.chunks] == list(range(numbers[-1] + 1))
  assert not any(event["type"] == "dropped" for event in watcher.events)


def test_pictures_are_the_sources_of_chunks(open_client):
  client = open_client()
  client.send("open", prompt=PROMPTS[0], seed=2, source=True)
  assert client.until("opened")["takes_source"] is True
  client.watch(1)
  client.send_raw(b"no picture")
  assert client.until("error")["code"] == "bad_picture"
  client.send_raw(b"\0" * (1 << 19))
  assert client.until("error")["code"] == "frame_too_large"
  rng = np.random.default_rng(0)
  for _ in range(6):
    picture = rng.integers(0, 255, (40, 60, 3), np.uint8)
    client.send_raw(cv2.imencode(".jpg", picture)[1].tobytes())
    client.watch(1)


def test_pages_of_other_sites_are_refused(open_client, served):
  with pytest.raises(InvalidHandshake):
    open_client(origin="https://evil.example")
  client = open_client(origin=f"http://{served[0]}")
  client.send("ping", sent=1)
  assert client.until("pong")


def test_health_metrics_and_the_description(served):
  address, server = served
  status, headers, body = get(address, "/health")
  health = json.loads(body)
  assert status == 200 and health["status"] == "ok" and health["capacity"] == 2
  assert headers["X-Generated-By"] == "stale_jax, model drawn"
  text = get(address, "/metrics")[2].decode()
  for name in ("stale_streams", "stale_ticks_total", "stale_tick_seconds_bucket", "stale_misses_total"):
    assert f"\n{name}" in text
  assert 'stale_refusals_total{reason="' in text and "process_resident_memory_bytes" in text
  described = json.loads(get(address, "/openapi.json")[2])
  assert described["openapi"].startswith("3.1")
  page = get(address, "/docs")[2].decode()
  for path in described["paths"]:
    assert path in page
  assert "too_many_streams" in page and "<script" not in page
  assert get(address, "/nothing")[0] == 404
  assert get(address, "/")[1]["Content-Security-Policy"].startswith("default-src 'none'")


def test_the_description_names_the_routes(served):
  from stale_jax.serving.app import build_app
  from stale_jax.serving.openapi import describe

  shown = {"/", "/docs", "/openapi.json", "/live.css", "/live.js", "/live.draw.js"}
  assert {route.path for route in build_app(served[1]).routes} - shown == set(describe(served[1])["paths"])
