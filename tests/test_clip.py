"""What flows through everything: bytes and their values, senses of other sizes."""

import jax
import numpy as np
import pytest

from stale_jax.clip import Sense, floats


def test_bytes_are_the_same_values_to_the_last_bit_here_and_on_a_device():
  every = np.arange(256, dtype=np.uint8)
  want = every / np.float32(127.5) - np.float32(1)
  assert want.dtype == np.float32 and want[0] == -1 and want[-1] == 1
  other = np.float32([0.1, -0.7])
  for device in (floats, jax.jit(floats)):
    got = device({"sight": every, "touch": other})
    np.testing.assert_array_equal(np.asarray(got["sight"]).view(np.uint32), want.view(np.uint32))
    np.testing.assert_array_equal(got["touch"], other)


def test_a_sense_of_another_height_and_width():
  sense = Sense(name="sight", shape=(8, 8, 3), rate=8.0, patch=(2, 4, 4), channels=("red", "green", "blue"))
  assert sense.on((8, 8, 3)) is sense and sense.on((4, 12, 3)).grid(4) == (2, 1, 3)
  for shape in ((8, 8, 4), (8, 6, 3), (8, 3)):
    with pytest.raises(ValueError, match="sight"):
      sense.on(shape)
