"""The commit that a recorded result belongs to."""

import subprocess
from pathlib import Path


def commit() -> str | None:
  """The commit of the checkout, with "+" if tracked files differ from it; None outside a checkout."""

  def git(*arguments: str) -> str:
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

  try:
    return git("rev-parse", "--short=10", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")
  except (OSError, subprocess.CalledProcessError):
    return None
