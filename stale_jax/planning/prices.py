"""What a device costs: US dollars an hour.

List prices, on demand, of Google Cloud in the US (https://cloud.google.com/tpu/pricing and
https://cloud.google.com/compute/all-pricing), a TPU chip, a GPU with its share of the host, or a
CPU core with 4 GB: as known in 2025, written down from memory and not checked against those pages.
They change, and few pay them; every program that prices something takes your own (--price_per_hour).
"""

import os
import re

import jax

from stale_jax.errors import UserError

# By words that `device_kind` contains, the more exact first.
PRICES = {
  "TPU v6 lite": 2.70,
  "TPU v5 lite": 1.20,
  "TPU v5": 4.20,
  "TPU v4": 3.22,
  "H100": 11.06,
  "A100": 3.67,
  "L4": 0.71,
  "T4": 0.54,
}
CORE = 0.05


def price_per_hour(device: jax.Device) -> float:
  """US dollars an hour of `device`; a CPU is all its cores.

  Raises:
    UserError: it is not in the table.
  """
  if device.platform == "cpu":
    return CORE * (os.cpu_count() or 1)
  for kind, price in PRICES.items():
    if re.search(rf"\b{kind}(?![0-9A-Z])", device.device_kind):  # Not an L4 within L40S.
      return price
  raise UserError(f"no price is known for {device.device_kind}: give --price_per_hour in US dollars.")
