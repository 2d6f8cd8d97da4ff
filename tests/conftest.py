"""Before JAX is imported: most of the tests' time is XLA's, spent on making small programs fast."""

import os

os.environ["XLA_FLAGS"] = f"--xla_backend_optimization_level=0 {os.environ.get('XLA_FLAGS', '')}"
