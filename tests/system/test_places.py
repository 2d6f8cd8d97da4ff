"""Flags that name files and folders: an address works, or is refused in one line before any work."""

import base64
import io
import os
import re
import subprocess
import sys

import av
import pytest

from tests.media.examples import CLIP
from tests.programs import ROOT, finish
from tests.storage import BUCKET, fetch, names, storage

DIGITS = "--config=configs/digits.py"
PROMPT = "--prompt=a red seven moves left slowly"
# (program, flag) -> the other flags that the program needs, for outputs that may be in a bucket.
BUCKETS = {
  ("find", "out"): (PROMPT, "--reward=liveliness"),
  ("find", "sheet"): (PROMPT, "--reward=liveliness", "--out=x.safetensors"),
  ("generate", "out"): (PROMPT,),
  ("generate", "prior"): (PROMPT, "--out=x"),
  ("adapters", "out"): ("--merge=x",),
  ("classify", "plot"): ("--input=movie.npz", PROMPT, "--prompt=another"),
  ("edit", "out"): ("--input=movie.npz", PROMPT),
  ("guide", "out"): (PROMPT, "--energy=x:y"),
  ("sheet", "out"): (PROMPT,),
  ("story", "out"): (PROMPT,),
  ("cartoon_reader", "out"): (),
  ("circuit", "out"): (DIGITS,),
  ("dead_frames", "out"): (),
  ("evaluate", "plot"): ("--suite=liveliness",),
  ("evaluate", "sheet"): ("--suite=captions",),
  ("excavate", "out"): ("--workdir=nothing",),
  ("excavate", "workdir"): (),
  ("motion", "out"): (),
  ("teleport", "out"): (),
  ("ship", "workdir"): ("--config=configs/cartoons_small.py",),
  ("plan", "html"): (DIGITS, "--topology=v5e:2x2"),
  ("plan", "json"): (DIGITS, "--topology=v5e:2x2"),
  ("train", "workdir"): (DIGITS,),
}
# The same of what must be on a disk.
DISKS = {
  ("ablate", "out"): ("--table=optimizer",),
  ("ablate", "table"): ("--out=x",),
  ("benchmark", "json"): (DIGITS, "--suite=train"),
  ("cartoon_pictures", "out"): (),
  ("cartoon_reader", "workdir"): ("--out=x",),
  ("curate", "input"): ("--output=x",),
  ("curate", "output"): ("--input=x",),
  ("curate", "salt"): ("--input=x", "--output=x"),
  ("edit", "input"): (PROMPT, "--out=x"),
  ("generate", "circuit"): (PROMPT, "--out=x"),
  ("generate", "first_frame"): (PROMPT, "--out=x"),
  ("generate", "input"): (PROMPT, "--out=x"),
  ("generate", "mask"): ("--input=movie.npz", "--out=x"),
  ("generate", "script"): ("--out=x",),
  ("generate", "teleport"): (PROMPT, "--out=x"),
  ("load", "json"): (),
  ("serve", "token_file"): (),
  ("serve", "videos"): (),
  ("launch", "out"): ("--run=configs/launch_v5e.py", "--client=xpk"),
  ("remedies", "out"): (),
  ("reproduce", "results"): ("--claim=prior_is_uniform",),
  ("results", "out"): (),
  ("results", "results"): (),
}


def test_these_are_all_flags_that_name_files():
  found = set()
  for path in (ROOT / "experiments").glob("*.py"):
    for flag, text in re.findall(r'DEFINE_string\(\s*"(\w+)",(.*?)\n?\)\n', path.read_text(), re.DOTALL):
      if re.search(r"\b(file|folder|page)\b", text, re.IGNORECASE) and "page of" not in text:
        found.add((path.stem, flag))
  assert found - {("model_flag", "workdir")} == {*BUCKETS, *DISKS}


@pytest.mark.parametrize(("program", "flag"), [*BUCKETS, *DISKS])
def test_other_addresses_are_refused_at_once(program, flag):
  others = {**BUCKETS, **DISKS}[program, flag]
  code, out, err = finish(program, f"--{flag}=s3://bucket/x/y", *others)
  said = err.splitlines()[-1]
  assert code == 2 and not out and "Traceback" not in err, err
  assert "s3://bucket/x/y" in said and "path on a disk" in said
  assert not (ROOT / "s3:").exists()


@pytest.mark.slow
def test_results_are_written_into_a_bucket():
  with storage() as bucket:
    flags = ("--workdir=digits", "--suite=captions", "--clips=8", "--steps=1")
    code, _, err = finish("evaluate", *flags, f"--sheet={BUCKET}/sheets/sheet.png", **bucket)
    assert code == 0, err
    assert fetch(bucket, "sheets/sheet.png").startswith(b"\x89PNG")
    code, out, err = finish(
      "generate", "--workdir=digits", PROMPT, "--steps=1", f"--out={BUCKET}/movies", **bucket
    )
    assert code == 0 and f"{BUCKET}/movies/index.html" in out, err
    endings = sorted(name.partition(".")[2] for name in names(bucket, "movies/"))
    assert endings == ["html", "json", "mp4", "npz", "sem.xml"]
    (video,) = (name for name in names(bucket, "movies/") if name.endswith(".mp4"))
    assert fetch(bucket, video)[4:8] == b"ftyp"
  assert not (ROOT / "gs:").exists()


def test_a_saved_movie_is_whole_in_a_bucket():
  write = "from tests.media.examples import CLIP, SENSES\n"
  write += "from stale_jax.media import save_movie, write_page\n"
  write += f"video = save_movie('{BUCKET}/movies', 'a', CLIP, SENSES, {{}})\n"
  write += f"write_page('{BUCKET}/movies/index.html', [(CLIP, SENSES, 'a', '', video)], [], '', '')"
  with storage() as bucket:
    subprocess.run([sys.executable, "-c", write], cwd=ROOT, env={**os.environ, **bucket}, check=True)
    written = {name.partition(".")[2]: fetch(bucket, name) for name in names(bucket, "movies/")}
  assert sorted(written) == ["html", "json", "mp4", "npz", "sem.xml"]
  with av.open(io.BytesIO(written["mp4"])) as file:
    assert sum(1 for _ in file.decode(video=0)) == len(CLIP["sight"])
  assert base64.b64encode(written["mp4"]) in written["html"] and not (ROOT / "gs:").exists()
