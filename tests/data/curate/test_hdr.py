"""Videos of high dynamic range in curation: converted or left out, and counted on the card."""

import pytest

from stale_jax.data import Shards
from stale_jax.data.curate import Settings
from stale_jax.data.curate.run import curate
from stale_jax.errors import UserError
from stale_jax.media import write_data_card
from stale_jax.testing import scenes
from tests.data.test_colour import KINDS, values, write


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
  """The same moving red scene twice, of high dynamic range and with other colours, and an ordinary video."""
  root = tmp_path_factory.mktemp("videos")
  transfer, primaries, *how = KINDS["hlg"]
  shade = scenes.scene("pan", 2.0, 1, 96, 160)[:20].astype(float) / 255
  red = (0.5 + 0.5 * shade.mean(-1, keepdims=True)) * (200, 30, 30)
  write(root / "hlg.mp4", [pixels for pixels in values(red, *how)], transfer, primaries)
  scenes.write(root / "plain.mp4", scenes.scene("objects", 2.0, 2, 96, 160))
  return root


@pytest.mark.parametrize("hdr", ["tone_map", "leave_out"])
def test_they_are_converted_or_left_out_and_counted(videos, tmp_path, hdr):
  settings = Settings(hdr=hdr, least_light=0.0, test_share=0.0)
  said = curate(videos, tmp_path / "out", settings=settings, salt="a salt of the test's", say=lambda _: None)
  counts = said["counts"]
  card = tmp_path / "card.html"
  write_data_card(card, {**said, "name": "card"})
  if hdr == "leave_out":
    assert (
      counts["unreadable"] == {"hdr": 1} and counts["videos"] == counts["kept"] == 1 and counts["hdr"] == 0
    )
    assert "such videos are left out" in card.read_text() and "converted from" not in card.read_text()
  else:
    assert counts["unreadable"] == {} and counts["videos"] == counts["kept"] == 2 and counts["hdr"] == 1
    assert "converted from high dynamic range" in card.read_text()
    shards = Shards(path=str(tmp_path / "out" / "clips" / "1.0.0"), frames=8, height=96, width=160, rate=5.0)
    means = [(shards[i]["clip"]["sight"].mean((0, 1, 2)) + 1) * 127.5 for i in range(2)]
    red, green, blue = max(means, key=lambda mean: mean[0] - mean[1])
    assert red > 4 * green and red > 4 * blue


def test_only_two_things_can_be_done():
  with pytest.raises(UserError, match="hdr='yes' must be one of tone_map, leave_out"):
    Settings(hdr="yes")
