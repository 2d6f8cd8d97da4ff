"""Parses the HLO text of a compiled program: its instructions, how often each runs, and their arrays.

The compiler's own analyses count the body of a loop once; here it is counted as often as the loop runs. On
the CPU the trip count is an attribute of the loop. On a TPU it follows from a constant in the condition and
from the increment in the body, which is 2 if the compiler has unrolled the loop by two.
"""

import dataclasses
import functools
import math
import re
from collections.abc import Iterator

import numpy as np

# Data type -> bits of an element; for all other types, the first number in the name.
_BITS = {"pred": 8, "s2": 2, "u2": 2, "s4": 4, "u4": 4, "token": 0, "opaque": 0, "bf16": 16}
_ARRAY = re.compile(r"(\w+)\[([\d,]*)\](\{[^}]*\})?")
# In the target of a call to cuBLAS, a matrix product on a GPU.
_CUBLAS = '"__cublas$'
# Instructions that move no data by themselves.
_FREE = {
  *("parameter", "constant", "tuple", "get-tuple-element", "bitcast", "while", "conditional", "call"),
  *("after-all", "partition-id", "replica-id", "copy-done", "async-done", "async-update", "async-start"),
}


@dataclasses.dataclass(frozen=True)
class Array:
  """One array of the type of an instruction.

  Attributes:
    dtype: data type as in HLO, for example "bf16".
    shape: shape.
    bytes: size in bytes.
    far: whether it is in HBM.
  """

  dtype: str
  shape: tuple[int, ...]
  bytes: float
  far: bool


def arrays(kind: str) -> list[Array]:
  """Parses the arrays of a type such as (bf16[8,128]{1,0}, s32[]); memory space 0, or none, is HBM."""
  found = []
  for name, sizes, layout in _ARRAY.findall(kind):
    bits = _BITS.get(name) or (int(m[1]) if (m := re.match(r"[a-z]+(\d+)", name)) else 0)
    shape = tuple(int(size) for size in sizes.split(",") if size)
    found.append(Array(name, shape, math.prod(shape) * bits / 8, not re.search(r"S\([1-9]", layout)))
  return found


@dataclasses.dataclass(frozen=True)
class Instruction:
  """One instruction.

  Attributes:
    name, kind, opcode: name, type (as text) and operation.
    operands: names of the operands; of a constant, its value.
    rest: the text after the operands: attributes and metadata.
    root: whether it is the result of its computation.
  """

  name: str
  kind: str
  opcode: str
  operands: tuple[str, ...]
  rest: str
  root: bool

  @functools.cached_property
  def arrays(self) -> list[Array]:
    """The arrays of its type."""
    return arrays(self.kind)

  def called(self, key: str) -> list[str]:
    """Names of the computations in the attribute `key`, for example "calls" or "condition"."""
    match = re.search(rf"\b{key}=\{{?(%[\w.\-]+(?:, *%[\w.\-]+)*)", self.rest)
    return re.findall(r"%([\w.\-]+)", match[1]) if match else []


class Program:
  """A parsed module.

  Args:
    text: HLO text.

  Attributes:
    computations: name of a computation -> name of an instruction -> instruction.
    entry: name of the computation that runs first (ENTRY).
  """

  def __init__(self, text: str):
    self.computations: dict[str, dict[str, Instruction]] = {}
    self.entry, current = "", None
    for line in text.splitlines():
      if line.startswith(("%", "ENTRY")) and line.rstrip().endswith("{"):
        name = re.search(r"%([\w.\-]+)", line)[1]
        current = self.computations.setdefault(name, {})
        self.entry = name if line.startswith("ENTRY") else self.entry
      elif current is not None and line.startswith("  "):
        if instruction := _parse(line):
          current[instruction.name] = instruction

  def trips(self, loop: Instruction, within: str) -> int:
    """Trip count of a while loop in the computation `within`; 1 if it is unknown."""
    if known := re.search(r"known_trip_count\D+(\d+)", loop.rest):
      return int(known[1])
    if counted := self._counted(loop, within):
      return counted
    names, constants = loop.called("condition"), []
    while names:
      for instruction in self.computations.get(names.pop(), {}).values():
        names += instruction.called("calls")
        if instruction.opcode == "constant" and re.match(r"[su]\d+\[\]", instruction.kind):
          constants.append(int(instruction.operands[0]))
    return max([1, *constants])

  def _counted(self, loop: Instruction, within: str) -> int | None:
    """Trip count of a loop with a constant limit in its condition and a constant increment in its body."""
    (condition,), (body,) = ([self.computations[n] for n in loop.called(k)] for k in ("condition", "body"))
    test = next(i for i in condition.values() if i.root)
    counter = condition.get(test.operands[0]) if test.opcode == "compare" else None
    place = re.search(r"index=(\d+)", counter.rest) if counter else None
    limit = _constant(condition, test.operands[1]) if place and "direction=LT" in test.rest else None
    if limit is None:
      return None
    index, here = int(place[1]), self.computations[within]
    before = here.get(loop.operands[0])
    start = _constant(here, before.operands[index]) if before and before.opcode == "tuple" else None
    after, step = next(i for i in body.values() if i.root), 0
    now = body.get(after.operands[index])
    while now is not None and now.opcode == "add":
      (more, other), (name, last) = ([_constant(body, x) for x in now.operands], now.operands)
      if (more is None) == (other is None):
        return None
      step += other if more is None else more
      now = body.get(name if more is None else last)
    same = now is not None and now.opcode == "get-tuple-element" and f"index={index}" in now.rest
    return max(0, -(-(limit - (start or 0)) // step)) if same and step > 0 else None

  def walk(self, name: str | None = None, times: int = 1) -> Iterator[tuple[str, Instruction, int]]:
    """Yields (name of the computation, instruction, how often it runs) for a computation and what it calls.

    All branches of a conditional are included. Instructions inside fusions are not; see `inside`.
    """
    name = name or self.entry
    for instruction in self.computations[name].values():
      yield name, instruction, times
      for inner, more in self._calls(instruction, name):
        yield from self.walk(inner, times * more)

  def _calls(self, instruction: Instruction, within: str) -> Iterator[tuple[str, int]]:
    if instruction.opcode == "while":
      for body in instruction.called("body"):
        yield body, self.trips(instruction, within)
    elif instruction.opcode == "conditional":
      for key in ("branch_computations", "true_computation", "false_computation"):
        yield from ((branch, 1) for branch in instruction.called(key))
    elif instruction.opcode == "call":
      yield from ((inner, 1) for inner in instruction.called("to_apply"))
    elif instruction.opcode == "async-start":
      yield from ((inner, 1) for inner in instruction.called("calls"))

  def inside(self, instruction: Instruction) -> Iterator[tuple[str, Instruction]]:
    """Yields (name of the computation, instruction) for all instructions in a fusion, also in nested ones."""
    for name in instruction.called("calls") if instruction.opcode == "fusion" else ():
      for one in self.computations.get(name, {}).values():
        yield name, one
        yield from self.inside(one)

  def hbm_bytes(self) -> float:
    """Bytes that a run of the program reads from and writes to HBM.

    These are the operands and results of all instructions. Of an operand that is only sliced, the slice
    counts. Repeated reads of an operand by a kernel count once.
    """
    return sum(times * self._moved(name, one) for name, one, times in self.walk())

  def _moved(self, name: str, one: Instruction) -> float:
    if one.opcode in _FREE:
      return 0.0
    here = self.computations[name]
    body = list(self.computations.get(next(iter(one.called("calls")), ""), {}).values())
    total = 0.0
    if one.opcode in ("dynamic-slice", "slice", "gather"):
      return 2 * _far(one.arrays)
    if one.opcode == "dynamic-update-slice" and one.operands[1] in here:
      return 2 * _far(here[one.operands[1]].arrays)
    for number, operand in enumerate(one.operands):
      if operand in here:
        total += min([_far(here[operand].arrays), *_sliced(body, number)])
    updates = [i for i in body if i.opcode == "dynamic-update-slice"] if one.opcode == "fusion" else []
    whole = _far(one.arrays)
    named = {i.name: i for i in body}
    for update in updates:
      new = named[update.operands[1]].arrays if update.operands[1] in named else []
      whole -= max(0.0, _far(update.arrays) - sum(x.bytes for x in new))
    return total + max(whole, 0.0)

  def matmul_flops(self) -> float:
    """Operations of matrix products and convolutions on one device, without those in attention kernels."""
    total = 0.0
    for name, one, times in self.walk():
      for where, inner in [(name, one), *self.inside(one)]:
        if inner.opcode in ("dot", "convolution") or _CUBLAS in inner.rest:
          total += times * self._product(self.computations[where], inner)
    return total

  def _product(self, here: dict[str, Instruction], one: Instruction) -> float:
    out = math.prod(one.arrays[0].shape)
    if one.opcode == "dot" or _CUBLAS in one.rest:
      lhs = here[one.operands[0]].arrays[0].shape
      # As XLA writes it, or in the JSON of a call to cuBLAS.
      axes = re.search(r'lhs_contracting_dim(?:s=\{|ensions":\[)([\d,"]*)[\]}]', one.rest)
      return 2.0 * out * math.prod(lhs[int(axis)] for axis in re.findall(r"\d+", axes[1]))
    image, kernel = (here[name].arrays[0].shape for name in one.operands[:2])
    of_image, of_kernel, of_out = re.search(r"dim_labels=(\w+)_(\w+)->(\w+)", one.rest).groups()
    total = 2.0 * kernel[of_kernel.index("i")]
    for place, size in zip(of_out, one.arrays[0].shape, strict=True):
      if place.isdigit():
        axis = int(place)
        sizes = image[of_image.index(place)], kernel[of_kernel.index(place)], size
        total *= _valid_pairs(*sizes, *(_window(one.rest, key, axis) for key in _WINDOW))
      else:
        total *= size
    return total


# Defaults of the attributes of a convolution window, along each axis.
_WINDOW = {"stride": "1", "pad": "0_0", "lhs_dilate": "1", "rhs_dilate": "1"}


def _window(rest: str, key: str, axis: int) -> str:
  said = re.search(rf"[{{ ]{key}=([\dx_-]+)", re.search(r"window=\{[^}]*\}|$", rest)[0])
  return said[1].split("x")[axis] if said else _WINDOW[key]


@functools.cache
def _valid_pairs(image: int, kernel: int, out: int, stride: str, pad: str, apart: str, wide: str) -> int:
  """Number of (output position, kernel position) pairs along one axis that read a value and not padding.

  `apart` is the dilation of the image and `wide` that of the kernel.


  The TPU compiler writes batched products as convolutions that consist mostly of padding.
  """
  before, gap = int(pad.split("_")[0]), int(apart)
  at = int(stride) * np.arange(out)[:, None] + int(wide) * np.arange(kernel) - before
  return int(np.sum((at >= 0) & (at <= gap * (image - 1)) & (at % gap == 0)))


def _constant(here: dict[str, Instruction], name: str) -> int | None:
  """The value of the instruction `name`, if it is an integer constant."""
  one = here.get(name)
  while one is not None and one.opcode in ("copy", "convert", "bitcast"):
    one = here.get(one.operands[0])
  return int(one.operands[0]) if one is not None and one.opcode == "constant" and one.operands else None


def _far(found: list[Array]) -> float:
  return sum(array.bytes for array in found if array.far)


def _sliced(body: list[Instruction], number: int) -> list[float]:
  """Bytes that a fusion with the instructions `body` reads from its operand `number`, if not all of it.

  Returns:
    [bytes of the slices] if the fusion only slices the operand, [0] if it only overwrites a part of it in
    place, else [].
  """
  names = [i.name for i in body if i.opcode == "parameter" and i.operands == (str(number),)]
  users = [i for i in body if set(names) & set(i.operands)]
  if not users:
    return []
  if all(i.opcode in ("dynamic-slice", "slice") for i in users):
    return [sum(x.bytes for i in users for x in i.arrays)]
  if all(i.opcode == "dynamic-update-slice" and i.operands[0] in names for i in users):
    return [0.0]
  return []


def _parse(line: str) -> Instruction | None:
  match = re.match(r"  (ROOT )?%?([\w.\-]+) = ", line)
  if not match:
    return None
  start = match.end()
  end = _close(line, start) if line[start] == "(" else line.index(" ", start)
  opcode = re.match(r" *([\w\-]+)\(", line[end:])
  if not opcode:
    return None
  open_at = end + opcode.end() - 1
  close = _close(line, open_at)
  inner = line[open_at + 1 : close - 1]
  names = re.findall(r"%([\w.\-]+)", inner)
  operands = tuple(names) if names else (inner,) if inner and "{" not in inner else ()
  return Instruction(match[2], line[start:end], opcode[1], operands, line[close:], bool(match[1]))


def _close(line: str, start: int) -> int:
  """The position after the parenthesis that closes the one at `start`."""
  depth = 0
  for at in range(start, len(line)):
    depth += (line[at] == "(") - (line[at] == ")")
    if depth == 0:
      return at + 1
  return len(line)
