"""A machine on which some programs are not what they seem: they record what they are told."""

import os
import shutil
import subprocess
import time
from pathlib import Path

_REAL = ("bash", "sh", "env", "dirname")
# Records its arguments, a file a call; then does as the file `<name>` of the machine's folder says.
_FAKE = """\
#!{bash}
n=0
until (set -o noclobber; : > "{calls}/{name}.$n") 2>/dev/null; do n=$((n + 1)); done
printf '%s\\0' "$@" > "{calls}/{name}.$n"
. "{folder}/{name}"
"""


# What a fake does that goes on until it is told to stop, as training does, which then saves.
STOPS = "trap 'kill $!; echo told; exit {code}' TERM; coproc read; : > \"$HOME/waits.$n\"; wait"


class Machine:
  """Nothing is installed but a shell and what `fake` adds."""

  def __init__(self, folder: Path):
    self.folder = folder
    self.bin = folder / "bin"
    self.calls_folder = folder / "calls"
    self.bin.mkdir(parents=True)
    self.calls_folder.mkdir()
    for name in _REAL:
      (self.bin / name).symlink_to(shutil.which(name))
    self.fake("sleep", "exit 0")

  def fake(self, name: str, does: str) -> None:
    """Installs `name`, which does what the lines of bash `does` say; `$n` is how often it did it before."""
    (self.folder / name).write_text(does + "\n")
    path = self.bin / name
    path.write_text(
      _FAKE.format(bash=shutil.which("bash"), calls=self.calls_folder, folder=self.folder, name=name)
    )
    path.chmod(0o755)

  def calls(self, name: str) -> list[list[str]]:
    """The arguments of every call of a fake, in order."""
    paths = self.calls_folder.glob(f"{name}.*")
    ordered = sorted(paths, key=lambda path: int(path.suffix[1:]))
    return [path.read_text().split("\0")[:-1] for path in ordered]

  def await_stops(self, count: int) -> None:
    """Waits until so many fakes wait to be told to stop."""
    end = time.monotonic() + 30
    while len(list(self.folder.glob("waits.*"))) < count:
      assert time.monotonic() < end
      time.sleep(0.01)

  @property
  def environment(self) -> dict[str, str]:
    return {"PATH": str(self.bin), "HOME": str(self.folder)}

  def start(self, *command: str, **options) -> subprocess.Popen:
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    environment = {**os.environ, **self.environment}
    return subprocess.Popen(command, cwd=self.folder, env=environment, **streams, **options)

  def run(self, *command: str) -> tuple[int, str, str]:
    process = self.start(*command)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err
