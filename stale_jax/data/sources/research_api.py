"""Videos that TikTok's Research API describes: its JSON lines, and a folder of the files it does not give."""

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

from stale_jax.data.metadata import Described, read_research
from stale_jax.data.said import say
from stale_jax.data.sources.folder import Folder


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResearchApi(Folder):
  """The videos of a folder that the lines describe; a file's name holds its video's number.

  Names such as 7301234567890123456.mp4 and "a cat [7301234567890123456].mp4" will do. Videos without a
  line are left aside, and so are lines without a video and lines that are broken.

  Attributes:
    lines: the file of JSON lines, as `metadata.read_research` has them.
  """

  lines: str

  def describer(self) -> Callable[[str], Described | None]:
    """From a file to what its line says of it, None if it has none. Raises UserError."""
    videos, left_out = read_research(self.lines)
    if left_out:
      say(f"lines left out: {len(left_out)}; the first: {left_out[0]}")
    known = {video.source_id: video for video in videos}

    def describe(path: str) -> Described | None:
      numbers = re.findall(r"\d+", Path(path).stem)
      return next((known[number] for number in numbers if number in known), None)

    return describe
