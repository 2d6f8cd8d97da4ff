"""The twelve characters: what they wear, and what varies between two figures of one character."""

import dataclasses

from stale_jax.data.sources.cartoons.pen import Colour

COLOURS: dict[str, Colour] = {
  "red": (226, 48, 52),
  "blue": (52, 104, 226),
  "green": (52, 172, 84),
  "yellow": (250, 206, 50),
  "purple": (150, 74, 206),
  "orange": (246, 132, 38),
}
# The identity of a figure. No person has these skin colours, so that no figure is a caricature.
SKINS: dict[str, Colour] = {
  "butter": (255, 224, 138),
  "peach": (255, 206, 172),
  "lilac": (212, 190, 242),
  "sky": (168, 214, 238),
  "mint": (180, 230, 188),
}
HAIRS: dict[str, Colour] = {
  "blond": (244, 200, 84),
  "ginger": (222, 112, 46),
  "silver": (206, 208, 220),
  "teal": (54, 150, 156),
  "pink": (240, 130, 178),
}
BUILDS: dict[str, float] = {"slim": 0.86, "medium": 1.0, "stout": 1.18}  # Factors of the width.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Character:
  """What makes a character recognizable.

  Attributes:
    garment: the word for what is coloured.
    weight: how heavily it treads, from 0 to 1.
    size, width: factors of the size and of the width.
    legs: colour of the trousers; None for bare legs.
    shoes: colour of the shoes; None for that of the garment.
    dress: length of a dress or robe below the hip; 0 for trousers.
    pattern: decoration of the garment, a key of `clothes.PATTERNS`; "" for none.
    vest: colour of an open vest over the garment.
    hat: a key of `head.HATS`; "" for none.
    hat_colour: None for that of the garment.
    top: how far hat and hair reach above the centre of the head.
    hairdo: "cropped", "pigtails" or "bun".
    beard: length of the beard; 0 for none.
    eyes: "plain", "mask" or "shades".
    wings, metal: whether the figure has wings, or is of metal.
  """

  garment: str
  weight: float = 0.6
  size: float = 1.0
  width: float = 1.0
  legs: Colour | None = None
  shoes: Colour | None = (58, 46, 56)
  dress: float = 0.0
  pattern: str = ""
  vest: Colour | None = None
  hat: str = ""
  hat_colour: Colour | None = None
  top: float = 7.6
  hairdo: str = "cropped"
  beard: float = 0.0
  eyes: str = "plain"
  wings: bool = False
  metal: bool = False


CHARACTERS = {
  "burglar": Character(
    garment="striped shirt",
    weight=0.5,
    legs=(44, 44, 58),
    hat="beanie",
    hat_colour=(44, 44, 58),
    eyes="mask",
    pattern="stripes",
  ),
  "cop": Character(garment="uniform", weight=0.7, legs=(30, 38, 74), hat="cap", top=8.8, pattern="badge"),
  "girl": Character(
    garment="dress", weight=0.4, size=0.86, dress=4.6, shoes=(200, 50, 90), hairdo="pigtails", pattern="sash"
  ),
  "fairy": Character(
    garment="tunic",
    weight=0.35,
    size=0.86,
    dress=4.6,
    shoes=None,
    hairdo="bun",
    top=10.4,
    wings=True,
    pattern="sash",
  ),
  "lumberjack": Character(
    garment="plaid shirt",
    weight=1.0,
    size=1.08,
    width=1.14,
    legs=(70, 88, 130),
    shoes=(92, 60, 40),
    hat="beanie",
    hat_colour=(150, 90, 44),
    beard=8.4,
    pattern="plaid",
  ),
  "cowboy": Character(
    garment="shirt",
    legs=(70, 92, 150),
    shoes=(128, 70, 34),
    hat="cowboy",
    top=10.4,
    hat_colour=(164, 108, 56),
    vest=(120, 74, 40),
  ),
  "builder": Character(
    garment="jacket",
    weight=0.8,
    width=1.1,
    legs=(86, 96, 120),
    shoes=(200, 150, 70),
    hat="helmet",
    top=9.0,
    hat_colour=(255, 214, 40),
    pattern="reflectors",
  ),
  "biker": Character(
    garment="T-shirt",
    weight=0.9,
    width=1.12,
    legs=(40, 40, 48),
    hat="bandana",
    hat_colour=(214, 40, 50),
    vest=(58, 54, 68),
    beard=8.4,
    eyes="shades",
  ),
  "wizard": Character(
    garment="robe", weight=0.5, dress=9.2, hat="wizard", top=13.0, beard=12.5, pattern="sash"
  ),
  "robot": Character(
    garment="suit",
    weight=0.9,
    legs=(150, 160, 176),
    shoes=(110, 120, 140),
    metal=True,
    top=10.7,
    pattern="panel",
  ),
  "fan": Character(
    garment="T-shirt",
    weight=0.45,
    size=0.84,
    legs=(60, 70, 110),
    shoes=(240, 240, 245),
    hat="baseball",
    top=9.4,
    pattern="star",
  ),
  "sailor": Character(
    garment="jumper",
    weight=0.6,
    legs=(244, 244, 250),
    hat="sailor",
    top=9.0,
    hat_colour=(250, 250, 255),
    pattern="sailor",
  ),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Actor:
  """A figure of a clip: a character, the colour of its garment, its identity, and a factor of its size."""

  character: Character
  colour: Colour
  skin: Colour
  hair: Colour
  build: float
  scale: float = 1.0

  @property
  def size(self) -> float:
    """Factor of the size."""
    return self.character.size * self.scale

  @property
  def weight(self) -> float:
    """How heavily it treads, from 0 to 1."""
    return min(self.character.weight * self.build, 1.0)

  @property
  def width(self) -> float:
    """Factor of the width of the trunk."""
    return self.character.width * self.build
