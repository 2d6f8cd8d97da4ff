"""Makes a data set of clips from a folder of videos. The last line of stdout is one JSON object.

python -m experiments.curate --input=videos --output=data [--workers=8]

Every video is cut into scenes. Clips that are static, dark, covered with text or near-duplicates are left
out. The other clips are scaled down and written in ArrayRecord format; card.html reports what happened to
every video. The program reads metadata from these files, if they exist: the caption beside a video
(NAME.txt), the output of yt-dlp (NAME.info.json), results of TikTok's Research API (*.jsonl, in any folder),
and the rights to the videos of a folder (rights.json, see data/curate/provenance.py). The program can be
stopped at any time: the same command continues where it stopped.
"""

import functools
import json
import logging
import os
import shlex
from pathlib import Path

from absl import flags

from experiments.main import run
from stale_jax.errors import UserError
from stale_jax.files import check_on_disk
from stale_jax.progress import Stage

INPUT = flags.DEFINE_string("input", None, "Folder of the videos; its subfolders are searched too.")
OUTPUT = flags.DEFINE_string("output", None, "Folder to write the data set and its card to.")
WORKERS = flags.DEFINE_integer(
  "workers", None, "Processes on this machine; default: one per core.", lower_bound=1
)
BEAM = flags.DEFINE_string("beam", None, "Flags of Apache Beam, as one argument: '--runner=FlinkRunner ...'.")
SALT = flags.DEFINE_string(
  "salt",
  None,
  "File with the secret that names are hashed with; default: ~/.config/stale_jax/salt, created on first use.",
)
CAPTIONER = flags.DEFINE_string(
  "captioner",
  "",
  "What writes the caption of a clip from four of its pictures: openai:MODEL asks the vision model MODEL at "
  "the address in OPENAI_BASE_URL; MODULE:FUNCTION calls a function of yours.",
)
NAME = flags.DEFINE_string("name", "Data card", "Title of the card.")
LEAST_SECONDS = flags.DEFINE_float("least_seconds", 1.0, "Least length of a clip, in seconds.")
MOST_SECONDS = flags.DEFINE_float(
  "most_seconds", 8.0, "Greatest length of a clip, in seconds; longer scenes are divided into equal parts."
)
LEAST_MOTION = flags.DEFINE_float(
  "least_motion", 0.02, "Least motion, in short sides of the picture per second; below it a clip is static."
)
LEAST_LIGHT = flags.DEFINE_float(
  "least_light",
  0.12,
  "Least brightness: the luma, from 0 to 1, that a tenth of the pixels exceed; below it a clip is dark.",
)
MOST_TEXT = flags.DEFINE_float("most_text", 0.12, "Greatest share of the picture that text may cover.")
MOST_LIKENESS = flags.DEFINE_float(
  "most_likeness",
  0.8,
  "Clips that are at least this alike are near-duplicates: the lesser of the correlations, at most 1, of "
  "what stands still and of what moves in them.",
)
TEST_SHARE = flags.DEFINE_float(
  "test_share",
  0.05,
  "Share of the groups of videos in the test split; a group has the same uploader, or near-duplicates.",
)
SHORT_SIDE = flags.DEFINE_integer("short_side", 256, "Greatest short side of the written frames, in pixels.")
MOST_RATE = flags.DEFINE_float(
  "most_rate", 30.0, "Greatest frame rate of the written clips, in frames per second."
)
HDR = flags.DEFINE_enum(
  "hdr",
  "tone_map",
  ("tone_map", "leave_out"),
  "What is done with videos of high dynamic range (PQ, HLG): they are converted, or left out.",
)
flags.mark_flags_as_required(["input", "output"])


def main() -> None:
  check_on_disk("--", input=INPUT.value, output=OUTPUT.value, salt=SALT.value)
  if BEAM.value and WORKERS.value:
    raise UserError("--beam chooses where the work runs: leave out --workers.")
  logging.disable(logging.WARNING)  # Beam warns about optional packages.
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
    most_likeness=MOST_LIKENESS.value,
    test_share=TEST_SHARE.value,
    short_side=SHORT_SIDE.value,
    most_rate=MOST_RATE.value,
    hdr=HDR.value,
  )
  with Stage("curating"):
    report = curate(
      INPUT.value,
      OUTPUT.value,
      settings=settings,
      salt=read_salt(SALT.value),
      captioner=CAPTIONER.value,
      workers=WORKERS.value or os.cpu_count() or 1,
      beam=shlex.split(BEAM.value or ""),
      say=functools.partial(print, flush=True),
    )
  card = Path(OUTPUT.value) / "card.html"
  write_data_card(card, {**report, "name": NAME.value})
  print(f"see {card}")
  print(json.dumps(report["counts"]))


if __name__ == "__main__":
  run(main)
