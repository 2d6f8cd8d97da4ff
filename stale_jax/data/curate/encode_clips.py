"""Encodes the clips that are kept, and chooses the shards of the data set.

The input is a slice of the clips of a part. The result is clips.jsonl: all clips of the part; a clip that was
to be kept also has `encoded`, the result of `encode.encode` with the path `file` of the encoded clip, or a
`reason`; and if it was encoded, `metadata`, which are stored in its shard. size.json has the number of bytes
in each split, and identifies what is to be written.
"""

import collections
import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stale_jax.data.curate import encode
from stale_jax.data.curate.describe import File
from stale_jax.data.curate.place import Place, write_lines
from stale_jax.data.curate.result_cache import key_of
from stale_jax.data.curate.scan import Isolated
from stale_jax.data.curate.settings import Settings
from stale_jax.data.decode.container import Unreadable
from stale_jax.data.metadata import from_json, to_json


class EncodeClips(Isolated):
  """Encodes the kept clips of a slice; [part, path of clips.jsonl, begin, end], in bytes, as JSON."""

  def __init__(self, place: Place, settings: Settings, captioner: str):
    super().__init__(place, settings)
    self._captioner = captioner

  def map(self, line: str) -> Iterator[tuple[int, bytes]]:
    """See `Step`."""
    part, path, begin, end = json.loads(line)
    with open(path, "rb") as file:
      file.seek(begin)
      clips = list(map(json.loads, file.read(end - begin).splitlines()))
    for clip in clips:
      if not clip["reason"]:
        clip["encoded"] = self._encode(clip)
        if "reason" in clip["encoded"]:
          clip["reason"] = "unencodable"
        else:
          clip["metadata"] = _metadata(clip)
      yield part, json.dumps({name: x for name, x in clip.items() if name != "known"}).encode()

  def reduce(self, key: int, values: Sequence[bytes], folder: Path) -> None:
    """See `Step`."""
    clips = sorted(map(json.loads, values), key=lambda clip: clip["id"])
    write_lines(folder / "clips.jsonl", clips)
    kept, sizes = [clip for clip in clips if not clip["reason"]], collections.Counter()
    for clip in kept:
      sizes[clip["split"]] += clip["encoded"]["bytes"]
    content = key_of([(clip["split"], clip["metadata"], Path(clip["encoded"]["file"]).name) for clip in kept])
    (folder / "size.json").write_text(json.dumps({"bytes": sizes, "content": content}))

  def _encode(self, clip: Mapping[str, Any]) -> dict[str, Any]:
    file, cache = File(*clip["file"]), self.place.cache("encoded")
    arguments = {
      "start": clip["start"],
      "end": clip["end"],
      "short_side": self.settings.short_side,
      "most_rate": self.settings.most_rate,
      "captioner": self._captioner,
      # Only captioners read the metadata. A clip is not encoded again when unused metadata change.
      "known": to_json(from_json(json.dumps(clip["known"]))) if self._captioner else "",
    }
    key = key_of(encode.VERSION, dataclasses.astuple(file), arguments)
    out = cache.path(key, ".mp4")
    if (result := cache.get(key)) is None or ("reason" not in result and not out.exists()):
      try:
        result = self.call(encode, "encode", file, out=str(out), **arguments)
        result["bytes"] = out.stat().st_size
      except Unreadable as error:
        result = {"reason": error.reason}
      if result.get("reason") != "too_slow":  # A captioner may be faster the next time.
        cache.put(key, result)
    return {"file": str(out), **result}


def _metadata(clip: Mapping[str, Any]) -> dict[str, Any]:
  """The metadata of a clip that are stored in its shard."""
  known, encoded = clip["known"], clip["encoded"]
  return {
    **{name: value for name, value in known.items() if name not in ("broken", "source")},
    "id": clip["id"],
    "video": clip["video"],
    "group": clip["group"],
    "clip_start": clip["start"],
    "clip_end": clip["end"],
    "dedup_cluster": clip["cluster"],
    **{name: clip[name] for name in ("motion", "light", "text")},
    "sense_label_source": "",
    **{name: value for name, value in encoded.items() if name not in ("file", "bytes")},
  }
