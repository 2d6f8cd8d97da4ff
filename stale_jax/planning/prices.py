"""Prices of devices, in US dollars per hour.

On-demand list prices of Google Cloud in the US (https://cloud.google.com/tpu/pricing and
https://cloud.google.com/compute/all-pricing) for a TPU chip, for a GPU with its share of the host, and for a
CPU core with 4 GB. They were written down from memory in 2025 and have not been checked against these pages.
Prices change, and discounts are common: programs take your own price with --price_per_hour.
"""

import os
import re

import jax

from stale_jax.errors import UserError

# Substring of `device_kind` -> price; the first match counts.
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
CORE = 0.05  # US dollars per hour of a CPU core.


def price_per_hour(device: jax.Device) -> float:
  """List price of `device` in US dollars per hour; for a CPU, of all cores of the machine.

  Raises:
    UserError: the device is not in the table.
  """
  if device.platform == "cpu":
    return CORE * (os.cpu_count() or 1)
  for kind, price in PRICES.items():
    if re.search(rf"\b{kind}(?![0-9A-Z])", device.device_kind):  # "L4" must not match "L40S".
      return price
  raise UserError(f"no price is known for {device.device_kind}: give --price_per_hour in US dollars.")
