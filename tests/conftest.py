"""Before JAX is imported: most of the tests' time is XLA's, spent on making small programs fast."""

import os
from importlib.metadata import version

flags = ["--xla_backend_optimization_level=0"]
if version("jaxlib").startswith("0.10."):  # XLA dies of a flag that it does not know.
  flags.append("--xla_cpu_use_fusion_emitters=false")
os.environ["XLA_FLAGS"] = " ".join([*flags, os.environ.get("XLA_FLAGS", "")])
