"""Scripts as they are written and as they are read."""

import pytest

from stale_jax.errors import UserError
from stale_jax.script import Script, check_applied, prompt_at, read_script


def test_a_script_says_which_prompt_is_from_when_on(tmp_path):
  path = tmp_path / "story.yaml"
  path.write_text(
    "- {at: 0, prompt: a red seven moves left}\n- at: 2.5\n  prompt: 'a red seven: moves right'\n"
  )
  script = read_script(path)
  assert script == Script(((0.0, "a red seven moves left"), (2.5, "a red seven: moves right")))
  assert script.frames(8.0) == ((0, "a red seven moves left"), (20, "a red seven: moves right"))
  assert str(script) == "a red seven moves left; from 2.5 s a red seven: moves right"


def test_a_script_is_decoded_by_its_byte_order_mark(tmp_path):
  path, text = tmp_path / "story.yaml", "- {at: 0, prompt: ein süßes Kätzchen}"
  for encoding in ("utf-8-sig", "utf-16"):
    path.write_bytes(text.encode(encoding))
    assert read_script(path).parts == ((0.0, "ein süßes Kätzchen"),)
  path.write_bytes(text.encode("cp1252"))
  with pytest.raises(UserError, match="story.yaml is not UTF-8 text"):
    read_script(path)


@pytest.mark.parametrize(
  ("text", "words"),
  [
    ("- {at: 1, prompt: a}", "start at second 0"),
    ("[]", "start at second 0"),
    ("- {at: 0, prompt: a}\n- {at: 0, prompt: b}", "must increase"),
    ("- {at: 0, prompt: a}\n- {at: .inf, prompt: b}", "must increase"),
    ("- {at: 0, prompt: a}\n- {at: .nan, prompt: b}", "must increase"),
    ("- {at: 0, prompt: a}\n- {at: 1.0e+308, prompt: b}", "at most a year"),
    ("- {at: 0, prompt: a}\n- {at: 1" + 400 * "0" + ", prompt: b}", "at most a year"),
    ("- {at: 0}", "list of"),
    ("- {at: yes, prompt: a}", "list of"),
    ("- {at: 0, prompt: 7}", "list of"),
    ("a: b", "list of"),
    ("{", "cannot read"),
  ],
)
def test_what_is_no_script_is_told_in_a_line(tmp_path, text, words):
  path = tmp_path / "story.yaml"
  path.write_text(text)
  with pytest.raises(UserError, match=words):
    read_script(path)
  with pytest.raises(UserError, match="cannot read"):
    read_script(tmp_path / "none.yaml")


def test_prompts_within_the_conditioning_frames_are_left_out():
  script = Script(((0, "a"), (0.25, "b"), (0.5, "c"), (2, "d")))
  assert script.frames(8.0, 4) == ((0, "c"), (12, "d")) and script.frames(8.0, 3) == (
    (0, "b"),
    (1, "c"),
    (13, "d"),
  )
  assert script.frames(1.0) == ((0, "a"), (1, "b"), (1, "c"), (2, "d"))  # `check_applied` names what is lost.


@pytest.mark.parametrize(
  ("starts", "frames", "first", "step", "lost"),
  [
    ((0, 5, 11), 12, 1, 1, None),
    ((0, 5, 12), 12, 1, 1, "p12"),
    ((0, 5, 5), 12, 1, 1, "p5"),
    ((0, 4, 10), 12, 2, 2, None),
    ((0, 4, 11), 12, 2, 2, "p11"),
    ((0, 3, 4), 12, 2, 2, "p3"),
    ((0, 3, 5), 12, 2, 2, None),  # From frame 4 on.
    ((0, 1, 9), 12, 8, 3, None),  # From frame 8, and from frame 11.
    ((0, 1, 8), 12, 8, 3, "p1"),
    ((0, 1, 9), 11, 8, 3, "p9"),
  ],
)
def test_a_prompt_that_no_chunk_begins_with_is_named(starts, frames, first, step, lost):
  script = tuple((start, f"p{start}") for start in starts)
  begins = [0, *range(first, frames, step)]
  told = {prompt_at(script, frame) for frame in begins}
  assert (lost is None) == (told == {f"p{start}" for start in starts} and len(set(starts)) == len(starts))
  if lost is None:
    check_applied(script, frames, first, step)
    return
  with pytest.raises(UserError, match=f"the prompt '{lost}' would be left out"):
    check_applied(script, frames, first, step)
