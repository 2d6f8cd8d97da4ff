"""Before JAX is imported: small programs are compiled quickly, and once for all processes of a session."""

import atexit
import fcntl
import gc
import os
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path

import pytest

# Most of the tests' time is XLA's, spent on making small programs fast. Workers share the cores: each
# compiles on one.
flags = ["--xla_backend_optimization_level=0"]
if version("jaxlib").startswith("0.10."):  # XLA dies of a flag that it does not know.
  flags += ["--xla_cpu_use_fusion_emitters=false", "--xla_cpu_parallel_codegen_split_count=1"]
os.environ["XLA_FLAGS"] = " ".join([*flags, os.environ.get("XLA_FLAGS", "")])

# What is compiled or fitted once serves the workers and all programs that they start. The first of these
# processes makes the folder, new for each session; STALE_JAX_TESTS_CACHE names one to keep.
if "PYTEST_XDIST_WORKER" not in os.environ:
  cache = os.environ.get("STALE_JAX_TESTS_CACHE")
  if cache is None:
    cache = tempfile.mkdtemp(prefix="stale_jax_tests_")
    atexit.register(shutil.rmtree, cache, ignore_errors=True)
  os.environ["XDG_CACHE_HOME"] = cache
  os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", f"{cache}/xla")
os.environ.setdefault("STALE_JAX_QUIET", "1")  # Programs print no progress lines (stale_jax/progress.py).
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
os.environ.setdefault("JAX_PERSISTENT_CACHE_ENABLE_XLA_CACHES", "none")

# Tracing makes objects faster than the collector's defaults are meant for.
gc.set_threshold(50_000, 20, 50)

# Before the package is imported, here and in each worker. JAXTYPING_DISABLE=1 turns the checks off.
from tests import typechecking  # noqa: E402

typechecking.install()

KINDS = ("unit", "devices", "system")


def pytest_collection_modifyitems(items):
  """A test without a marker of KINDS is `system` in that folder or of a trained run, and else `unit`."""
  for item in items:
    if not any(item.get_closest_marker(kind) for kind in KINDS):
      whole = "system" in Path(item.path).parts or "micro_run" in item.fixturenames
      item.add_marker("system" if whole else "unit")


@pytest.fixture(scope="session")
def kinds(request) -> dict[str, list[str]]:
  """Test -> its markers of KINDS."""
  items = request.session.items
  return {item.nodeid: [kind for kind in KINDS if item.get_closest_marker(kind)] for item in items}


@pytest.fixture(scope="session")
def micro_run(tmp_path_factory) -> Path:
  """The folder of a run of `tests.micro`, trained by its program once for all workers; only to be read."""
  from tests import micro, programs

  own = tmp_path_factory.getbasetemp()
  folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "micro_run"
  with open(f"{folder}.lock", "w") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    if not (folder / "weights.safetensors").exists():
      code, _, err = programs.finish("train", *micro.arguments(folder))
      assert code == 0, err
  return folder


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
  """A real browser, for the tests of one module."""
  from tests.media.browser import Browser

  browser = Browser(tmp_path_factory.mktemp("profile"))
  yield browser
  browser.close()
