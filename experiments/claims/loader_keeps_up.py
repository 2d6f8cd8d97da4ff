"""On phone videos the loader delivers 90% of the frames that PyAV decodes on the same cores.

The loader makes batches of windows of 16 frames of 128 x 224 pixels from four videos of 576 x 1024 pixels
(H.264 with B-frames, 24 frames per second, one key frame per second). Bare PyAV, with as many threads, opens
the same files, seeks to the key frame before the same starts, scales the same frames and converts them to RGB
bytes, and does nothing more. Loader and PyAV alternate in rounds. Value: the median over rounds of the ratio
of their frames per second. Bar: .9.

`curated` is the same ratio for files such as curation writes (256 x 448, a key frame every 8 frames, no
B-frames). They decode several times as fast, so that all other costs weigh more.
"""

THREADS, BATCH, BATCHES, ROUNDS, AHEAD = 2, 2, 24, 5, 16
FRAMES, HEIGHT, WIDTH, RATE, SECONDS = 16, 224, 128, 24, 3
PHONE = (1024, 576, {"preset": "veryfast", "crf": "23", "g": "24", "bf": "2"})
CURATED = (448, 256, {"preset": "veryfast", "crf": "23", "g": "8", "bf": "0", "tune": "fastdecode"})


def measure(seed: int) -> dict:
  import statistics

  found = {}
  for name, kind in (("phone", PHONE), ("curated", CURATED)):
    rounds = _compare(kind, seed)
    found[name] = statistics.median(loader / pyav for loader, pyav in rounds)
    loader, pyav = (statistics.median(each) for each in zip(*rounds, strict=True))
    ratios = ", ".join(f"{loader / pyav:.2f}" for loader, pyav in rounds)
    print(f"{name}: frames per second: loader {loader:.0f}, PyAV {pyav:.0f}; ratios {ratios}")
  value = found["phone"]
  return {"value": value, "bar": 0.9, "holds": value >= 0.9, "curated": found["curated"]}


def _compare(kind, seed: int) -> list[tuple[float, float]]:
  """(frames per second of the loader, of bare PyAV) in each round, for videos as PHONE or CURATED."""
  import tempfile
  import time
  from concurrent.futures import ThreadPoolExecutor
  from pathlib import Path

  import numpy as np

  from stale_jax.data import build_senses, build_source, loader
  from stale_jax.data.sources.videos import window_in

  with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(THREADS) as pool:
    for number in range(4):
      _encode(Path(folder) / f"{number}.mp4", *kind, np.random.default_rng([seed, number]))
    section = {"name": "folder", "path": folder, "held_out": 0.0, "hearing": False, "patch": (4, 16, 16)}
    sizes = {"frames": FRAMES, "height": HEIGHT, "width": WIDTH, "rate": float(RATE)}
    source = build_source({**section, **sizes, "seed": seed})
    senses = build_senses(("sight",), source)
    batches = iter(loader(source, senses, batch=BATCH, text_length=16, seed=seed, threads=THREADS))

    def bare(index: int) -> int:
      file, _ = source.find(index % source.count())
      rng = np.random.Generator(np.random.Philox(key=[seed, index]))
      rates = source.rates or (source.rate,)
      return _decode(file, window_in(file, source.seconds(file), rates, source.sizes[0], rng).start)

    rounds = []
    for _ in range(ROUNDS):
      for _ in range(AHEAD + THREADS):  # Use up what was read ahead since the last round.
        next(batches)
      began, indices = time.perf_counter(), []
      for _ in range(BATCHES):
        indices += next(batches).index.tolist()
      loaded = time.perf_counter() - began
      _wait_for_silence()
      began = time.perf_counter()
      frames = sum(pool.map(bare, indices))
      decoded = time.perf_counter() - began
      assert frames == len(indices) * FRAMES
      rounds.append((frames / loaded, frames / decoded))
    return rounds


def _wait_for_silence() -> None:
  """Waits until the loader has read ahead all that it may and this process is idle."""
  import time

  before = -1.0
  while time.process_time() - before > 0.01:
    before = time.process_time()
    time.sleep(0.1)


def _decode(file: str, start: float) -> int:
  """Decodes and scales FRAMES frames of a video from `start` (seconds) on; returns their number."""
  import av
  from av.video.reformatter import VideoReformatter

  scaler, frames = VideoReformatter(), []
  with av.open(file) as container:
    stream = container.streams.video[0]
    stream.thread_type, stream.codec_context.thread_count = "NONE", 1
    container.seek(int(start / stream.time_base), stream=stream)
    for frame in container.decode(stream):
      if frame.time > start - 1 / RATE:
        small = scaler.reformat(frame, WIDTH, HEIGHT, "rgb24", interpolation="BICUBIC", threads=1)
        frames.append(small.to_ndarray())
        if len(frames) == FRAMES:
          break
  return len(frames)


def _encode(path, height: int, width: int, options: dict, rng) -> None:
  """Writes a video of SECONDS seconds to `path`: a picture with structure at all scales moves diagonally.

  Args:
    path: the file to write.
    height, width: size of the frames, in pixels.
    options: options of x264.
    rng: draws the picture.
  """
  from fractions import Fraction

  import av
  import numpy as np

  rows, columns = height + 2 * SECONDS * RATE + 64, width + SECONDS * RATE + 64
  field = np.full((rows, columns, 3), 128.0)
  for side in (4, 8, 16, 32, 64):
    squares = rng.normal(size=(rows // side + 1, columns // side + 1, 3))
    field += 0.6 * side * squares.repeat(side, 0).repeat(side, 1)[:rows, :columns]
  field = np.clip(field, 0, 255).astype(np.uint8)
  with av.open(str(path), "w") as file:
    stream = file.add_stream("libx264", rate=RATE, options=options)
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    for number in range(SECONDS * RATE):
      top, left = 2 * number, number
      pixels = np.ascontiguousarray(field[top : top + height, left : left + width])
      frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
      frame.pts, frame.time_base = number, Fraction(1, RATE)
      file.mux(stream.encode(frame))
    file.mux(stream.encode(None))
