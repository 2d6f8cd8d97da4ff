"""Prints every key of a config with its value, meaning and range; or the difference of two configs.

python -m experiments.config --config=configs/digits.py [--config.a.b=value]
python -m experiments.config --config=configs/digits_micro.py --diff=configs/digits.py [--diff.a.b=value]

With --diff, lines with "-" are values of --diff, and lines with "+" those of --config.
"""

from absl import flags

from experiments.config_flag import define_experiment
from experiments.main import run

CONFIG = define_experiment()
DIFF = define_experiment("diff", "Config file to compare with.")
flags.mark_flag_as_required("config")


def main() -> None:
  from stale_jax.config import resolve
  from stale_jax.config.text import differences, lines

  config = resolve(CONFIG.value.to_dict())
  if DIFF.value is None:
    text = lines(config)
  else:
    text = differences(resolve(DIFF.value.to_dict()), config)
  print(*text, sep="\n")


if __name__ == "__main__":
  run(main)
