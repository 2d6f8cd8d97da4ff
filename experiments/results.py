"""Renders docs/results.md from the results that other programs recorded in docs/results.

python -m experiments.results [--results=docs/results --out=docs/results.md]

`experiments.reproduce --results=docs/results` records a claim as docs/results/CLAIM.json. Each table of
docs/results/tables says where it comes from.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from experiments import claims
from experiments.main import run

RESULTS = flags.DEFINE_string("results", "docs/results", "Folder of the recorded results.")
OUT = flags.DEFINE_string("out", "docs/results.md", "The page to write.")

_HEAD = """\
# Results, and what does not hold

This page lists every claim of the project with the value that was last measured, so that you can judge what
to rely on. Claims that fail come first. `make results` renders the page from the files in `docs/results`,
which `experiments.reproduce` writes. To check a claim yourself:

    python -m experiments.reproduce --list
    python -m experiments.reproduce --claim=prior_is_uniform

The name of a claim links to its file, whose docstring defines its value and bar. Bars and definitions never
change: a better measurement gets a new name. Claims whose names end in `_slow` take longer than a minute.
A commit that ends in `+` had uncommitted changes.
"""


def main() -> int:
  from stale_jax.errors import UserError
  from stale_jax.files import check_on_disk, write_whole

  check_on_disk("--", results=RESULTS.value, out=OUT.value)
  folder = Path(RESULTS.value)
  if not folder.is_dir():
    raise UserError(f"--results={RESULTS.value!r} is not a folder.")
  page = render(folder)
  write_whole(OUT.value, page)
  print(f"wrote {OUT.value}.")
  return 0


def render(folder: Path) -> str:
  """The page of all claims and tables recorded in `folder`, as Markdown."""
  benchmarks = sorted(folder.glob("gpu_*.json"))  # Of `make benchmark`.
  recorded = {path.stem: _read(path) for path in sorted({*folder.glob("*.json")} - {*benchmarks})}
  names = claims.names()
  fail = [name for name in names if name in recorded and not recorded[name]["holds"]]
  hold = [name for name in names if name in recorded and recorded[name]["holds"]]
  missing = [name for name in names if name not in recorded]
  parts = [_HEAD, "## Claims", f"{len(hold)} hold, {len(fail)} fail, {len(missing)} have not been measured."]
  parts += ["### What does not hold", _claims_table(fail, recorded)] if fail else []
  parts += ["### What holds", _claims_table(hold, recorded)] if hold else []
  parts += ["### Not measured", ", ".join(map(_link, missing)) + "."] if missing else []
  measured = [record for path in benchmarks for record in json.loads(path.read_text())]
  parts += ["## Benchmarks on GPUs", _benchmark_table(measured)] if measured else []
  parts.append("## Tables")
  for path in sorted((folder / "tables").glob("*.json")):
    parts += _table_section(_read(path))
  return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _benchmark_table(records: Sequence[Mapping[str, Any]]) -> str:
  header = ("config", "suite", "measurement", "seconds", "TFLOP/s", "MFU", "compile seconds", "device", "JAX")
  rows = [
    [
      record["config"],
      record["suite"],
      record["name"],
      *(_number(record.get(key)) for key in ("seconds", "tflops_per_device", "mfu", "compile_seconds")),
      record["device"],
      record["versions"]["jax"],
    ]
    for record in records
  ]
  return _markdown(header, rows)


def _claims_table(names: Sequence[str], recorded: Mapping[str, Mapping[str, Any]]) -> str:
  header = ("claim", "value", "bar", "seed", "date", "commit", "machine")
  return _markdown(header, [_claim_row(name, recorded[name]) for name in names])


def _claim_row(name: str, result: Mapping[str, Any]) -> list[str]:
  missed = [condition for condition, is_met in result.get("conditions", {}).items() if not is_met]
  note = f" ({result['note']})" if result.get("note") else ""
  note += f" **Not met: {'; '.join(missed)}.**" if missed else ""
  return [
    f"{_link(name)}: {claims.sentence(name)}{note}",
    _number(result["value"]),
    _number(result["bar"]),
    _number(result.get("seed")),
    result["date"],
    result.get("commit") or "",
    result["machine"],
  ]


def _table_section(table: Mapping[str, Any]) -> list[str]:
  """Heading, question, table, plot and provenance."""
  source = ", ".join(filter(None, (table.get("source"), table.get("date"), table.get("setting"))))
  parts = [f"### {table['title']}", table["question"], _markdown(table["columns"], table["rows"])]
  if "plot" in table:
    parts.append(f"![{table['title']}]({table['plot']})")
  return [*parts, table["finding"], f"<sub>{source}</sub>"]


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
  lines = [header, ["---"] * len(header), *rows]
  return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def _link(name: str) -> str:
  return f"[`{name}`](../experiments/claims/{name}.py)"


def _number(value: float | None) -> str:
  """Three significant digits; whole numbers as they are."""
  if value is None:
    return ""
  return str(value) if isinstance(value, int) else f"{value:.3g}"


def _read(path: Path) -> dict[str, Any]:
  from stale_jax.files import read_object

  return read_object(path, "restore it, or record it again")


if __name__ == "__main__":
  run(main)
