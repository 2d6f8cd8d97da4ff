"""The page of movies in a real browser: mouse, keyboard and touch move all that shows the time."""

import pytest

from stale_jax.media import write_page
from tests.media.browser import PROGRAM
from tests.media.examples import movie, walk

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="Chromium is not installed: apt-get install chromium")

# What the first movie shows: the video's time, the frame of its picture by the brightness, the playhead, the
# frame of the storyboard, and the opacity of both feet.
_STATE = """(async () => {
  const movie = document.querySelector('.movie'), video = movie.querySelector('video');
  while (video.seeking) await new Promise((done) => setTimeout(done, 10));
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  const canvas = document.createElement('canvas').getContext('2d');
  canvas.drawImage(video, 0, 0);
  return {
    time: video.currentTime,
    picture: canvas.getImageData(100, 100, 1, 1).data[0] / 17,
    head: +movie.style.getPropertyValue('--at') * movie.dataset.seconds,
    slider: +movie.querySelector('.time').value / 8,
    said: movie.querySelector('.time').getAttribute('aria-valuetext'),
    board: [...movie.querySelectorAll('.board figure')].findIndex((f) => f.classList.contains('now')),
    feet: [...movie.querySelectorAll('[data-levels]')].slice(0, 2).map((part) => +part.style.opacity),
    paused: video.paused,
  };
})()"""


@pytest.fixture(params=["h264", "vp9"])
def page(browser, tmp_path, request):
  """The page of a walk and of a digit, whose first movie is paused at its start."""
  browser.fetched.clear()
  movies = [walk(), movie()]
  write_page(
    tmp_path / "index.html", [m.page_entry(m.save(tmp_path, request.param)) for m in movies], [], "", ""
  )
  browser.open(tmp_path / "index.html")
  browser.run("document.querySelectorAll('video').forEach((v) => { v.pause(); v.currentTime = 0; })")
  yield browser
  assert browser.fetched == [f"file://{tmp_path}/index.html"] and browser.errors == []


def check(state, time, frame):
  """Everything shows the same time."""
  assert state["time"] == pytest.approx(time, abs=0.02) and state["picture"] == pytest.approx(frame, abs=0.3)
  assert state["head"] == pytest.approx(time, abs=0.02) and state["slider"] == pytest.approx(time, abs=0.02)
  assert state["board"] == frame
  assert float(state["said"].removesuffix(" s")) == pytest.approx(frame / 8, abs=0.006)


def drag(browser, selector, *fractions, release=True):
  """Presses the mouse in an element at the first fraction of its width, and moves it to the others."""
  left, top, width, height = browser.box(selector)
  for i, fraction in enumerate(fractions):
    browser.mouse("mouseMoved" if i else "mousePressed", left + fraction * width, top + height / 2)
  if release:
    browser.mouse("mouseReleased", left + fractions[-1] * width, top + height / 2)


def test_a_drag_across_a_plot_moves_everything(page):
  drag(page, ".movie .rows", 0.1, 0.3, 0.51)
  state = page.run(_STATE)
  check(state, 1.02, 8)
  # The left foot steps on this frame, the right foot four frames later.
  assert state["feet"] == [1, 0] and state["paused"]
  drag(page, ".movie .senses > div:nth-child(3) .rows", 0.51, 0.76)
  state = page.run(_STATE)
  check(state, 1.52, 12)
  assert state["feet"] == [pytest.approx(1 / 16, abs=0.01), 0.6]
  # Beyond the end it is the last frame.
  drag(page, ".movie .rows", 0.5, 1.5)
  check(page.run(_STATE), 2, 15)
  # The mouse no longer moves it once it is released, and the other movie has not moved.
  left, top, width, height = page.box(".movie .rows")
  page("Input.dispatchMouseEvent", type="mouseMoved", x=left + width / 5, y=top + height / 2)
  check(page.run(_STATE), 2, 15)
  assert page.run("document.querySelectorAll('video')[1].currentTime") == 0


def test_a_playing_movie_waits_for_the_drag_and_plays_on(page):
  page.click(".movie .play")
  page.wait("!document.querySelector('video').paused && document.querySelector('video').currentTime > 0.1")
  drag(page, ".movie .rows", 0.2, 0.51, release=False)
  state = page.run(_STATE)
  check(state, 1.02, 8)
  assert state["paused"]
  left, top, width, height = page.box(".movie .rows")
  page.mouse("mouseReleased", left + 0.51 * width, top + height / 2)
  page.wait("!document.querySelector('video').paused && document.querySelector('video').currentTime > 1.2")


def test_the_slider_obeys_mouse_and_keys(page):
  drag(page, ".movie .time", 0.02, 0.3, 0.5)
  assert page.run(_STATE)["time"] == pytest.approx(1, abs=0.05)
  page.press("Home", 36)
  check(page.run(_STATE), 0, 0)
  # The arrows step from frame to frame.
  for frame in (1, 2, 3):
    page.press("ArrowRight", 39)
    check(page.run(_STATE), (frame + 0.5) / 8, frame)
  page.press("ArrowLeft", 37)
  check(page.run(_STATE), 2.5 / 8, 2)
  # The playing movie plays on after a jump.
  page.click(".movie .play")
  page.run("document.querySelector('.time').focus()")
  page.press("Home", 36)
  page.wait("!document.querySelector('video').paused && document.querySelector('video').currentTime > 0.1")


def test_a_finger_scrubs(page):
  left, top, width, height = page.box(".movie .rows")
  page.touch("touchStart", (left + 0.1 * width, top + height / 2))
  for fraction in (0.2, 0.4, 0.76):
    page.touch("touchMove", (left + fraction * width, top + height / 2))
  page.touch("touchEnd")
  check(page.run(_STATE), 1.52, 12)


def test_a_picture_of_the_storyboard_is_shown(page):
  page.click(".movie .board figure:nth-child(9)")
  state = page.run(_STATE)
  check(state, 8.5 / 8, 8)
  assert state["paused"]


def test_one_movie_at_a_time_is_heard(page):
  sounds = "[...document.querySelectorAll('video')].map((v) => [v.muted, v.controls])"
  labels = "[...document.querySelectorAll('.sound')].map((b) => b.textContent)"
  assert page.run(sounds) == [[True, False]] * 2
  page.click(".movie .sound")
  assert page.run(sounds) == [[False, False], [True, False]]
  page.click(".movie:nth-of-type(2) .sound")
  assert page.run(sounds) == [[True, False], [False, False]]
  page.wait(f"{labels}.join() === 'Sound on,Sound off'")
  page.click(".movie:nth-of-type(2) .sound")
  assert page.run(sounds) == [[True, False]] * 2


def test_only_touch_of_a_body_has_a_body(page):
  bodies = (
    "[...document.querySelectorAll('.movie[data-seconds]')].map((m) => m.querySelectorAll('.body').length)"
  )
  assert page.run(bodies) == [1, 0]
  # The body and its parts have names for those who do not see it.
  assert page.run("document.querySelector('.body svg').ariaLabel") == "touch on a body, seen from behind"
  titles = page.run("[...document.querySelectorAll('.body title')].map((t) => t.textContent)")
  assert titles[:2] == ["left foot: maximum 1.00 at 1 s", "right foot: maximum 0.60 at 1.5 s"]
