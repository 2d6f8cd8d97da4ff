"""Scripts as they are written and as they are read."""

import pytest

from stale_jax.errors import UserError
from stale_jax.script import Script, read_script


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
