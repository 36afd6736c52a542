"""The Ray cluster that a command plays on: reaching it, and leaving it as it was found.

Ray moves code and values between its processes by pickling them, in both directions: whoever
reaches the ports of a cluster can run code on its nodes and on the machine of the driver. Start one
in a network that is yours. What is written to a corpus is checked all the same (cluster_collect).
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any

from gato_gym.errors import ClusterError, MissingExtraError

CONNECT_SECONDS = 5.0
# One for all clusters that this process starts: Ray reads it once.
_TOKEN = secrets.token_hex(32)
_HOST_PORT = re.compile(r"(?:ray://)?\[?([^/\[\]]+)\]?:(\d{1,5})")


def import_ray() -> Any:
    """The `ray` package, quiet about itself.

    Raises:
        MissingExtraError: it is not installed.
    """
    # Read when Ray is imported and when it starts processes: it would send statistics to its
    # makers, and warn of the way in which it hides GPUs from processes that did not ask for one.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError(
            'many machines need Ray, which is not installed: pip install "gato-gym[ray]"'
        ) from error
    return ray


def check_address(address: str) -> None:
    """Raise ValueError for what is no address of a cluster."""
    match = _HOST_PORT.fullmatch(address)
    if address not in ("auto", "local") and (match is None or not 0 < int(match[2]) < 65536):
        raise ValueError(
            f"{address!r} is no address of a Ray cluster: give HOST:PORT as `ray start --head` "
            "tells it, ray://HOST:10001 from outside, auto on a node of it, or local to start one"
        )


@contextlib.contextmanager
def connected(address: str, workers: int | None = None) -> Iterator[Any]:
    """Connect to a cluster; yields the `ray` module.

    In a program that is connected already, that connection is used and left open.

    Args:
        address: "HOST:PORT" of its head, "ray://HOST:PORT" of its client server, "auto" for the
            one that this machine belongs to (or the variable RAY_ADDRESS), or "local" to start
            one on this machine for as long as the context lasts.
        workers: CPUs that a "local" one has at least.

    Raises:
        ValueError: `address` is none of these.
        MissingExtraError: Ray is not installed.
        ClusterError: nobody answers there.
    """
    check_address(address)
    ray = import_ray()
    if ray.is_initialized():
        yield ray
        return
    with _quiet(ray), _own_token() if address == "local" else contextlib.nullcontext():
        try:
            _connect(ray, address, workers)
            yield ray
        finally:
            ray.shutdown()


def _connect(ray: Any, address: str, workers: int | None) -> None:
    options: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    if address == "local":
        cpus = max(workers or 1, os.cpu_count() or 1)
        options |= {"num_cpus": cpus, "include_dashboard": False}
    else:
        given = os.environ.get("RAY_ADDRESS", address) if address == "auto" else address
        _knock(given)
    try:
        ray.init(address, **options)
    # Ray's own errors share no base with those of its transport; a wrong version is a RuntimeError.
    except Exception as error:
        told = " ".join(str(error).split()).rstrip(".")
        raise ClusterError(
            f"cannot join the Ray cluster at {address!r}: {told}. It may run another version of "
            "Ray, or want a token: then RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH must be set "
            "here too, see docs/cluster.md"
        ) from error


@contextlib.contextmanager
def _own_token() -> Iterator[None]:
    """Close a cluster that we start to everybody else on the network.

    Ray would do it with a token that it leaves in the home folder, where it changes how later
    clusters start.
    """
    names = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_TOKEN")
    if any(name in os.environ for name in names):
        yield  # the user has decided
        return
    os.environ["RAY_AUTH_TOKEN"] = _TOKEN
    try:
        yield
    finally:
        for name in names:  # Ray has set the mode
            os.environ.pop(name, None)


def _knock(address: str) -> None:
    """Find out in seconds that nobody is there; Ray would try for minutes and end the process."""
    match = _HOST_PORT.fullmatch(address)
    if match is None:
        return
    try:
        socket.create_connection((match[1], int(match[2])), CONNECT_SECONDS).close()
    except OSError as error:
        raise ClusterError(
            f"no Ray cluster answers at {address!r} ({error.strerror or error}): `ray status` on "
            "its head tells whether it runs, `ray start --head` starts one"
        ) from error


@contextlib.contextmanager
def _quiet(ray: Any) -> Iterator[None]:
    """Keep Ray from printing to stdout, which belongs to --json, and from taking over SIGTERM."""
    worker = ray._private.worker
    before, worker._worker_logs_enabled = worker._worker_logs_enabled, False
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        worker._worker_logs_enabled = before
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)
