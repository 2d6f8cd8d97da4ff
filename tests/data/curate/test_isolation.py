"""A process that crashes, hangs or runs out of memory raises Unreadable, and the next call succeeds."""

import os
import subprocess
import sys
import time

import pytest

from stale_jax.data.curate.isolation import IsolatedProcess
from stale_jax.data.decode.container import Unreadable
from stale_jax.errors import UserError

HERE = "tests.data.curate.tasks"


@pytest.fixture
def process():
  process = IsolatedProcess()
  yield process
  process.close()


def test_every_failure_is_reported(process):
  first = process.call(f"{HERE}:pid", "it", 20)
  assert first != os.getpid() and process.call(f"{HERE}:pid", "it", 20) == first
  for function, reason in (("crash", "crashed"), ("hang", "too_slow"), ("fill", "too_large")):
    with pytest.raises(Unreadable) as error:
      process.call(f"{HERE}:{function}", "it", 5 if function != "hang" else 1)
    assert error.value.reason == reason and str(error.value).startswith("it ")
  for function, reason in (("unreadable", "empty"), ("fail", "unexpected")):
    with pytest.raises(Unreadable) as error:
      process.call(f"{HERE}:{function}", "it", 20)
    assert error.value.reason == reason
  for function in ("misuse", "full"):
    with pytest.raises(UserError):
      process.call(f"{HERE}:{function}", "it", 20)
  assert process.call(f"{HERE}:chatter", "it", 20) == {"a": [1, "ü"]}


def test_it_ends_with_its_parent():
  code = (
    "import os, sys; from stale_jax.data.curate.isolation import IsolatedProcess; a = IsolatedProcess()\n"
    f"print(a.call('{HERE}:pid', 'it', 60), flush=True); os.kill(os.getpid(), 9)"
  )
  out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
  child = int(out.stdout)
  end = time.monotonic() + 20
  while time.monotonic() < end and os.path.exists(f"/proc/{child}"):
    if open(f"/proc/{child}/stat").read().split()[2] == "Z":
      break
    time.sleep(0.05)
  else:
    assert not os.path.exists(f"/proc/{child}")
