"""What each test run needs before its first import: package installed, one thread, no display."""

import importlib.util
import os

import pytest

# Workers of pytest-xdist share the cores; torch and BLAS read these when they are first imported.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"
os.environ["SDL_VIDEODRIVER"] = "dummy"
os.environ["SDL_AUDIODRIVER"] = "dummy"


def _installed() -> bool:
    try:
        return importlib.util.find_spec("gato_gym.envs") is not None
    except ModuleNotFoundError:
        return False


def pytest_configure(config: pytest.Config) -> None:
    # In a checkout, `import gato_gym` may find the folder without the package being installed.
    if not _installed():
        pytest.exit("gato_gym.envs does not resolve: run pip install -e .", returncode=2)
