"""Makes a data set of clips from a folder of videos. The last line of stdout is one JSON object.

python -m experiments.curate --input=videos --output=data [--workers=8]

Every video is cut into scenes; clips that are static, dark, covered with writing or near-duplicates are left
out; the others are written, small, in ArrayRecord, and card.html says what became of what. Beside a video may
lie its caption (NAME.txt) and what yt-dlp says of it (NAME.info.json); anywhere, lines of TikTok's Research
API (*.jsonl); in any folder, what may be done with its videos (rights.json, see data/curate/provenance.py).
Stop it as you like and give the same command again: it goes on.
"""

import json
import logging
import os
import shlex
from pathlib import Path

from absl import flags

from experiments.main import run
from stale_jax.errors import UserError

INPUT = flags.DEFINE_string("input", None, "The folder of videos, and all in it.")
OUTPUT = flags.DEFINE_string("output", None, "The folder for the data set and the card.")
WORKERS = flags.DEFINE_integer(
  "workers", None, "Processes on this machine; default: its cores.", lower_bound=1
)
BEAM = flags.DEFINE_string("beam", None, "Apache Beam's own flags, as one word: '--runner=FlinkRunner ...'.")
SALT = flags.DEFINE_string("salt", None, "A file with the secret that hides names; default: your own.")
CAPTIONER = flags.DEFINE_string("captioner", "", "MODULE:FUNCTION that says what four pictures show.")
NAME = flags.DEFINE_string("name", "Data card", "Of the data set, on its card.")
LEAST_SECONDS = flags.DEFINE_float("least_seconds", 1.0, "Of a clip.")
MOST_SECONDS = flags.DEFINE_float("most_seconds", 8.0, "Of a clip; longer ones are cut.")
LEAST_MOTION = flags.DEFINE_float("least_motion", 0.02, "Or it is static; shorter sides a second.")
LEAST_LIGHT = flags.DEFINE_float("least_light", 0.12, "Or it is dark; luma of its brightest tenth.")
MOST_TEXT = flags.DEFINE_float("most_text", 0.12, "Share of the picture that writing may cover.")
NEAREST = flags.DEFINE_integer("nearest", 64, "Bits of 256 by which clips differ, or are near-duplicates.")
TEST_SHARE = flags.DEFINE_float("test_share", 0.05, "Of groups of videos, for testing.")
SHORT_SIDE = flags.DEFINE_integer("short_side", 256, "Of the pictures that are written, at most.")
MOST_RATE = flags.DEFINE_float("most_rate", 30.0, "Pictures a second that are written.")
flags.mark_flags_as_required(["input", "output"])


def main() -> None:
  if BEAM.value and WORKERS.value:
    raise UserError("--beam says where it runs: leave out --workers.")
  logging.disable(logging.WARNING)  # Beam tells of packages that it does without.
  try:
    from stale_jax.data.curate import Settings
    from stale_jax.data.curate.run import curate, read_salt
  except ImportError as error:
    raise UserError(f"curation needs more packages ({error}): pip install -e '.[curate]'.") from error
  from stale_jax.media import write_data_card

  settings = Settings(
    least_seconds=LEAST_SECONDS.value,
    most_seconds=MOST_SECONDS.value,
    least_motion=LEAST_MOTION.value,
    least_light=LEAST_LIGHT.value,
    most_text=MOST_TEXT.value,
    nearest=NEAREST.value,
    test_share=TEST_SHARE.value,
    short_side=SHORT_SIDE.value,
    most_rate=MOST_RATE.value,
  )
  said = curate(
    INPUT.value,
    OUTPUT.value,
    settings=settings,
    salt=read_salt(SALT.value),
    captioner=CAPTIONER.value,
    workers=WORKERS.value or os.cpu_count() or 1,
    beam=shlex.split(BEAM.value or ""),
  )
  card = Path(OUTPUT.value) / "card.html"
  write_data_card(card, {**said, "name": NAME.value})
  print(f"see {card}")
  print(json.dumps(said["counts"]))


if __name__ == "__main__":
  run(main)
