"""Prints a config with all its keys, what they mean and what they may be; or how two configs differ.

python -m experiments.config --config=configs/digits.py [--config.a.b=value]
python -m experiments.config --config=configs/digits_micro.py --diff=configs/digits.py [--diff.a.b=value]

With --diff, "-" is what the file of --diff says, "+" what that of --config says.
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
  said = differences(resolve(DIFF.value.to_dict()), config) if DIFF.value is not None else lines(config)
  print(*said, sep="\n")


if __name__ == "__main__":
  run(main)
