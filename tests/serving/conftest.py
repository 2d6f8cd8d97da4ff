import pytest

from stale_jax.serving.launch import build_server
from stale_jax.serving.limits import Limits
from stale_jax.testing.models import drawn
from tests import micro
from tests.serving.served import running


@pytest.fixture(scope="session")
def live_model():
  """An untrained causal model that sees, hears and feels."""
  senses = ("sight", "sound", "touch")
  return drawn(micro.config(senses=senses, source__patch=1, model__causal=True, times__independent=True))


@pytest.fixture(scope="session")
def served(live_model, tmp_path_factory):
  """(address, server) of a server with two streams that accepts pictures."""
  limits = Limits(resume_seconds=2, job_seconds=4, messages_per_second=50, burst=20, errors=12)
  server = build_server(
    live_model,
    folder=tmp_path_factory.mktemp("videos"),
    steps=2,
    most_streams=2,
    limits=limits,
    takes_sources=True,
    sizes=(1, 2),
  )
  with running(server) as address:
    yield address, server
