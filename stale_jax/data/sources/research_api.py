"""Videos described by TikTok's Research API, from a file of JSON lines and a folder of the video files."""

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

from stale_jax.data.metadata import Described, read_research
from stale_jax.data.print_once import print_once
from stale_jax.data.sources.folder import Folder


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResearchApi(Folder):
  """The videos of a folder that a file of JSON lines describes. `Folder` documents the other settings.

  A file's name must contain the id of its video, as in 7301234567890123456.mp4 or
  "a cat [7301234567890123456].mp4". Videos without a line, and lines that cannot be parsed, are left out and
  counted on stderr; lines without a video are skipped.

  Attributes:
    lines: path of the file of JSON lines (see `metadata.read_research`).
  """

  lines: str

  def describer(self) -> Callable[[str], Described | None]:
    """Returns a function: path of a video -> its metadata in `lines`, or None if `lines` lacks the video.

    Raises:
      UserError: `lines` cannot be read, or none of its lines describes a video.
    """
    videos, skipped = read_research(self.lines)
    if skipped:
      print_once(f"source.lines={self.lines}: {len(skipped)} lines are left out; the first: {skipped[0]}")
    known = {video.source_id: video for video in videos}

    def describe(path: str) -> Described | None:
      numbers = re.findall(r"\d+", Path(path).stem)
      return next((known[number] for number in numbers if number in known), None)

    return describe
