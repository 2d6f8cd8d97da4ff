"""What is written is read back by other hands: PyAV decodes, lxml parses, NumPy loads."""

import dataclasses
import html
import io
import json
import re
from html.parser import HTMLParser

import av
import numpy as np
import pytest
from lxml import etree

from stale_jax.clip import Sense
from stale_jax.data import Digits, Lorenz
from stale_jax.data.sources.digits import PITCHES
from stale_jax.errors import UserError
from stale_jax.evaluation.table import estimates
from stale_jax.media import (
  contact_sheet,
  gates,
  png,
  read_arrays,
  save_movie,
  synthesise,
  write_page,
  write_sem,
  write_video,
)
from stale_jax.media.curves import curves
from stale_jax.media.dots import dots
from stale_jax.media.picture import enlarge, shrink, to_bytes
from stale_jax.media.plots import plot
from stale_jax.media.sem import SEDL, SI, XSI, _runs
from stale_jax.movie import Movie

SOURCE = Digits(split="test")
SENSES = SOURCE.senses
# A quick one hits its second wall within the clip.
EXAMPLE = next(e for e in map(SOURCE.__getitem__, range(99)) if (e["clip"]["sound"][:, -1] > 0).sum() == 2)
CLIP = {name: x for name, x in EXAMPLE["clip"].items() if name != "balance"}


def movie(prompt="a red seven"):
  return Movie(CLIP, tuple(SENSES.values()), prompt, 5, {"model": "test", "steps": 3})


def decode(path):
  with av.open(str(path)) as file:
    frames = np.stack([frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)])
    rate = float(file.streams.video[0].average_rate)
    audio = None
  with av.open(str(path)) as file:
    if file.streams.audio:
      parts = [frame.to_ndarray() for frame in file.decode(audio=0)]
      audio = np.concatenate(parts, 1)[0]
  return frames, rate, audio


@pytest.mark.parametrize(("codec", "suffix"), [("h264", ".mp4"), ("vp9", ".webm")])
def test_a_video_decodes_to_what_went_in(tmp_path, codec, suffix):
  path = tmp_path / f"a{suffix}"
  write_video(path, CLIP, SENSES, codec)
  frames, rate, audio = decode(path)
  want = enlarge(to_bytes(CLIP["sight"]))
  assert frames.shape == want.shape == (8, 256, 256, 3) and rate == 8
  assert np.abs(frames.astype(float) - want).mean() < 6
  # As long as the picture, give or take a codec's block.
  assert abs(len(audio) - 48000) <= 1024
  pitch = PITCHES[EXAMPLE["labels"]["digit"]]
  spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio))))
  assert abs(spectrum.argmax() * 48000 / len(audio) - pitch) < 3
  # Above all pitches, energy begins where the sense says a click is.
  high = np.fft.irfft(
    np.where(np.arange(len(audio) // 2 + 1) * 48000 / len(audio) > 3000, np.fft.rfft(audio), 0)
  )
  energy = np.add.reduceat(np.square(high), np.arange(0, 8 * 6000, 6000))
  clicks = CLIP["sound"][:, -1] > 0
  assert energy[clicks].min() > 5 * energy[~clicks].max()


@pytest.mark.parametrize("rate", [7.3, 23.976, 30000 / 1001])
def test_picture_and_sound_keep_time_at_any_rate(tmp_path, rate):
  source = Digits(rate=rate)
  write_video(tmp_path / "a.mp4", source[0]["clip"], source.senses)
  with av.open(str(tmp_path / "a.mp4")) as file:
    for stream in file.streams:
      assert abs(float(stream.duration * stream.time_base) - 8 / rate) < 2e-3 and stream.start_time == 0
    times = [float(frame.pts * frame.time_base) for frame in file.decode(video=0)]
  np.testing.assert_allclose(times, np.arange(8) / rate, atol=1e-4)


@pytest.mark.parametrize(("codec", "suffix"), [("h264", ".mp4"), ("vp9", ".webm")])
def test_colours_are_said_and_kept(tmp_path, codec, suffix):
  colours = np.array([[1, -1, -1], [-1, 1, -1], [-1, -1, 1], [1, 1, -1], [0, 0.5, -0.5]])
  sight = np.broadcast_to(colours[:, None, None], (5, 16, 16, 3))
  write_video(tmp_path / f"a{suffix}", {"sight": sight}, SENSES, codec)
  frames, _, _ = decode(tmp_path / f"a{suffix}")
  assert np.abs(frames.mean((1, 2)) - to_bytes(colours)).max() < 6
  with av.open(str(tmp_path / f"a{suffix}")) as file:
    context = file.streams.video[0].codec_context
    assert (context.colorspace, context.color_range) == (1, 1)


def test_odd_sizes_and_silence(tmp_path):
  rng = np.random.default_rng(0)
  write_video(tmp_path / "a.mp4", {"sight": rng.uniform(-1, 1, (3, 301, 257, 3))}, SENSES)
  frames, _, audio = decode(tmp_path / "a.mp4")
  assert frames.shape == (3, 302, 258, 3) and audio is None
  with pytest.raises(UserError, match="'h264'"):
    write_video(tmp_path / "b.mp4", CLIP, SENSES, "h265")
  with pytest.raises(UserError, match="sight"):
    write_video(tmp_path / "b.mp4", {"sound": CLIP["sound"]}, SENSES)


def test_sound_is_bounded_continuous_and_as_long_as_its_frames():
  loud = np.ones((8, len(PITCHES) + 1))
  for sound in (loud, CLIP["sound"], -loud):
    wave = synthesise(sound, SENSES["sound"])
    assert wave.shape == (48000,) and np.abs(wave).max() <= 1
  assert not np.any(wave)
  tone = -np.ones((8, len(PITCHES) + 1))
  tone[2:5, 0] = 1
  wave = synthesise(tone, SENSES["sound"])
  # No jump larger than the sine's own slope: notes begin and end without a click.
  assert np.abs(np.diff(wave)).max() < 1.2 * 0.4 * 2 * np.pi * PITCHES[0] / 48000
  assert not np.any(wave[: 48000 // 8]) and np.abs(wave[18000:24000]).max() > 0.39


def test_a_click_is_heard_wherever_it_is_and_only_there():
  for onset in (0, 3, 7):
    sound = -np.ones((8, len(PITCHES) + 1))
    sound[onset:, -1] = 1  # It lasts, and yet it clicks once.
    loud = np.abs(synthesise(sound, SENSES["sound"]).reshape(8, 6000)).max(1)
    assert loud[onset] > 0.3 and np.count_nonzero(loud) == 1
  # Silence stays silence however long, and nothing overflows.
  with np.errstate(all="raise"):
    long = np.tile(CLIP["sound"], (20, 1))
    assert np.isfinite(synthesise(long, SENSES["sound"])).all()


def test_effects_are_valid_and_at_the_right_time(tmp_path):
  count = write_sem(tmp_path / "a.xml", CLIP, SENSES)
  root = etree.parse(str(tmp_path / "a.xml")).getroot()
  assert root.tag == f"{{{SEDL}}}SEM" and root.get(f"{{{SI}}}timeScale") == "90000"
  effects = root.findall(f"{{{SEDL}}}Effect")
  assert len(effects) == count > 0
  times = [int(e.get(f"{{{SI}}}pts")) for e in effects]
  assert times == sorted(times)
  allowed = {
    "activate",
    "duration",
    "location",
    "intensity-value",
    "intensity-range",
    "scent",
    "sprayingType",
  }
  felt = np.zeros((8, 4))
  for effect in effects:
    kind = effect.get(f"{{{XSI}}}type")
    # The prefix in the attribute's value must be bound.
    assert effect.nsmap[kind.split(":")[0]].endswith("SEV-NS")
    assert {key for key in effect.attrib if "}" not in key} <= allowed
    assert effect.get("activate") == "true" and 0 < int(effect.get("intensity-value")) <= 100
    if kind == "sev:SprayingType":
      assert effect.get("sprayingType").startswith("urn:stale_jax:taste:")
    if kind == "sev:ScentType":
      assert effect.get("scent").startswith("urn:mpeg:mpeg-v:01-SI-ScentCS-NS:")
    if kind == "sev:VibrationType":
      start, frames = int(effect.get(f"{{{SI}}}pts")) // 11250, int(effect.get("duration")) // 11250
      place = effect.get("location").split("NS:")[1]
      wall = ["left:*:*", "right:*:*", "*:top:*", "*:bottom:*"].index(place)
      felt[start : start + frames, wall] = int(effect.get("intensity-value")) / 100
  level = (CLIP["touch"] + 1) / 2
  np.testing.assert_allclose(felt, np.where(level >= 0.1, level, 0), atol=0.05)


def test_effects_neither_flicker_nor_miss_an_impact():
  def runs(*level, least=1):
    return [tuple(run) for run in _runs(np.array(level), least)]

  # Held while it wavers by less than a tenth, then followed.
  assert runs(0.5, 0.55, 0.47, 0.58, 0.7) == [(0, 4, 50), (4, 5, 70)]
  # Begins above .2, ends below .1.
  assert runs(0.15, 0.2, 0.12, 0.09, 0.15) == [(1, 3, 20)]
  # One frame's impact lasts long enough to be felt, at its full strength.
  assert runs(0, 0.3, 1, 0, 0, 0, least=3) == [(1, 4, 100)]
  assert runs(0, 0, 0, 0, 0, 1, least=3) == [(5, 6, 100)]
  noisy = 0.5 + np.random.default_rng(0).normal(0, 0.03, 240)
  assert len(runs(*noisy, least=3)) < 12


def test_a_movie_without_effects_leaves_no_old_ones(tmp_path):
  silent = {name: x if name == "sight" else -np.ones_like(x) for name, x in CLIP.items()}
  for clip, count in ((CLIP, 4), (silent, 3)):
    save_movie(tmp_path, "a", clip, SENSES, {})
    assert len(list(tmp_path.iterdir())) == count


def test_a_description_without_effects_is_not_written(tmp_path):
  still = {name: -np.ones_like(x) for name, x in CLIP.items()}
  assert write_sem(tmp_path / "a.xml", still, SENSES) == 0
  assert not (tmp_path / "a.xml").exists()


def test_arrays_are_exact_and_described(tmp_path):
  video = movie().save(tmp_path)
  assert sorted(p.name for p in tmp_path.iterdir()) == [
    "a-red-seven-5.json",
    "a-red-seven-5.mp4",
    "a-red-seven-5.npz",
    "a-red-seven-5.sem.xml",
  ]
  clip, senses, info = read_arrays(video.with_suffix(""))
  assert info == {"prompt": "a red seven", "seed": 5, "model": "test", "steps": 3}
  for name, x in CLIP.items():
    assert clip[name].dtype == x.dtype and senses[name] == SENSES[name]
    np.testing.assert_array_equal(clip[name], x)
  json.loads(video.with_suffix(".json").read_text())
  whole = video.with_suffix(".npz").read_bytes()
  for broken in (b"", b"junk", whole[: len(whole) // 2], whole[:200] + bytes(50) + whole[250:]):
    video.with_suffix(".npz").write_bytes(broken)
    with pytest.raises(UserError, match="no movie's arrays"):
      read_arrays(video.with_suffix(""))
  with pytest.raises(UserError, match="no movie's arrays"):
    read_arrays(tmp_path / "nothing")


def test_an_unwritable_folder_and_a_bad_codec_leave_nothing(tmp_path):
  (tmp_path / "file").write_text("mine")
  with pytest.raises(UserError, match="cannot write to"):
    movie().save(tmp_path / "file" / "movies")
  with pytest.raises(UserError, match="unknown codec"):
    movie().save(tmp_path / "new", codec="mpeg9")
  with pytest.raises(UserError, match="cannot write"):
    write_page(tmp_path / "file" / "index.html", [], [], "", "")
  assert [p.name for p in tmp_path.iterdir()] == ["file"]
  (tmp_path / "index.html").mkdir()
  with pytest.raises(UserError, match="cannot write"):
    write_page(tmp_path / "index.html", [], [], "", "")
  assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "index.html"]


class Outside(HTMLParser):
  """Everything that a browser would fetch, and every tag."""

  def __init__(self):
    super().__init__()
    self.fetched, self.tags, self.text = [], [], []

  def handle_starttag(self, tag, attrs):
    self.tags.append(tag)
    self.fetched += [v for k, v in attrs if k in ("src", "href") and not v.startswith("data:")]

  def handle_data(self, data):
    self.text.append(data)


def test_the_page_is_whole_and_safe(tmp_path):
  prompt = "<script>alert('x')</script> & \"more\" 😂"
  entry = movie(prompt).page_entry(movie(prompt).save(tmp_path))
  command = "python -m x --prompt='<b>'"
  scores, drawn = [("digit", 0.91, 0.987, "of <all>")], ['<svg xmlns="http://www.w3.org/2000/svg"/>']
  write_page(tmp_path / "index.html", [entry, entry], scores, "on <12>", command, drawn)
  text = (tmp_path / "index.html").read_text()
  page = Outside()
  page.feed(text)
  assert page.fetched == [] and "url(" not in text and "@import" not in text and "://" not in text
  assert page.tags.count("video") == 2 and page.tags.count("svg") == 10 and page.tags.count("img") == 17
  assert page.tags.count("script") == 1 and "b" not in page.tags
  assert (
    html.escape(prompt) in text
    and html.escape(command) in text
    and "0.910" in text
    and "0.987" in text
    and "on &lt;12&gt;" in text
  )
  for name in CLIP:
    assert f"<h3>{name}</h3>" in text


def test_a_movie_shows_itself_in_a_notebook():
  page = Outside()
  page.feed(movie()._repr_html_())
  assert page.tags.count("video") == 1 and page.fetched == []
  # Its style stays inside its own element.
  style = re.search(r"<style>(.*?)</style>", movie()._repr_html_(), re.S)[1]
  selectors = re.findall(r"^\s*([^{};@]+)\{", re.sub(r"/\*.*?\*/", "", style), re.M)
  assert selectors and all(s.strip().startswith(".stale") for s in selectors)


def test_plots_hold_every_channel_and_escape_it():
  names = ("<b>", *(f"tone_{i}" for i in range(9)))
  sense = Sense(name="hum", shape=(10,), rate=4.0, patch=(4,), channels=names)
  values = -np.ones((4, 10))
  values[2, 0] = 1
  for channels in (4, 10):
    few = dataclasses.replace(sense, shape=(channels,), channels=names[:channels])
    text = plot(values[:, :channels], few)
    etree.fromstring(text)
    assert text.count("<title>") == channels and "<b>" not in text and "tone 2" in text
    assert "at most 1.00, at 0.5 s" in text and "<span>0.25</span>" in text and "<span>1 s</span>" in text


def test_a_storyboard_picture_is_the_frame_made_smaller():
  frames = np.random.default_rng(0).integers(0, 256, (2, 301, 513, 3), dtype=np.uint8)
  small = shrink(frames)
  assert small.shape == (2, 150, 256, 3)
  np.testing.assert_allclose(small[0, 3, 5], frames[0, 6:8, 10:12].mean((0, 1)), atol=0.51)
  assert shrink(frames[:, :16, :16]).shape == (2, 16, 16, 3)


def test_a_long_movie_s_storyboard_is_of_frames_evenly_apart():
  clip = {name: np.concatenate([x] * 60) for name, x in CLIP.items()}
  text = Movie(clip, tuple(SENSES.values()), "a red seven", 5, {})._repr_html_()
  shown = [int(number) for number in re.findall(r'alt="frame (\d+)"', text)]
  # Every fifth of 480: of every fourth, what comes back after eight frames would seem to stand still.
  assert shown == list(range(0, 480, 5)) and text.count("<figure>") == 96


def test_forms_are_cells_a_block_and_step():
  weights = np.random.default_rng(0).uniform(size=(2, 5, 3))
  svg = etree.fromstring(gates(["a red <two>", "b"], weights))
  cells = [e for e in svg.iter("{*}rect") if e.find("{*}title") is not None]
  assert len(cells) == 2 * 5 * 3
  told = [(cell.get("class") == "v", cell[0].text) for cell in cells]
  want = weights.swapaxes(1, 2).ravel()
  assert told == [(w > 0.5, f"step {i % 5}: vehicular {w:.2f}") for i, w in enumerate(want)]
  assert "a red <two>" in [e.text for e in svg.iter("{*}text")]


def test_png_is_lossless():
  sheet = contact_sheet(np.stack([CLIP["sight"]] * 2))
  assert sheet.shape == (33, 8 * 16 + 7, 3)
  with av.open(io.BytesIO(png(sheet)), format="png_pipe") as file:
    (frame,) = file.decode(video=0)
  np.testing.assert_array_equal(frame.to_ndarray(format="rgb24"), sheet)


def test_a_movie_without_sight_is_its_plots(tmp_path):
  source = Lorenz()
  example = source[3]
  unseen = Movie(example["clip"], tuple(source.senses.values()), example["caption"], 5, {"model": "test"})
  stem = unseen.stem
  (tmp_path / f"{stem}.mp4").write_text("an earlier one's")
  assert unseen.save(tmp_path) is None
  assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".npz"]
  clip, senses, _ = read_arrays(tmp_path / stem)
  np.testing.assert_array_equal(clip["state"], example["clip"]["state"])
  assert senses == source.senses
  write_page(tmp_path / "index.html", [unseen.page_entry(None)], [], "", "")
  for text in ((tmp_path / "index.html").read_text(), unseen._repr_html_()):
    page = Outside()
    page.feed(text)
    assert page.tags.count("svg") == 1 and page.tags.count("path") == 3
    assert (
      not {"video", "img", "figure"} & set(page.tags) and "data-seconds=" not in text.split("<script>")[0]
    )


def test_curves_lie_where_their_values_do():
  whose = {"made": ([None, 0.5, 1.0, None, 0.25], 2.0), "a<b": ([2.0], 4.0)}
  panels = [
    ("x", True, whose),
    *((f"y{i}", False, {"made": ([3.0], 1.0), "a<b": ([6.0], 1.0)}) for i in range(4)),
  ]
  svg = etree.fromstring(curves(panels, 1.0))
  titles = [text.text for text in svg.findall(".//{*}text[@class='title']")]
  assert titles == ["x", "y0", "y1", "y2", "y3"] and "a<b" in svg.itertext()
  made = svg.findall(".//{*}g[@class='a']")[1]  # The first explains the colour.
  (x1, y1), (x2, y2) = (map(float, p.split()) for p in re.split("[ML]", made.find("{*}path").get("d"))[1:3])
  dots = [(float(dot.get("cx")), float(dot.get("cy"))) for dot in made.findall("{*}circle")]
  # Ten seconds, up to 2: from the middle of one point to that of the next, and one that stands alone.
  lines = sorted(
    {float(re.match(r"M[\d.]+ ([\d.]+)h", p.get("d"))[1]) for p in svg.findall("{*}path[@class='axis']")}
  )
  high, _, zero = lines[:3]
  assert (zero - y1, zero - y2) == pytest.approx(((zero - high) / 4, (zero - high) / 2), abs=0.1)
  assert dots == [pytest.approx((x1 + 3 * (x2 - x1), zero - (zero - high) / 8), abs=0.2)]
  # Four panels side by side, the fifth below.
  assert len(lines) == 6


def test_dots_lie_where_their_values_do():
  values = {"a<b": {0: {"x": 1.0, "y": 5.0}, 1: {"x": 3.0, "y": 5.0}}, "c": {0: {"x": 2.0}}}
  means = estimates(values)
  svg = etree.fromstring(dots(values, means))
  circles = {
    kind: [(float(c.get("cx")), float(c.get("cy"))) for c in svg.findall(f".//{{*}}circle[@class='{kind}']")]
    for kind in ("seed", "mean")
  }
  assert len(circles["seed"]) == 5 and len(circles["mean"]) == 3
  (low, top), (high, _), (middle, below) = circles["seed"][:3]
  assert middle == pytest.approx((low + high) / 2, abs=0.1) and below > top
  assert circles["mean"][0] == pytest.approx((middle, top), abs=0.1)
  # One error bar each where there are two seeds, from mean - error to mean + error.
  bars = [bar.get("d") for bar in svg.findall(".//{*}path[@class='error']")]
  assert len(bars) == 2
  ends = [float(x) for x in re.match(r"M([\d.]+) [\d.]+H([\d.]+)", bars[0]).groups()]
  assert ends == pytest.approx([low, high], abs=0.1)  # Of 1 and 3: 2 ± 1.
  labels = [text.text for text in svg.findall(".//{*}text")]
  assert labels[:2] == ["a<b", "c"] and {"x", "y", "1", "3"} <= set(labels)
  # Four panels side by side, the fifth below, and the rows named again.
  many = {"a": {0: {f"score {i}": float(i) for i in range(5)}}}
  svg = etree.fromstring(dots(many, estimates(many)))
  assert [len(band.findall("{*}text[@class='title']")) for band in svg.findall("{*}g")] == [4, 1]
  assert [text.text for text in svg.findall(".//{*}text")].count("a") == 2
