"""The annotations of the package are checked while tests run: what is wrong is refused, and named."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float, TypeCheckError, jaxtyped

from stale_jax.clip import Context, Sense
from stale_jax.errors import UserError
from stale_jax.fields import check_value
from stale_jax.processes import UniformFlow, named_keys
from stale_jax.processes.process import per_frame
from stale_jax.sampling import AllFrames, Sampling
from tests import typechecking


def test_sizes_of_one_name_agree_within_a_call():
  assert per_frame(jnp.ones((2, 3)), np.ones((2, 3, 5))).shape == (2, 3, 1)
  with pytest.raises(TypeCheckError, match="per_frame"):
    per_frame(jnp.ones((2, 3)), jnp.ones((2, 4, 5)))
  with pytest.raises(TypeCheckError, match="per_frame"):
    jax.jit(per_frame)(jnp.ones((2, 3)), jnp.ones((4, 3, 5)))
  assert jax.eval_shape(per_frame, jnp.ones((2, 3)), jnp.ones((2, 3, 5))).shape == (2, 3, 1)


def test_dtypes_and_types_are_checked():
  with pytest.raises(TypeCheckError, match="named_keys"):
    named_keys(jnp.ones(2), "sight")  # No keys.
  with pytest.raises(TypeCheckError, match="check_value"):
    check_value(1, "steps", "sampling.steps")  # No field.


def test_what_is_returned_is_checked():
  @jaxtyped(typechecker=typechecking.checked)
  def halves(x: Float[Array, "n"], count: int) -> Float[Array, "{count} n//{count}"]:
    return x.reshape(count + 1, -1)

  with pytest.raises(TypeCheckError, match="return value"):
    halves(jnp.ones(6), 2)


def test_fields_of_dataclasses_are_checked():
  sight = Sense(name="sight", shape=(4, 4, 3), rate=8, patch=(1, 2, 2), channels=("r", "g", "b"))
  AllFrames(network=len, process=UniformFlow(), senses=(sight,))
  with pytest.raises(TypeCheckError, match="senses"):
    AllFrames(network=len, process=UniformFlow(), senses=sight)


def test_pytrees_hold_anything_and_settings_check_themselves():
  axes = jax.tree.map(lambda x: None, Context(text=jnp.zeros((1, 1), jnp.int32)))
  assert axes.text is None
  with pytest.raises(UserError, match="sampling.steps='4': a whole number is needed"):
    Sampling(steps="4")
