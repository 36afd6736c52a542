"""What each test run needs before its first import: package installed, one thread, no display."""

import importlib.util
import os
import secrets
import tempfile

import pytest

# Workers of pytest-xdist share the cores; torch and BLAS read these when they are first imported.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"
os.environ["SDL_VIDEODRIVER"] = "dummy"
os.environ["SDL_AUDIODRIVER"] = "dummy"
# The clusters of the tests listen on the network: they obey nobody else.
os.environ["RAY_AUTH_MODE"] = "token"
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))


def _installed() -> bool:
    try:
        return importlib.util.find_spec("gato_gym.envs") is not None
    except ModuleNotFoundError:
        return False


def pytest_configure(config: pytest.Config) -> None:
    # In a checkout, `import gato_gym` may find the folder without the package being installed.
    if not _installed():
        pytest.exit("gato_gym.envs does not resolve: run pip install -e .", returncode=2)


@pytest.fixture(scope="session")
def ray_cluster():
    """A Ray cluster of two nodes on this machine, one CPU each."""
    from gato_gym.data.cluster import import_ray

    import_ray()
    from ray.cluster_utils import Cluster

    # Not in pytest's folder: the paths of sockets must be short. Ray's default folder would be
    # shared with other clusters on this machine, and what they write there decides what "auto" is.
    with (
        tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("RAY_TMPDIR", folder)
        temporary = os.path.join(folder, "ray")
        os.mkdir(temporary)
        head = {"num_cpus": 1, "include_dashboard": False, "temp_dir": temporary}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        try:
            cluster.add_node(num_cpus=1)
            yield cluster
        finally:
            cluster.shutdown()
