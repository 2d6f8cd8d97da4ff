"""Messages to the user: once, for each file once, and not without bound."""

import pytest

from stale_jax.data import print_once as module


@pytest.fixture(autouse=True)
def nothing_printed(monkeypatch):
  monkeypatch.setattr(module, "_PRINTED", set())
  monkeypatch.setattr(module, "_NAMED", set())


def test_a_file_is_named_once_whatever_the_reasons(capsys):
  for second in range(50):
    module.print_left_out("a.mp4", f"a.mp4 ends before second {second}.")
  module.print_left_out("b.mp4", "b.mp4 is empty.")
  assert capsys.readouterr().err.splitlines() == [
    "left out: a.mp4 ends before second 0.",
    "left out: b.mp4 is empty.",
  ]


def test_files_are_named_up_to_a_number(capsys, monkeypatch):
  monkeypatch.setattr(module, "_MOST_NAMED", 5)
  for number in range(100):
    module.print_left_out(f"{number}.mp4", f"{number}.mp4 is empty.")
  said = capsys.readouterr().err.splitlines()
  assert len(said) == 6 and said[-1] == "more than 5 files are left out; the others are not named."
  assert len(module._NAMED) == 6
  module.print_once("something else")
  assert capsys.readouterr().err == "something else\n"


def test_a_message_is_one_line(capsys):
  module.print_left_out("a\n.mp4", "a\n.mp4 is empty.")
  assert capsys.readouterr().err == "left out: a\\n.mp4 is empty.\n"
