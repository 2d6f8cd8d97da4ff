"""Saves a movie as files with a common stem: video, sensory effects, arrays."""

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import av
import numpy as np

from stale_jax.clip import Sense
from stale_jax.errors import UserError
from stale_jax.files import AnyPath, is_address, make_folder, write_whole
from stale_jax.media.arrays import write_arrays
from stale_jax.media.sem import write_sem
from stale_jax.media.video import suffix, write_video


def save_movie(
  folder: str | AnyPath,
  stem: str,
  clip: Mapping[str, np.ndarray],
  senses: Mapping[str, Sense],
  info: Mapping[str, Any],
  codec: str = "h264",
) -> AnyPath | None:
  """Writes stem.mp4 (or .webm), stem.sem.xml, stem.npz and stem.json into `folder`.

  The files replace those of an earlier movie only when all of them are complete. There is no video without
  sight, and no stem.sem.xml without a sensory effect.

  Args:
    folder: a path, or gs://BUCKET/FOLDER; created if it does not exist.
    stem: name of the files, without their endings.
    clip: sense -> [frames, *shape].
    senses: sense -> its description.
    info: how the movie was made, for the JSON file.
    codec: see `write_video`.

  Returns:
    Path of the video; None without sight.

  Raises:
    UserError: the folder cannot be written, or the codec is unknown.
  """
  video = stem + suffix(codec)
  folder = make_folder(folder)
  # The files are written into a temporary folder, and moved when all are complete.
  making = Path(tempfile.mkdtemp(prefix=".movie-", dir=None if is_address(folder) else folder))
  try:
    if "sight" in clip:
      write_video(making / video, clip, senses, codec)
    write_sem(making / f"{stem}.sem.xml", clip, senses)
    write_arrays(making / stem, clip, senses, info)
    for name in (video, f"{stem}.sem.xml"):
      if not (making / name).exists():  # A file of an earlier movie with this name.
        (folder / name).unlink(missing_ok=True)
    for path in making.iterdir():
      if is_address(folder):
        write_whole(folder / path.name, path.read_bytes())
      else:
        os.replace(path, folder / path.name)
  except OSError as error:
    raise UserError(f"cannot write to {folder}: {error.strerror}.") from error
  except av.FFmpegError as error:
    raise UserError(f"cannot encode {video}: {error}.") from error
  finally:
    shutil.rmtree(making, ignore_errors=True)
  return folder / video if "sight" in clip else None
