"""What a user should know about the captions of a data set before training on them."""

import hashlib
from collections.abc import Sequence


def describe_captions(captions: Sequence[str], text_length: int) -> list[str]:
  """Reports missing captions, and captions that are cut.

  Args:
    captions: captions of the data set, all or a sample.
    text_length: length of a tokenized caption: a start token and bytes (`text.tokenize`).

  Returns:
    Lines for the log; none if each caption is read whole.
  """
  count, most = len(captions), text_length - 1
  missing, long = captions.count(""), longer_than(captions, most)
  lines = []
  if missing and missing == count:
    lines.append(
      f"captions: none of {count} examples has one; the model learns without text: generate with --prompt=''."
    )
  elif missing:
    lines.append(f"captions: {missing} of {count} examples have none.")
  if long:
    longest = max(len(caption.encode()) for caption in captions)
    lines.append(
      f"captions: {long} of {count} are longer than {most} bytes, the longest has {longest}; their ends are "
      f"cut off (model.text_length={text_length})."
    )
  return lines


def keeps_original(name: str, share: float) -> bool:
  """Whether an example is in the share of examples that keep their original caption.

  Stable Diffusion 3 (arXiv 2403.03206, sec. 5.2.2) is trained on half original and half synthetic captions,
  since synthetic captions are more precise but miss what the captioner does not know. The choice depends on
  the name of the example alone, and examples that keep their original caption at one share keep it at every
  larger share.
  """
  return int.from_bytes(hashlib.sha256(name.encode(errors="surrogatepass")).digest()[:4]) < share * 2**32


def longer_than(captions: Sequence[str], most: int) -> int:
  """The number of captions with more than `most` bytes."""
  return sum(len(caption.encode()) > most for caption in captions)
