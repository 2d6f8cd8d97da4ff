"""Pages, and the pictures and curves on them: whole, safe, and where their values say."""

import dataclasses
import html
import io
import re
from html.parser import HTMLParser

import av
import numpy as np
import pytest
from lxml import etree

from stale_jax.clip import Sense
from stale_jax.data import Lorenz
from stale_jax.evaluation.table import estimates
from stale_jax.media import (
  contact_sheet,
  gates,
  png,
  read_arrays,
  write_page,
)
from stale_jax.media.body import body
from stale_jax.media.curves import curves
from stale_jax.media.dots import dots
from stale_jax.media.picture import shrink
from stale_jax.media.plots import plot
from stale_jax.movie import Movie
from tests.media.examples import BODY, CLIP, SENSES, decaying, movie, sense


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
    assert "maximum 1.00 at 0.5 s" in text and "<span>0.25</span>" in text and "<span>1 s</span>" in text


def test_both_ears_share_a_row():
  ears = sense(
    "sound", "a <b> left", "a <b> right", *(f"{i} Hz {ear}" for i in range(9) for ear in ("right", "left"))
  )
  values = -np.ones((4, 20))
  values[1, :2] = 1, 0
  values[3, 2] = 0.5
  text = plot(values, ears)
  svg = etree.fromstring(text[: text.index('<p class="note">')]).find(".//svg")
  rows = {row.find("title").text: [path.get("d") for path in row.iter("path")] for row in svg.findall("g")}
  assert len(rows) == 10 and svg.get("viewBox") == "0 0 4 10"
  # The last row is the first channel: from its middle up for the left ear, and down for the right ear.
  title = "a <b>: left ear maximum 1.00 at 0.125 s, right ear maximum 0.50 at 0.125 s"
  assert list(rows)[-1] == title
  assert rows[title] == [
    "M0 9.50V9.500H1V9.060H2V9.500H3V9.500H4V9.50Z",
    "M0 9.50V9.500H1V9.720H2V9.500H3V9.500H4V9.50Z",
  ]
  assert "0 Hz: left ear maximum 0.00 at 0 s, right ear maximum 0.75 at 0.375 s" in rows


def test_a_body_is_lit_where_it_is_touched():
  touch = np.stack([decaying(4, (1 + i, 1.0)) for i in range(3)], -1)
  svg = etree.fromstring(body(touch, sense("touch", "right foot", "body", "left hand"))).find("svg")
  lit = {part.find("title").text.split(":")[0]: part for part in svg.findall("g[@class='on']")}
  assert set(lit) == set(BODY)
  assert (
    lit["right foot"].get("data-levels") == "0 100 50 25"
    and lit["left hand"].get("data-levels")[-3:] == "100"
  )
  assert (
    lit["left foot"].get("data-levels").strip("0 ") == "" == lit["right hand"].get("data-levels").strip("0 ")
  )
  # It is seen from behind: its left is on the left.
  for name in ("foot", "hand"):
    left, right = (float(lit[f"{side} {name}"][0].get("cx")) for side in ("left", "right"))
    assert left < 60 < right == pytest.approx(120 - left)
  assert body(touch, sense("touch", "left", "body", "top")) == ""


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
