"""One run trains in a folder at a time, on a disk and in a bucket; a dead one does not keep others out."""

import errno
import fcntl
import itertools
import json
import threading
import time

import pytest
from etils import epath

from stale_jax.errors import UserError
from stale_jax.run import train
from stale_jax.training.lease import Lease
from stale_jax.training.lock import FileLock, locked
from tests import micro, programs
from tests.storage import BUCKET, storage

RENEWAL, EXPIRY = 0.1, 0.8


def hold(folder, is_held):
  with locked(folder, print):
    is_held.set()
    time.sleep(300)


def test_a_folder_on_a_disk_is_locked_until_its_process_is_killed(tmp_path):
  is_held = programs._SERVER.Event()
  process = programs._SERVER.Process(target=hold, args=(tmp_path / "run", is_held))
  process.start()
  assert is_held.wait(60)
  lock = FileLock(tmp_path / "run", print, grace=0)
  assert lock.acquire("me").startswith(f"process {process.pid} on ")
  process.kill()
  with locked(tmp_path / "run", print) as check:  # At once, though the kernel may take a moment to end it.
    check()
    assert FileLock(tmp_path / "run", print, grace=0).acquire("another").startswith("process ")
  # Nor does it keep others out once it has ended.
  assert FileLock(tmp_path / "run", print, grace=0).acquire("the next") is None


def test_a_refused_run_is_told_by_whom(tmp_path):
  lock = FileLock(tmp_path, print)
  assert lock.acquire("process 7 on mars") is None
  with pytest.raises(UserError, match=r"in progress in .* \(process 7 on mars\).*another --workdir"):
    with locked(tmp_path, print):
      raise AssertionError
  lock.release()


def test_a_file_system_without_locks_is_used_with_a_warning(tmp_path, monkeypatch):
  def refuse(file, operation):
    raise OSError(errno.ENOLCK, "No locks available")

  monkeypatch.setattr(fcntl, "flock", refuse)
  said = []
  with locked(tmp_path, said.append) as check:
    check()
  assert len(said) == 1 and "has no locks" in said[0]


def test_a_run_that_has_lost_its_folder_saves_nothing_more(tmp_path, monkeypatch):
  asked = itertools.count()
  monkeypatch.setattr(FileLock, "lost_to", lambda self: "process 7 on mars" if next(asked) else None)
  config = micro.config(training__steps=40, training__checkpoint_every=4, ema__snapshots=0)
  with pytest.raises(UserError, match=r"another run has taken it over \(process 7 on mars\)"):
    train(config, tmp_path)
  assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["4"]


@pytest.fixture(scope="module")
def bucket():
  with storage() as environment, pytest.MonkeyPatch.context() as patched:
    for name, value in environment.items():
      patched.setenv(name, value)
    yield BUCKET


@pytest.fixture
def lease(bucket, request):
  """Makes leases of a folder of this test, and releases them in the end."""
  made, folder = [], epath.Path(f"{bucket}/{request.node.name}")

  def make(kind=Lease, say=lambda line: None):
    made.append(kind(folder, say, RENEWAL, EXPIRY))
    return made[-1]

  yield make
  for each in made:
    each.release()


class Halted(Lease):
  """The lease of a process that is halted or dead: nothing renews it."""

  def _keep_renewing(self):
    pass


def test_a_lease_is_refused_while_its_holder_lives_and_free_when_it_is_released(lease):
  first, second, third = lease(), lease(), lease()
  assert first.acquire("first") is None
  begun = time.monotonic()
  assert second.acquire("second") == "first"
  assert time.monotonic() - begun < EXPIRY
  # However long it is held.
  time.sleep(2 * EXPIRY)
  assert second.acquire("second") == "first" and first.lost_to() is None
  first.release()
  begun = time.monotonic()
  assert third.acquire("third") is None
  assert time.monotonic() - begun < EXPIRY


def test_the_lease_of_a_dead_process_expires_and_a_halted_one_finds_out(lease):
  said = []
  dead, next_one = lease(Halted), lease(say=said.append)
  assert dead.acquire("the dead") is None
  begun = time.monotonic()
  assert next_one.acquire("the next") is None
  assert time.monotonic() - begun >= EXPIRY
  assert len(said) == 1 and "(the dead) was killed: waiting" in said[0] and "\n" not in said[0]
  assert dead.lost_to() == "the next" and next_one.lost_to() is None
  dead.release()  # It does not release the lease of the other.
  assert lease().acquire("a third") == "the next"


def test_of_several_that_wait_for_a_lease_one_gets_it(lease):
  assert lease(Halted).acquire("the dead") is None
  waiting, answers = [lease() for _ in range(6)], {}

  def acquire(i):
    answers[i] = waiting[i].acquire(str(i))

  threads = [threading.Thread(target=acquire, args=(i,)) for i in range(6)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  (winner,) = [i for i, other in answers.items() if other is None]
  assert {other for i, other in answers.items() if i != winner} == {str(winner)}


def test_a_lease_outlives_its_deletion_and_a_lost_answer(lease):
  first = lease(Halted)
  assert first.acquire("first") is None
  first._store.write("lock", None).result()
  first._renew()
  assert json.loads(first._store["lock"])["holder"] == "first"
  # A renewal that succeeds although no answer says so.
  first._store.write("lock", first._content).result()
  first._renew()
  assert first.lost_to() is None
  first._renew()
  assert first.lost_to() is None


def test_a_bucket_that_cannot_be_written_is_one_line(bucket):
  nowhere = Lease(epath.Path("gs://nobody/run"), print, RENEWAL, EXPIRY)
  with pytest.raises(UserError, match="^cannot write gs://nobody/run/lock: [^\n]*$"):
    nowhere.acquire("me")
