"""Videos with known cuts and known faults, to test the curation of data.

A scene is a camera that moves over a canvas of coloured clouds, shapes and textures. Everything is drawn from
a seed. Pictures are uint8 RGB and are encoded with FFmpeg.
"""

import dataclasses
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

RATE = 24  # Frames per second.
GOOD = ("pan", "slow", "fast", "hand", "objects", "zoom", "fade", "flash")
WORDS = "SALE NOW subscribe like follow breaking news today free offer click the link below part two".split()


def canvas(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
  """Draws clouds with the spectrum of natural pictures, shapes with edges, and patches of texture, as RGB."""
  fy, fx = np.meshgrid(np.fft.fftfreq(height), np.fft.rfftfreq(width), indexing="ij")
  radius = np.maximum(np.hypot(fy, fx), 1 / width)
  waves = np.exp(2j * np.pi * rng.random((3, *radius.shape))) / radius ** rng.uniform(1.1, 1.6)
  clouds = np.fft.irfft2(waves, (height, width))
  clouds = clouds / clouds.std((1, 2), keepdims=True)
  mixing = np.eye(3) * rng.uniform(0.2, 0.6) + rng.uniform(0.1, 0.5)
  picture = np.einsum("ij,jhw->hwi", mixing, clouds) * 40 + rng.uniform(70, 170, 3)
  picture = np.ascontiguousarray(np.clip(picture, 0, 255).astype(np.uint8))
  for _ in range(rng.integers(6, 16)):
    centre = (int(rng.integers(width)), int(rng.integers(height)))
    axes = tuple(int(a) for a in rng.integers(8, height // 4, 2))
    colour = tuple(int(c) for c in rng.integers(20, 250, 3))
    if rng.random() < 0.5:
      cv2.ellipse(picture, centre, axes, float(rng.uniform(0, 180)), 0, 360, colour, -1, cv2.LINE_AA)
    else:
      corners = cv2.boxPoints((centre, axes, float(rng.uniform(0, 180)))).astype(np.int32)
      cv2.fillPoly(picture, [corners], colour, cv2.LINE_AA)
  for _ in range(rng.integers(0, 3)):  # Fine texture, like leaves or gravel.
    side = int(height // 3)
    top, left = int(rng.integers(height - side)), int(rng.integers(width - side))
    grain = cv2.resize(rng.integers(0, 70, (side // 4, side // 4, 1), np.uint8), (side, side))
    picture[top : top + side, left : left + side] = cv2.subtract(
      picture[top : top + side, left : left + side], np.repeat(grain[..., None], 3, -1)
    )
  return picture


def scene(kind: str, seconds: float, seed: int, height: int = 180, width: int = 320) -> np.ndarray:
  """Pictures [frames, height, width, 3] of one scene.

  Kinds in GOOD are pan, slow (a pan of 4% of the width per second), fast, hand (hand-held), objects (that
  move before a still background), zoom, fade (out to black and in again, which is not a cut) and flash (two
  white frames, which are not a cut either). Faulty kinds are static (a photograph, with camera noise), slide
  (a drawing, without noise), dark, text (a title over moving pictures) and credits (scrolling text).
  """
  rng = np.random.default_rng([seed, *kind.encode()])
  frames = round(seconds * RATE)
  time = np.arange(frames) / RATE
  wide = canvas(rng, 2 * height, 2 * width)
  direction = rng.uniform(0, 2 * np.pi)
  speed = width * {"slow": 0.04, "fast": 0.7, "static": 0, "slide": 0, "objects": 0, "credits": 0}.get(
    kind, rng.uniform(0.08, 0.2)
  )
  away = np.stack([np.cos(direction), np.sin(direction)]) * speed
  place = np.array([width / 2, height / 2]) + np.stack([time - seconds / 2] * 2, -1) * away
  if kind == "hand":
    place = place + np.cumsum(rng.normal(0, 0.5, (frames, 2)), 0)
  zoom = np.exp(0.12 * (time - seconds / 2)) if kind == "zoom" else np.ones(frames)
  out = np.empty((frames, height, width, 3), np.uint8)
  for i in range(frames):
    matrix = np.array([[zoom[i], 0, place[i, 0]], [0, zoom[i], place[i, 1]]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    out[i] = cv2.warpAffine(wide, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT)
  if kind == "objects":
    _objects(out, rng)
  if kind == "fade":
    out = (out * np.abs(np.cos(np.pi * time / seconds))[:, None, None, None]).astype(np.uint8)
  if kind == "flash":
    at = int(rng.integers(frames // 3, 2 * frames // 3))
    out[at : at + 2] = 255 - (255 - out[at : at + 2]) // 6
  if kind == "dark":
    out = (out * 0.07).astype(np.uint8)
  if kind in ("text", "credits"):
    _write(out, rng, scroll=kind == "credits")
  if kind not in ("slide", "credits"):
    noise = rng.normal(0, 2, (8, height, width, 3))
    for i in range(frames):
      out[i] = np.clip(out[i] + noise[i % 8], 0, 255)
  return out


def _objects(out: np.ndarray, rng: np.random.Generator) -> None:
  height, width = out.shape[1:3]
  for _ in range(3):
    at, colour = rng.uniform(0, (width, height)), tuple(int(c) for c in rng.integers(20, 250, 3))
    angle, pace = rng.uniform(0, 2 * np.pi), rng.uniform(0.15, 0.35) * width / RATE
    for i, picture in enumerate(out):
      x, y = at + i * pace * np.array([np.cos(angle), np.sin(angle)])
      # Objects bounce off the edges.
      x, y = abs((x + width) % (2 * width) - width), abs((y + height) % (2 * height) - height)
      cv2.circle(picture, (round(x), round(y)), height // 7, colour, -1, cv2.LINE_AA)
      cv2.circle(picture, (round(x) - 6, round(y) - 6), height // 20, (240, 240, 240), -1, cv2.LINE_AA)


def _write(out: np.ndarray, rng: np.random.Generator, scroll: bool) -> None:
  """Draws lines of words over most of each picture, in place; with `scroll`, they move up."""
  height, width = out.shape[1:3]
  if scroll:
    out[:] = rng.integers(0, 60)
  size = height / 180
  step = int(26 * size)
  lines = [" ".join(rng.choice(WORDS, 4)) for _ in range(40 if scroll else 6)]
  bright = (255, 255, 255) if scroll or rng.random() < 0.7 else (250, 230, 40)
  for i, picture in enumerate(out):
    for row, line in enumerate(lines):
      y = step * (row + 1) - (round(i * 40 * size / RATE) if scroll else 0)
      if 0 < y < height + step:
        cv2.putText(picture, line, (6, y), 0, 0.7 * size, (0, 0, 0), round(4 * size), cv2.LINE_AA)
        cv2.putText(picture, line, (6, y), 0, 0.7 * size, bright, round(2 * size), cv2.LINE_AA)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Change:
  """A change of a video, as by a user who uploads it again.

  Attributes:
    scale: factor by which both sides are resized.
    crop: share of each side that is cut off in total.
    corner: share of the crop that is cut off at the top and left; the rest is at the bottom and right.
    gain, lift: change of brightness, picture * gain + lift.
    crf: constant rate factor of x264; higher values mean lower quality.
  """

  scale: float = 1
  crop: float = 0
  corner: float = 0.5
  gain: float = 1
  lift: float = 0
  crf: int = 23

  def __call__(self, frames: np.ndarray) -> np.ndarray:
    height, width = frames.shape[1:3]
    down, across = round(height * self.crop), round(width * self.crop)
    top, left = round(down * self.corner), round(across * self.corner)
    kept = frames[:, top : height - (down - top), left : width - (across - left)]
    sizes = [max(16, 2 * round(side * self.scale / 2)) for side in kept.shape[1:3]]
    small = [cv2.resize(f, sizes[::-1], interpolation=cv2.INTER_AREA) for f in kept]
    return np.clip(np.stack(small) * self.gain + self.lift, 0, 255).astype(np.uint8)


def random_change(rng: np.random.Generator) -> Change:
  """Draws a change: stronger compression, another size, a slight crop, another brightness, or all of them."""
  kind = rng.integers(5)
  everything = kind == 4
  return Change(
    crf=int(rng.integers(30, 38)) if kind == 0 or everything else 23,
    scale=float(rng.choice([0.5, 0.67, 0.75, 1.5])) if kind == 1 or everything else 1,
    crop=float(rng.uniform(0.03, 0.08)) if kind == 2 or everything else 0,
    corner=float(rng.uniform(0, 1)),
    gain=float(rng.choice([0.8, 0.9, 1.15, 1.25])) if kind == 3 or everything else 1,
    lift=float(rng.uniform(-12, 12)) if kind == 3 or everything else 0,
  )


def write(path: Path, frames: np.ndarray, crf: int = 23) -> None:
  """Encodes `frames` as an H.264 video; odd sides lose one pixel."""
  height, width = (side - side % 2 for side in frames.shape[1:3])
  with av.open(str(path), "w") as file:
    stream = file.add_stream("libx264", rate=Fraction(RATE), options={"crf": str(crf), "preset": "veryfast"})
    stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
    stream.codec_context.thread_count = 1
    for picture in frames:
      picture = np.ascontiguousarray(picture[:height, :width])
      file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
    file.mux(stream.encode(None))


def plant(root: Path, originals: int, copied: int, seed: int) -> dict[str, list[tuple[str, float, float]]]:
  """Fills a folder with videos of four scenes, and with changed copies of some, named NAME-copy.mp4.

  Args:
    root: the folder.
    originals: number of original videos.
    copied: number of originals that get a changed copy.
    seed: seed of all random draws.

  Returns:
    File name -> scenes, each (kind, start, end) in seconds.
  """
  rng = np.random.default_rng(seed)
  faulty, truth = ("static", "slide", "dark", "text", "credits"), {}
  for video in range(originals):
    kinds = [*rng.choice(GOOD, 3, replace=False), rng.choice(faulty)]
    kinds = [str(kind) for kind in rng.permutation(kinds)]
    scenes = [
      scene(kind, float(rng.uniform(1.4, 2)), int(seed * 10_000 + video * 10 + i))
      for i, kind in enumerate(kinds)
    ]
    edges = np.cumsum([0, *(len(frames) for frames in scenes)]) / RATE
    frames, name = np.concatenate(scenes), f"{video:03}"
    for again in (False, True)[: 1 + (video < copied)]:
      change = random_change(rng) if again else Change(crf=int(rng.integers(18, 30)))
      write(root / f"{name}{'-copy' if again else ''}.mp4", change(frames), change.crf)
      truth[f"{name}{'-copy' if again else ''}.mp4"] = [
        (kind, float(a), float(b)) for kind, a, b in zip(kinds, edges, edges[1:], strict=False)
      ]
  return truth


def clean(root: Path, number: int, seed: int) -> None:
  """Creates a folder with `number` videos of one good scene each."""
  root.mkdir(parents=True)
  for i in range(number):
    write(root / f"{i:03}.mp4", scene(GOOD[i % len(GOOD)], 2, int(seed * 10_000 + 7_000 + i)))


def score(truth: dict, files: list[dict], clips: list[dict]) -> dict[str, float]:
  """Scores curation against the planted truth.

  Args:
    truth: output of `plant`.
    files, clips: lines of the files.jsonl and clips.jsonl that curation wrote.

  Returns:
    cuts_f1: F1 of the detected cuts, within 1.5 frames.
    static_removed: share of static scenes of which no clip was kept.
    duplicates_clustered: share of copied good scenes that are in a cluster with their copy.
    good_kept: share of good scenes of which a clip was kept, in the original or the copy.
  """
  right = missed = wrong = 0
  for file in files:
    want = [start for _, start, _ in truth[file["path"]][1:]]
    got = file["cuts"]
    hits = sum(any(abs(cut - time) < 1.5 / RATE for cut in got) for time in want)
    right, missed = right + hits, missed + len(want) - hits
    wrong += sum(all(abs(cut - time) >= 1.5 / RATE for time in want) for cut in got)

  def within(name: str, number: int) -> list[dict]:
    """Clips of scene `number` of a file."""
    _, start, end = truth[name][number]
    return [c for c in clips if c["path"] == name and start <= (c["start"] + c["end"]) / 2 < end]

  static, pairs, good = [], [], []
  for name, scenes in truth.items():
    for number, (kind, _, _) in enumerate(scenes):
      here = within(name, number)
      if kind in ("static", "slide"):
        static.append(all(clip["reason"] for clip in here))
      if kind in GOOD and "-copy" not in name:
        again = name.replace(".mp4", "-copy.mp4")
        there = within(again, number) if again in truth else []
        # Either the original or the copy must be kept.
        good.append(any(not clip["reason"] for clip in (*here, *there)))
        if again in truth:
          clusters = [{clip["cluster"] for clip in found} - {""} for found in (here, there)]
          pairs.append(bool(clusters[0] & clusters[1]))
  return {
    "cuts_f1": 2 * right / (2 * right + missed + wrong),
    "static_removed": float(np.mean(static)),
    "duplicates_clustered": float(np.mean(pairs)),
    "good_kept": float(np.mean(good)),
  }
