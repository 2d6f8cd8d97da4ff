"""Functions for an isolated process: some that fail, and a captioner."""

import errno
import os
import time

import numpy as np

from stale_jax.data.decode.container import Unreadable
from stale_jax.errors import UserError


def pid():
  return os.getpid()


def crash():
  os.abort()


def hang():
  time.sleep(60)


def fill():
  return np.ones(1 << 40).sum()


def unreadable():
  raise Unreadable("empty", "it", "is empty.")


def fail():
  raise RuntimeError("of all things")


def misuse():
  raise UserError("no such thing")


def full():
  raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def chatter():
  print("a library speaks")
  return {"a": [1, "ü"]}


def caption(pictures, known):
  """A captioner."""
  assert pictures.dtype == np.uint8 and pictures.shape[0] == 4 and pictures.shape[-1] == 3
  return f"{known.caption or 'nothing'} of  brightness {pictures.mean() > 100}"
