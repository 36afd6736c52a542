"""Collection on a Ray cluster: the same corpus as on one machine, whoever dies meanwhile."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from gato_gym.agents.experts import weights_folder
from gato_gym.data import cluster_collect, cluster_pool
from gato_gym.data.cluster import check_address, connected, import_ray
from gato_gym.data.cluster_collect import RayExecutor, packages_of, with_its_expert
from gato_gym.data.cluster_pool import MAX_LOSSES, ClusterPool
from gato_gym.data.collect import collect_jobs
from gato_gym.data.corpus import Corpus
from gato_gym.data.jobs import Attempt, Batch, Job, Outcome
from gato_gym.errors import ClusterError, CorruptShardError, MissingExtraError
from gato_gym.testing import (
    TOY_CONTINUOUS_TASK,
    TOY_TASK,
    FailingExpert,
    ToyExpert,
    make_toy,
)

EPISODES = 12


def wait_until(condition):
    until = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < until, "it does not come true"
        time.sleep(0.02)


def write(path, text):
    """All at once."""
    path.with_suffix(".part").write_text(text)
    path.with_suffix(".part").rename(path)


class Gathering(ToyExpert):
    """Plays its first episode when two nodes have begun to, the others when the gate is open.

    It notes its process under the name of its node. The gate names the node that it is closed for.
    """

    def __init__(self, nodes, gate=None):
        self.nodes, self.gate, self.episodes = nodes, gate, 0

    def reset(self, env):
        super().reset(env)
        import ray

        node = ray.get_runtime_context().get_node_id()
        self.episodes += 1
        if self.episodes == 1:
            write(self.nodes / node, str(os.getpid()))
            wait_until(lambda: len(list(self.nodes.iterdir())) >= 2)
        elif self.gate is not None:
            wait_until(lambda: self.gate.exists() and self.gate.read_text() != node)


class Mortal(ToyExpert):
    """Kills its process once, after some steps; the next one lives."""

    def __init__(self, grave):
        self.grave, self.steps = grave, 0

    def act(self, obs, deterministic=True):
        self.steps += 1
        if self.steps == 20 and not self.grave.exists():
            self.grave.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().act(obs, deterministic)


@pytest.fixture(scope="module", autouse=True)
def classes_of_this_file_travel():
    """Workers cannot import a test."""
    cloudpickle = import_ray().cloudpickle
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


def toy(expert, task=TOY_TASK):
    return Job(task, expert, "scripted/toy", make_toy, noise=0.3, random_start=3)


def collect(out, jobs, executor=None, episodes=EPISODES):
    return collect_jobs(
        jobs, out=out, episodes=episodes, seed=5, episodes_per_shard=1, executor=executor
    )


def records(path):
    """Key -> bytes of each episode; nothing else is in the folder."""
    corpus = Corpus.open(path)
    assert corpus.verify().orphans == ()
    found = {entry.key: corpus.read_record(entry) for entry in corpus.episodes()}
    assert len(found) == len(corpus)
    return found


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """The episodes of both toy tasks, played in this process."""
    path = tmp_path_factory.mktemp("local") / "c"
    collect(path, [toy(ToyExpert()), toy(ToyExpert(), TOY_CONTINUOUS_TASK)])
    return records(path)


def of_task(found, task):
    return {key: record for key, record in found.items() if key[0] == task}


class Watched(RayExecutor):
    """Counts the batches that are out; calls `after` with the number of outcomes so far."""

    most = 0

    def __init__(self, *args, after=lambda number: None):
        super().__init__(*args)
        self.after = after

    def run(self, jobs, draw):
        drawn = taken = 0

        def counted(last):
            nonlocal drawn
            batch = draw(last)
            drawn += batch is not None
            self.most = max(self.most, drawn - taken)
            return batch

        with contextlib.closing(super().run(jobs, counted)) as outcomes:
            for outcome in outcomes:
                taken += 1
                self.after(taken)
                yield outcome


def test_two_nodes_make_the_corpus_of_one_machine(ray_cluster, local, tmp_path, capfd):
    nodes = tmp_path / "nodes"
    nodes.mkdir()
    expert = Gathering(nodes)
    executor = Watched(ray_cluster.address)
    reports = collect(
        tmp_path / "c", [toy(expert), toy(expert, TOY_CONTINUOUS_TASK)], executor, EPISODES
    )
    assert [(report.episodes, report.failure) for report in reports] == [(EPISODES, None)] * 2
    assert records(tmp_path / "c") == local
    assert len(os.listdir(nodes)) == 2
    # One batch per worker: results that nobody has taken in yet cannot pile up.
    assert executor.most == 2
    # stdout belongs to --json.
    assert capfd.readouterr().out == ""


def test_a_killed_worker_costs_nothing(ray_cluster, local, tmp_path, caplog, capfd):
    (report,) = collect(
        tmp_path / "c", [toy(Mortal(tmp_path / "grave"))], RayExecutor(ray_cluster.address)
    )
    assert (report.episodes, report.failure) == (EPISODES, None)
    assert records(tmp_path / "c") == of_task(local, TOY_TASK)
    (told,) = (record.getMessage() for record in caplog.records)
    assert "lost the worker at" in told and f"which played {TOY_TASK} (seed" in told
    assert capfd.readouterr().out == ""


def test_a_node_that_joins_plays_and_when_it_is_lost_costs_nothing(
    ray_cluster, local, tmp_path, caplog, capfd
):
    nodes = tmp_path / "nodes"
    nodes.mkdir()
    gate = tmp_path / "gate"
    committed = {}
    third = None

    def change(number):
        nonlocal third
        if number == 1:  # the third worker has been waiting for a CPU
            third = ray_cluster.add_node(num_cpus=1)
        if number == 3:  # one of each worker
            write(gate, third.node_id)
        if number == 4:  # the new node is in the middle of its second episode
            committed.update(records(tmp_path / "c"))
            ray_cluster.remove_node(third, allow_graceful=False)
            # A machine that goes down takes its workers along at once.
            os.kill(int((nodes / third.node_id).read_text()), signal.SIGKILL)

    executor = Watched(ray_cluster.address, 3, after=change)
    (report,) = collect(tmp_path / "c", [toy(Gathering(nodes, gate))], executor)
    assert third.node_id in os.listdir(nodes)
    assert (report.episodes, report.failure) == (EPISODES, None)
    found = records(tmp_path / "c")
    assert found == of_task(local, TOY_TASK)
    assert committed and committed.items() <= found.items()
    assert "lost the worker at" in caplog.text
    assert capfd.readouterr().out == ""


def test_an_episode_that_kills_every_worker_fails_its_task_only(ray_cluster, tmp_path, caplog):
    deadly = toy(FailingExpert(after=3, kill=True))
    failed, made = collect(
        tmp_path / "c",
        [deadly, toy(ToyExpert(), TOY_CONTINUOUS_TASK)],
        RayExecutor(ray_cluster.address),
        episodes=3,
    )
    assert made.episodes == 3 and made.failure is None
    assert failed.episodes == 0
    told = failed.failure.message
    assert f"{MAX_LOSSES} workers died one after the other while they played {TOY_TASK}" in told
    assert caplog.text.count("lost the worker") >= MAX_LOSSES - 1
    assert len(records(tmp_path / "c")) == 3


def test_an_error_and_an_interrupt_leave_what_was_committed(ray_cluster, local, tmp_path):
    both = [toy(FailingExpert(after=2)), toy(ToyExpert(), TOY_CONTINUOUS_TASK)]

    def interrupt(number):
        if number == 5:
            raise KeyboardInterrupt

    executor = Watched(ray_cluster.address, after=interrupt)
    with pytest.raises(KeyboardInterrupt, match=r"[1-4] episodes are safe in .*the same command"):
        collect(tmp_path / "c", both, executor)
    failed, made = collect(tmp_path / "c", both, RayExecutor(ray_cluster.address))
    assert type(failed.failure.error) is RuntimeError
    assert failed.failure.message == "RuntimeError: the expert has no idea"
    assert made.skipped >= 1 and made.skipped + made.episodes == EPISODES
    assert records(tmp_path / "c") == of_task(local, TOY_CONTINUOUS_TASK)


def test_an_expert_in_a_folder_travels(ray_cluster, tmp_path):
    folder = shutil.copytree(weights_folder("CartPole-v1"), tmp_path / "expert")
    job = Job("CartPole-v1", str(folder), "sb3/CartPole-v1")
    collect(tmp_path / "local", [job], episodes=2)
    executor = RayExecutor(ray_cluster.address)
    with connected(ray_cluster.address) as ray:
        sent = ray.put(with_its_expert(job))
        shutil.rmtree(folder)
        collect(tmp_path / "c", [ray.get(sent)], executor, episodes=2)
        assert ray.is_initialized(), "the connection was there before"
    assert records(tmp_path / "c") == records(tmp_path / "local")
    assert with_its_expert(replace(job, agent="sb3/CartPole-v1")).agent == "sb3/CartPole-v1"


def test_a_node_with_other_versions_is_refused(ray_cluster, tmp_path, monkeypatch):
    ours = cluster_pool.versions(("numpy",))["numpy"]
    # In this process only: the nodes have what is installed.
    monkeypatch.setattr(cluster_pool, "versions", lambda packages: {"numpy": "0.1"})
    with pytest.raises(ClusterError, match=rf"process \d+ has numpy {ours}, this machine 0\.1"):
        collect(tmp_path / "c", [toy(ToyExpert())], RayExecutor(ray_cluster.address))
    assert records(tmp_path / "c") == {}


def unable():
    raise ModuleNotFoundError("No module named 'mujoco'", name="mujoco")


def test_a_worker_that_cannot_start_says_why(ray_cluster):
    with connected(ray_cluster.address) as ray:
        pool = ClusterPool(ray, unable, lambda batch, error: error, ["a"])
        with pytest.raises(ClusterError, match=r"cannot start.*No module named 'mujoco'"):
            next(pool.run(lambda last: Batch(0, (1,))))


def test_a_result_that_cannot_be_sent_is_an_error_of_its_batch(ray_cluster, monkeypatch, caplog):
    monkeypatch.setattr(cluster_pool, "_PATIENCE_SECONDS", 0.01)
    batches = iter([Batch(0, (1,)), None])
    with connected(ray_cluster.address) as ray:
        pool = ClusterPool(ray, lambda: lambda batch: sys.stdout, lambda b, e: (b, e), ["a"])
        ((batch, error),) = pool.run(lambda last: next(batches, None))
    assert batch == Batch(0, (1,)) and "PicklingError" in str(error)
    # While the worker started, nobody played: told once.
    assert caplog.text.count("no worker has started") == 1


def test_a_record_that_changed_on_its_way_is_refused():
    attempt = Attempt(3, 1, 0.0, None, 0.1, None, b"record")
    parcel = cluster_collect._Parcel(Outcome(Batch(0, (3,)), (attempt,)), (1,))
    outcome = cluster_collect._unpack(parcel)
    assert outcome.attempts == () and outcome.failed_seed == 3
    assert isinstance(outcome.error, CorruptShardError)


def test_the_packages_that_must_agree():
    assert packages_of(["CartPole-v1", "ALE/Boxing-v5"]) == ("ale-py", "gymnasium")
    assert packages_of(["dm_control/cartpole-swingup-v0"]) == ("dm-control", "mujoco")
    assert packages_of([TOY_TASK]) == ()


@pytest.mark.parametrize("address", ["", "auto ", "head", "head:0", "head:65536", "http://h:1"])
def test_what_is_no_address(address):
    with pytest.raises(ValueError, match="HOST:PORT"):
        RayExecutor(address)


@pytest.mark.parametrize("address", ["auto", "local", "head:6379", "10.0.0.1:1", "ray://h:10001"])
def test_addresses(address):
    check_address(address)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "auto"])
def test_nobody_answers(address, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(ClusterError, match="ray start --head"), connected(address):
        pass


def test_the_cluster_that_this_machine_belongs_to(ray_cluster, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", ray_cluster.address)
    before = signal.getsignal(signal.SIGTERM)
    with connected("auto") as ray:
        assert ray.cluster_resources()["CPU"] >= 2
    assert not ray.is_initialized()
    assert signal.getsignal(signal.SIGTERM) is before


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r'pip install "gato-gym\[ray\]"'):
        import_ray()


def test_ray_is_imported_only_when_it_is_asked_for(tmp_path):
    code = """
import sys, gato_gym.cli.collect, gato_gym.cli.eval
from gato_gym.data.cluster_collect import RayExecutor
RayExecutor("auto")
print("ray" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout.strip() == "False", done.stderr
