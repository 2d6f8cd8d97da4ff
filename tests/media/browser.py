"""Drives a real Chromium over its DevTools pipe, so that mouse, keyboard and touch are as a user's."""

import itertools
import json
import os
import select
import shutil
import subprocess
import time

PROGRAM = shutil.which("chromium") or shutil.which("google-chrome")
_FLAGS = (
  "--headless=new",
  "--remote-debugging-pipe",
  "--no-sandbox",
  "--no-first-run",
  "--disable-gpu",
  "--disable-dev-shm-usage",
  "--mute-audio",
  # A webcam that shows a moving test picture, without the question whether it may be used.
  "--use-fake-device-for-media-stream",
  "--use-fake-ui-for-media-stream",
  "--window-size=1100,900",
)
_PATIENCE = 60  # Seconds for one answer.


class Browser:
  """A browser with one page.

  Attributes:
    fetched: addresses that the page asked for, without those of data.
    errors: what the page's scripts raised.
  """

  def __init__(self, profile):
    (child_in, self._out), (self._in, child_out) = os.pipe(), os.pipe()
    # DevTools reads from descriptor 3 and writes to 4.
    connect = f'exec "$@" 3</dev/fd/{child_in} 4>/dev/fd/{child_out}'
    self._process = subprocess.Popen(
      ["sh", "-c", connect, "sh", PROGRAM, *_FLAGS, f"--user-data-dir={profile}", "about:blank"],
      pass_fds=(child_in, child_out),
      stdout=subprocess.DEVNULL,
      stderr=subprocess.DEVNULL,
    )
    os.close(child_in)
    os.close(child_out)
    self._count, self._rest, self._session = itertools.count(), b"", None
    self.fetched, self.errors = [], []
    target = self("Target.createTarget", url="about:blank")["targetId"]
    self._session = self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    for domain in ("Page", "Network", "Runtime"):
      self(f"{domain}.enable")

  def __call__(self, method, **params):
    """The result of a DevTools command."""
    number = next(self._count)
    message = {"id": number, "method": method, "params": params}
    if self._session:
      message["sessionId"] = self._session
    os.write(self._out, json.dumps(message).encode() + b"\0")
    while (answer := self._read()).get("id") != number:
      event, about = answer.get("method"), answer.get("params", {})
      if event == "Network.requestWillBeSent" and not about["request"]["url"].startswith("data:"):
        self.fetched.append(about["request"]["url"])
      if event == "Runtime.exceptionThrown":
        self.errors.append(about["exceptionDetails"])
    assert "error" not in answer, answer
    return answer["result"]

  def _read(self):
    while b"\0" not in self._rest:
      assert select.select([self._in], [], [], _PATIENCE)[0], "the browser does not answer"
      piece = os.read(self._in, 1 << 20)
      assert piece, "the browser has ended"
      self._rest += piece
    message, _, self._rest = self._rest.partition(b"\0")
    return json.loads(message)

  def run(self, script):
    """The value of JavaScript; promises are awaited."""
    answer = self("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
    assert "exceptionDetails" not in answer, answer["exceptionDetails"]
    return answer["result"].get("value")

  def wait(self, script, seconds=20):
    """Waits until JavaScript is true."""
    end = time.monotonic() + seconds
    while not self.run(script):
      assert time.monotonic() < end, f"not within {seconds} s: {script}"
      time.sleep(0.03)

  def open(self, path):
    """Shows a file and waits for its videos."""
    self("Page.navigate", url=f"file://{path}")
    self.wait(
      "document.readyState === 'complete' && [...document.querySelectorAll('video')]"
      ".every(v => v.readyState >= 2)"
    )

  def box(self, selector):
    """(left, top, width, height) of the first element, scrolled into view."""
    return self.run(f"""(() => {{
      const element = document.querySelector({json.dumps(selector)});
      element.scrollIntoView({{block: 'center'}});
      const box = element.getBoundingClientRect();
      return [box.x, box.y, box.width, box.height];
    }})()""")

  def mouse(self, kind, x, y):
    """A mouse event: "mousePressed", "mouseMoved" or "mouseReleased"."""
    held = {"button": "left", "buttons": int(kind != "mouseReleased"), "clickCount": 1}
    self("Input.dispatchMouseEvent", type=kind, x=x, y=y, **held)

  def click(self, selector):
    """Clicks on the middle of an element."""
    x, y, width, height = self.box(selector)
    for kind in ("mousePressed", "mouseReleased"):
      self.mouse(kind, x + width / 2, y + height / 2)

  def touch(self, kind, *points):
    """A touch event: "touchStart", "touchMove" or "touchEnd"."""
    self("Input.dispatchTouchEvent", type=kind, touchPoints=[{"x": x, "y": y} for x, y in points])

  def press(self, key, code):
    """Presses a key by its name and its Windows key code."""
    for kind in ("rawKeyDown", "keyUp"):
      self("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

  def close(self):
    """Ends the browser."""
    self._process.kill()
    self._process.wait()
    os.close(self._in)
    os.close(self._out)
