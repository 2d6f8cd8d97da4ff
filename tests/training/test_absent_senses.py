"""A user is told if no example has a sense that the model is trained on."""

from configs import folder as folder_config
from stale_jax.run import train
from stale_jax.training.absent import AbsentSenses
from tests import micro
from tests.data.clips import encode
from tests.system.test_folder import SMALL


def test_senses_are_absent_only_if_no_logged_step_has_them():
  said = []
  absent = AbsentSenses(("sight", "sound", "smell"), said.append)
  for step in range(1, 21):
    absent.logged({"loss/sight": 0.3, "loss/sound": 0.1 * (step == 4), "loss/smell": 0.0}, step == 20)
  assert len(said) == 1 and "has smell:" in said[0]
  absent = AbsentSenses(("sound",), said.append)
  absent.logged({"loss/sound": 0.0}, is_last=False)
  absent.logged({"loss/sound": 0.0}, is_last=True)  # A run that ends early.
  assert len(said) == 2 and "has sound:" in said[1]


def test_a_model_with_sound_trained_on_silent_videos_says_so(tmp_path, capsys):
  (tmp_path / "videos").mkdir()
  for name in "abc":
    encode(tmp_path / "videos" / f"{name}.mp4", height=16, width=16)
  config = folder_config.get_config()
  values = {**micro.SIZES, **SMALL, "source.path": str(tmp_path / "videos"), "source.held_out": 0.0}
  values |= {"senses": ("sight", "sound"), "source.hearing": True, "training.steps": 2}
  config.update_from_flattened_dict({**values, "objective.weights": {"sound": 0.2}})
  train(config.to_dict(), tmp_path / "run")
  said = capsys.readouterr().out
  assert "no example so far has sound: the model does not learn it" in said
