"""The page in a real browser: it opens, streams, switches its prompt, survives a lost connection, records."""

import time

import numpy as np
import pytest

from stale_jax.media import png
from tests.media.browser import PROGRAM
from tests.serving.served import PROMPTS, Proxy

pytestmark = [
  pytest.mark.skipif(PROGRAM is None, reason="Chromium is not installed: apt-get install chromium"),
  pytest.mark.slow,
]

_LIT = """(() => {
  const data = document.getElementById('screen').getContext('2d').getImageData(0, 0, 12, 12).data;
  return data.reduce((sum, value, i) => sum + (i % 4 < 3 ? value : 0), 0);
})()"""


@pytest.fixture
def network(served):
  network = Proxy(served[0])
  yield network
  network.close()


@pytest.fixture
def page(browser, network):
  browser.fetched.clear()
  browser("Page.navigate", url=f"http://{network.address}/")
  browser.wait("document.readyState === 'complete' && document.body.dataset.state === 'idle'")
  yield browser
  if browser.run("document.body.dataset.state") != "idle":
    browser.run("document.getElementById('stop').click()")
  assert browser.errors == []
  own = (f"http://{network.address}/", f"ws://{network.address}/", "blob:")
  assert all(url.startswith(own) for url in browser.fetched), browser.fetched


def text(page, name):
  return page.run(f"document.getElementById('{name}').textContent")


def ask(page, prompt):
  """Types a prompt and presses Enter."""
  page.run("document.getElementById('prompt').select()")
  page.run("document.getElementById('prompt').focus()")
  page("Input.insertText", text=prompt)
  for kind in ("keyDown", "keyUp"):
    page("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r")


def chunk(page):
  return page.run("+document.body.dataset.chunk")


def test_it_streams_switches_and_survives_a_lost_connection(page, network):
  assert text(page, "go") == "Start" and "Generated" in page.run(
    "document.querySelector('.lead').textContent"
  )
  ask(page, PROMPTS[0])
  page.wait("document.body.dataset.state === 'streaming' && +document.body.dataset.chunk > 2")
  page.wait(f"document.body.dataset.prompt === '{PROMPTS[0]}'")
  assert page.run(_LIT) > 0 and text(page, "status") == f"Streaming: {PROMPTS[0]}"
  assert text(page, "go") == "Change prompt"
  ask(page, PROMPTS[1])
  page.wait(f"document.body.dataset.prompt === '{PROMPTS[1]}'")
  stream, before = page.run("document.body.dataset.stream"), chunk(page)
  network.cut()
  page.wait("document.body.dataset.state === 'reconnecting'")
  network.mend()
  page.wait("document.body.dataset.state === 'streaming'")
  assert page.run("document.body.dataset.stream") == stream and chunk(page) > before
  assert page.run("document.getElementById('prompt').value") == PROMPTS[1]
  page("Page.reload")
  page.wait("document.body?.dataset.state === 'streaming' && document.body.dataset.state === 'streaming'")
  assert page.run("document.body.dataset.stream") == stream and chunk(page) > before
  page.click("#stop")
  page.wait("document.body.dataset.state === 'idle'")
  assert text(page, "status") == "Stopped." and page.run("document.getElementById('record').disabled")


def test_sound_gauges_plots_recording_and_pictures(page):
  page.run("""(() => {
    window.offered = [];
    const make = URL.createObjectURL;
    URL.createObjectURL = (blob) => { window.offered.push(blob.size); return make.call(URL, blob); };
    HTMLAnchorElement.prototype.click = function () {};
  })()""")
  ask(page, PROMPTS[0])
  page.wait("document.body.dataset.state === 'streaming'")
  page.click("#sound")
  assert (
    text(page, "sound") == "Sound off" and page.run("document.getElementById('sound').ariaPressed") == "true"
  )
  page.click("#record")
  last = chunk(page)
  page.wait(f"+document.body.dataset.chunk > {last + 12}")
  page.click("#record")
  page.wait("offered.length === 1")
  page.click("#save")
  page.wait("offered.length === 2")
  assert all(size > 500 for size in page.run("offered"))
  assert page.run("document.getElementById('download').download") == "generated-by-stale_jax.png"
  names = page.run("[...document.querySelectorAll('meter')].map((m) => m.getAttribute('aria-label'))")
  assert {name.partition(":")[0] for name in names} == {"touch", "sound"}
  assert page.run("[...document.querySelectorAll('meter')].some((m) => m.value > 0)")
  assert "change" in page.run("document.getElementById('liveliness').getAttribute('aria-label')")
  assert "%" in text(page, "liveliness-text") and "round trip" in text(page, "latency-text")


def test_a_file_is_the_source(page, served, tmp_path):
  picture = np.random.default_rng(0).integers(0, 255, (30, 40, 3), np.uint8)
  (tmp_path / "source.png").write_bytes(png(picture))
  page.click("input[value=file]")
  root = page("DOM.getDocument")["root"]["nodeId"]
  field = page("DOM.querySelector", nodeId=root, selector="#file")["nodeId"]
  page("DOM.setFileInputFiles", nodeId=field, files=[str(tmp_path / "source.png")])
  ask(page, PROMPTS[0])
  page.wait("document.body.dataset.state === 'streaming' && document.body.dataset.stream")
  sources = served[1].live.find(page.run("document.body.dataset.stream"), token(page)).sources
  last = chunk(page)
  page.wait(f"+document.body.dataset.chunk > {last}")
  end = time.monotonic() + 20
  while not sources.skipped:  # The same picture again and again is skipped.
    assert time.monotonic() < end
    time.sleep(0.05)


def test_the_webcam_is_the_source(page, served):
  page.click("input[value=webcam]")
  ask(page, PROMPTS[0])
  page.wait("document.body.dataset.state === 'streaming' && document.body.dataset.stream")
  sources = served[1].live.find(page.run("document.body.dataset.stream"), token(page)).sources
  end, seen = time.monotonic() + 30, []
  while len(seen) < 3:  # Different pictures of the webcam have arrived.
    assert time.monotonic() < end
    if sources.last is not None and not any(np.array_equal(sources.last, picture) for picture in seen):
      seen.append(sources.last)
    time.sleep(0.05)
  assert seen[0].shape == (12, 12, 3) and seen[0].std() > 0.1
  page.click("#stop")
  page.wait("document.body.dataset.state === 'idle'")


def test_sound_is_audible_and_touch_moves_gamepads_and_phones(page):
  page.run("""(() => {
    window.felt = {pad: [], phone: []};
    const playEffect = async (kind, effect) => { felt.pad.push([kind, effect]); };
    navigator.getGamepads = () => [null, {vibrationActuator: {playEffect}}];
    navigator.vibrate = (ms) => { felt.phone.push(ms); return true; };
    const connect = AudioNode.prototype.connect;
    AudioNode.prototype.connect = function (to) {
      if (to instanceof AudioDestinationNode) {
        window.tap ??= this.context.createAnalyser();
        connect.call(this, window.tap);
      }
      return connect.apply(this, arguments);
    };
    window.loudest = 0;
    setInterval(() => {
      if (!window.tap) return;
      const samples = new Float32Array(tap.fftSize);
      tap.getFloatTimeDomainData(samples);
      loudest = Math.max(loudest, ...samples.map(Math.abs));
    }, 20);
  })()""")
  ask(page, PROMPTS[0])
  page.wait("document.body.dataset.state === 'streaming'")
  assert page.run("felt.pad.length + felt.phone.length") == 0
  page.click("#feel")
  page.click("#sound")
  page.wait("loudest > 0.01 && felt.pad.length > 3 && felt.phone.length > 3")
  kind, effect = page.run("felt.pad[0]")
  assert kind == "dual-rumble" and 0 < effect["duration"] <= 1000
  assert all(0 <= effect[name] <= 1 for name in ("strongMagnitude", "weakMagnitude"))
  page.click("#sound")
  page.click("#feel")
  page.run("new Promise((done) => setTimeout(done, 1500))")
  page.run("loudest = 0, felt.pad.length = 0")
  page.run("new Promise((done) => setTimeout(done, 500))")
  assert page.run("[loudest, felt.pad.length]") == [0, 0]


def test_liveliness_compares_with_real_clips(page, served):
  real = served[1].real_change
  assert (
    0.01 < real < 0.5
    and page.run("JSON.parse(document.getElementById('about').textContent).real_change") == real
  )
  ask(page, PROMPTS[0])
  page.wait("document.getElementById('liveliness-text').textContent.includes('as real clips do')")
  shown = float(text(page, "liveliness-text").split("changes ")[1].split(" %")[0])
  assert shown > 0


def token(page):
  return page.run("JSON.parse(sessionStorage.stream).token")


def test_keyboard_and_phone(page):
  named = page.run("""[...document.querySelectorAll('button, input, canvas, meter')].filter((e) => !(
    e.labels?.length || e.textContent.trim() || e.getAttribute('aria-label'))).map((e) => e.id)""")
  assert named == []
  assert page.run("document.getElementById('status').getAttribute('aria-live')") == "polite"
  page.run("document.getElementById('prompt').focus()")
  page.press("Tab", 9)
  assert page.run("document.activeElement.id") == "go"
  page("Emulation.setDeviceMetricsOverride", width=390, height=800, deviceScaleFactor=2, mobile=True)
  assert page.run("document.documentElement.scrollWidth") <= 390
  small = page.run("""[...document.querySelectorAll('button')].filter((b) => !b.hidden)
    .filter((b) => b.getBoundingClientRect().height < 32).map((b) => b.id)""")
  assert small == []
  page("Emulation.clearDeviceMetricsOverride")


def test_errors_are_shown(page, served):
  most = served[1].prompt_bytes
  page.run(f"document.getElementById('prompt').value = 'é'.repeat({most})")
  page.click("#go")
  page.wait("document.body.dataset.error === 'prompt_too_long'")
  assert f"at most {most}" in text(page, "status")
