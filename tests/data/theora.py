"""A film of Theora in Ogg, written bit by bit, since FFmpeg has no encoder of it."""

import struct


class Bits:
  """Bits, the most significant one first."""

  def __init__(self):
    self.text = ""

  def __call__(self, value: int, width: int) -> None:
    self.text += f"{value:0{width}b}" if width else ""

  def packet(self, beginning: bytes = b"") -> bytes:
    text = self.text + "0" * (-len(self.text) % 8)
    return beginning + bytes(int(text[i : i + 8], 2) for i in range(0, len(text), 8))


def setup() -> bytes:
  """The tables: quantizers of 16, and codes of one bit for two tokens."""
  bits = Bits()
  bits(0, 3)  # No loop filter.
  for _ in range(2):  # The scales of AC and of DC: 100 at each quality.
    bits(6, 4)
    for _ in range(64):
      bits(100, 7)
  bits(1, 9)  # Two matrices of quantizers, of 16 each.
  for _ in range(128):
    bits(16, 8)
  for number in range(6):
    if number:
      bits(0, 1)  # As the one before.
      bits(0, 1) if number >= 3 else None
    else:
      bits(0, 1)  # From the first matrix to the second, in one range of qualities.
      bits(62, 6)
      bits(1, 1)
  for number in range(80):
    bits(0, 1)
    # Each code tells two tokens apart. The first: 16 to 31 blocks end, or one does; the second: a value.
    for token in (5 if number < 16 else 0, 21):
      bits(1, 1)
      bits(token, 5)
  return bits.packet(b"\x82theora")


def key_frame(light: bool) -> bytes:
  """A picture of 32 x 32 pixels: grey of 128, or of 202."""
  bits = Bits()
  bits(0, 2)  # A key frame.
  bits(0, 10)  # The quality.
  bits(0, 8)  # Which codes of the mean.
  if light:  # The mean of the first block of luma is 37 steps of 2; the others are predicted from it.
    bits(1, 1)
    bits(0, 6)
  bits(0, 1)  # The other blocks of 24 end.
  bits(23 - 16 if light else 24 - 16, 4)
  bits(0, 9)  # Which codes of the rest, and the first block ends.
  return bits.packet()


def film(packets: list[bytes], rate: int) -> bytes:
  """Pictures of 32 x 32 pixels, `rate` a second; an empty one repeats the one before."""
  bits = Bits()
  for value, width in (
    (0x030201, 24), (2, 16), (2, 16), (32, 24), (32, 24), (0, 16), (rate, 32), (1, 32), (1, 24), (1, 24),
    (0, 8), (0, 24), (0, 6), (6, 5), (0, 2), (0, 3),
  ):  # fmt: skip
    bits(value, width)
  heads = [bits.packet(b"\x80theora"), b"\x81theora" + bytes(8), setup()]
  out, key = b"", 0
  for number, packet in enumerate([*heads, *packets]):
    index = number - len(heads)
    key = index if packet else key
    granule = ((key + 1) << 6) + index - key if index >= 0 else 0
    flags = 2 * (number == 0) + 4 * (index == len(packets) - 1)
    lacing = bytes([255] * (len(packet) // 255) + [len(packet) % 255])
    head = struct.pack("<4sBBqIII", b"OggS", 0, flags, granule, 1, number, 0) + bytes([len(lacing)]) + lacing
    page = head + packet
    out += page[:22] + struct.pack("<I", checksum(page)) + page[26:]
  return out


def checksum(data: bytes) -> int:
  value = 0
  for byte in data:
    value ^= byte << 24
    for _ in range(8):
      value = (value << 1) ^ (0x04C11DB7 if value & 0x80000000 else 0)
    value &= 0xFFFFFFFF
  return value
