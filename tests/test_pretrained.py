"""What a model's weights leave open is chosen when it is loaded."""

import numpy as np
import pytest

from stale_jax.checkpoints.weights import save_weights
from stale_jax.errors import UserError
from stale_jax.pipeline import load
from stale_jax.testing.models import drawn
from tests import micro


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
  """A cycle with two forms, a plain model."""
  folder, paths = tmp_path_factory.mktemp("weights"), []
  for name, model in (("cycle", {"turns": 2, "forms": "dense"}), ("plain", {})):
    config = micro.config()
    config["model"] = {**config["model"], **model}
    paths.append(folder / f"{name}.safetensors")
    save_weights(paths[-1], drawn(config).params, config)
  return paths


def test_turns_and_forms_are_chosen_at_loading(weights):
  cycle, _ = weights
  made = {turns: load(cycle, turns=turns).generate("a red two", steps=2) for turns in (None, 1, 2)}
  np.testing.assert_array_equal(made[None].clip["sight"], made[2].clip["sight"])
  assert np.abs(made[1].clip["sight"] - made[2].clip["sight"]).max() > 1e-3
  assert made[1].how["turns"] == 1 and "turns" not in made[None].how
  assert load(cycle, forms="hard").system.network.forms == "hard"


@pytest.mark.parametrize(
  ("which", "chosen", "words"),
  [
    (1, {"turns": 2}, "turns=2 does not fit"),
    (1, {"forms": "hard"}, "forms=hard does not fit"),
    (0, {"turns": 0}, "turns=0 does not fit"),
    (0, {"forms": "none"}, "forms=none does not fit"),
    (0, {"forms": "hrad"}, "did you mean 'hard'"),
  ],
)
def test_what_the_weights_do_not_leave_open_is_named(weights, which, chosen, words):
  with pytest.raises(UserError, match=words):
    load(weights[which], **chosen)
