"""Our corpus -> Minari -> our corpus: equal to the last bit, and readable by Minari on the way."""

import errno
import json
import os
import sys
from dataclasses import replace

import gymnasium
import h5py
import minari
import numpy as np
import pytest

from gato_gym import envs
from gato_gym.data.collect import collect
from gato_gym.data.corpus import Corpus
from gato_gym.data.minari import export
from gato_gym.data.minari.export import export_minari
from gato_gym.data.minari.load import import_minari
from gato_gym.errors import DatasetError, MissingExtraError, UnknownTaskError
from gato_gym.testing import TOY_CONTINUOUS_TASK, TOY_TASK, ToyExpert, make_toy


def contents(path):
    """Key -> (record bytes, manifest line) of every episode."""
    corpus = Corpus.open(path)
    return {e.key: (corpus.read_record(e), e.line()) for e in corpus.episodes()}


@pytest.fixture(scope="module")
def collected(tmp_path_factory):
    """A toy with every kind of observation, a continuous toy, CartPole, Atari and the robot arm."""
    path = tmp_path_factory.mktemp("minari") / "corpus"
    for task in (TOY_TASK, TOY_CONTINUOUS_TASK):
        for noise in (0.0, 0.4):
            collect(
                *(task,),
                **{"out": path, "episodes": 3, "seed": 5, "noise": noise, "make_env": make_toy},
                expert=ToyExpert(),
            )
    collect("CartPole-v1", out=path, episodes=2, seed=0)
    collect("CartPole-v1", out=path, episodes=1, seed=0, noise=0.3, burst=(2, 5), random_start=3)
    collect("gato_gym/BlockStacking-v0", out=path, episodes=1, seed=0, noise=0.2)
    collect("ALE/Boxing-v5", out=path, episodes=1, seed=0)
    return path


@pytest.fixture(scope="module")
def exported(collected, tmp_path_factory):
    root = tmp_path_factory.mktemp("minari") / "datasets"
    return root, export_minari(Corpus.open(collected), root=root)


def test_every_episode_comes_back_to_the_last_bit(collected, exported, tmp_path):
    root, datasets = exported
    for dataset in datasets:
        report = import_minari(dataset.id, tmp_path / "back", root=root)
        assert (report.task, report.episodes, report.skipped) == (dataset.task, dataset.episodes, 0)
    assert contents(tmp_path / "back") == contents(collected)
    assert Corpus.open(tmp_path / "back").verify().episodes == 17
    again = import_minari(datasets[0].id, tmp_path / "back", root=root)
    assert (again.episodes, again.skipped) == (0, datasets[0].episodes)


def test_minari_reads_every_data_set(collected, exported, monkeypatch):
    root, datasets = exported
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(root))
    assert sorted(minari.list_local_datasets()) == sorted(d.id for d in datasets)
    corpus = Corpus.open(collected)
    for exported_one in datasets:
        dataset = minari.load_dataset(exported_one.id)
        entries = corpus.episodes(exported_one.task)
        assert (len(dataset), dataset.total_steps) == (len(entries), exported_one.steps)
        for entry, episode in zip(entries, dataset.iterate_episodes(), strict=True):
            ours = corpus.read(entry)
            assert episode.rewards.tolist() == ours.rewards.tolist()
            assert (episode.terminations[-1], episode.truncations[-1]) == (
                *(ours.terminated, not ours.terminated),
            )
            assert dataset.action_space.contains(episode.actions[0])
            first = {k: v[0] for k, v in ours.observations.items()}
            seen = episode.observations
            seen = seen if isinstance(seen, dict) else {"observation": seen}
            for key, values in seen.items():
                np.testing.assert_array_equal(values[0], first[key])
            whole = {k: np.asarray(v)[0] for k, v in seen.items()}
            whole = {k: str(v) if v.dtype.kind == "U" else v for k, v in whole.items()}
            space = dataset.observation_space
            assert space.contains(
                whole if isinstance(space, gymnasium.spaces.Dict) else first["observation"]
            )
        seeds = [m["seed"] for m in dataset.storage.get_episode_metadata(range(len(dataset)))]
        assert seeds == [entry.seed for entry in entries]


def test_minari_makes_the_environment_again(exported, monkeypatch):
    root, datasets = exported
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(root))
    for exported_one in datasets:
        dataset = minari.load_dataset(exported_one.id)
        env = dataset.recover_environment()
        assert env.observation_space == dataset.observation_space
        assert env.action_space == dataset.action_space
        env.close()


def test_reference_scores_and_spaces_are_those_of_the_task(exported):
    root, _ = exported
    metadata = json.loads((root / "gato_gym/CartPole-v1-v0/data/metadata.json").read_text())
    spec = envs.task_spec("CartPole-v1")
    assert metadata["ref_max_score"] == spec.expert_score
    assert metadata["ref_min_score"] == spec.random_score
    assert metadata["jpeg_encoding"] is False and metadata["data_format"] == "hdf5"
    assert json.loads(metadata["action_space"])["n"] == 2


def test_dtypes_shapes_and_numbers_that_are_easily_lost(make_episode, tmp_path, assert_equal):
    """What no environment here has: nested keys, objects, odd dtypes, huge seeds, minus zero."""
    steps = 6
    rng = np.random.default_rng(0)
    base = make_episode(0, steps=steps, task="nobody/Knows-v3")
    texts = np.empty(steps + 1, object)
    texts[:] = ["", "a b", "\u00e9\u4e2d\U0001f600", "x" * 300, "\n\t", "'\"", " end "]
    observations = {
        "arm/left/joints": rng.normal(size=(steps + 1, 2, 3)),
        "arm/left/half": rng.normal(size=(steps + 1, 2)).astype(np.float16),
        "arm/big_endian": rng.normal(size=(steps + 1,)).astype(">f4"),
        "arm/flags": rng.random((steps + 1, 4)) < 0.5,
        "arm/touch": rng.random(steps + 1) < 0.5,
        "bytes": rng.integers(0, 256, (steps + 1, 7, 7, 3)).astype(np.uint8),
        "far": rng.integers(-(2**62), 2**62, (steps + 1, 2)),
        "mission": texts,
        "zero": np.array([0.0, -0.0] * 3 + [5e-324]),
    }
    actions = np.where(rng.random((steps, 4)) < 0.5, -0.0, 0.25).astype(np.float32)
    episodes = [
        replace(
            base,
            observations=observations,
            actions=actions,
            expert_actions=-actions,
            seed=seed,
            success=success,
            versions={"b": "2", "a": "1\u00e9"},
        )
        for seed, success in ((2**80, None), (2**63, True), (0, False))
    ]
    corpus = Corpus.create(tmp_path / "corpus")
    corpus.append_shard(episodes, noise=0.125)
    (dataset,) = export_minari(corpus, root=tmp_path / "root")
    assert dataset.id == "gato_gym/nobody-Knows-v3-v0"
    import_minari(dataset.id, tmp_path / "back", root=tmp_path / "root")
    assert contents(tmp_path / "back") == contents(tmp_path / "corpus")
    back = Corpus.open(tmp_path / "back")
    for entry, episode in zip(back.episodes(), episodes, strict=True):
        assert_equal(back.read(entry), episode)


def test_an_observation_of_one_array_and_one_of_mappings_with_that_name(make_episode, tmp_path):
    for name, task in (("observation", "a"), ("position", "b")):
        base = make_episode(0, steps=3, task=task)
        corpus = Corpus.create(tmp_path / "corpus")
        corpus.append_shard([replace(base, observations={name: base.observations["position"]})])
    for dataset in export_minari(corpus, root=tmp_path / "root"):
        import_minari(dataset.id, tmp_path / "back", root=tmp_path / "root")
    assert contents(tmp_path / "back") == contents(tmp_path / "corpus")


def test_one_task_under_a_name_of_its_own(collected, tmp_path):
    corpus = Corpus.open(collected)
    name = "me/cart_pole/expert-v7"
    (dataset,) = export_minari(corpus, tasks=["CartPole-v1"], dataset_id=name, root=tmp_path)
    assert dataset.id == name and (tmp_path / name / "data/main_data.hdf5").is_file()
    assert (tmp_path / "me/cart_pole/namespace_metadata.json").is_file()
    with pytest.raises(ValueError, match="one id for 5 tasks"):
        export_minari(corpus, dataset_id=name, root=tmp_path)
    with pytest.raises(UnknownTaskError, match="'Pong-v5'"):
        export_minari(corpus, tasks=["Pong-v5"], root=tmp_path)
    for wrong in (
        "../CartPole-v0",
        "/tmp/CartPole-v0",
        "CartPole",
        "a//b-v0",
        ".a/b-v0",
        "a/b\n-v0",
    ):
        with pytest.raises(DatasetError, match="is no id"):
            export_minari(corpus, tasks=["CartPole-v1"], dataset_id=wrong, root=tmp_path)


def test_the_default_folder_is_minaris_own(collected, tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "here"))
    corpus = Corpus.open(collected)
    (dataset,) = export_minari(corpus, tasks=["CartPole-v1"])
    assert len(minari.load_dataset(dataset.id)) == 3
    monkeypatch.delenv("MINARI_DATASETS_PATH")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (dataset,) = export_minari(corpus, tasks=["CartPole-v1"])
    assert len(minari.load_dataset(dataset.id)) == 3
    assert import_minari(dataset.id, tmp_path / "back").episodes == 3


def test_an_export_that_was_stopped_goes_on_and_leaves_nothing_half_written(
    collected, tmp_path, monkeypatch
):
    corpus, root = Corpus.open(collected), tmp_path / "root"
    write = h5py.Group.create_dataset
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(root))

    def failing(error):
        left = [40]

        def create(*args, **kwargs):
            left[0] -= 1
            if not left[0]:
                raise error
            return write(*args, **kwargs)

        return create

    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    monkeypatch.setattr(h5py.Group, "create_dataset", failing(full))
    with pytest.raises(OSError, match="gato_gym-Toy-v0-v0 was not written: No space left"):
        export_minari(corpus, root=root)
    complete = set(minari.list_local_datasets())
    assert complete and len(complete) < 5
    monkeypatch.setattr(h5py.Group, "create_dataset", failing(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        export_minari(corpus, root=root)
    assert [path for path in root.rglob("*") if path.name.endswith(".tmp")] == []
    monkeypatch.undo()
    report = export_minari(corpus, root=root)
    assert {dataset.id for dataset in report if dataset.skipped} >= complete
    assert not all(dataset.skipped for dataset in report)
    assert all(dataset.skipped for dataset in export_minari(corpus, root=root))
    for dataset in report:
        import_minari(dataset.id, tmp_path / "back", root=root)
    assert contents(tmp_path / "back") == contents(collected)


def test_what_a_killed_export_left_is_removed_after_an_hour(collected, tmp_path):
    for name, age in (("young", 60), ("old", 4000)):
        written = tmp_path / f".{name}-v0.0.tmp" / "data" / "main_data.hdf5"
        written.parent.mkdir(parents=True)
        written.write_bytes(b"half of a file")
        then = written.stat().st_mtime - age
        for path in (written, written.parent, written.parent.parent):
            # An export at work writes into a file, which the folder's own time does not show.
            os.utime(path, (then - 4000 * (path != written),) * 2)
    export_minari(Corpus.open(collected), tasks=["CartPole-v1"], root=tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {".young-v0.0.tmp", "gato_gym"}


def test_an_id_that_is_taken_is_not_overwritten(collected, make_episode, tmp_path):
    corpus = Corpus.open(collected)
    export_minari(corpus, tasks=["CartPole-v1"], root=tmp_path)
    path = tmp_path / "gato_gym/CartPole-v1-v0/data"
    before = {file.name: file.read_bytes() for file in path.iterdir()}
    other = Corpus.create(tmp_path / "other")
    other.append_shard([make_episode(0, steps=4, task="CartPole-v1")])
    with pytest.raises(DatasetError, match=r"exists in .* holds other episodes.*--id or --root"):
        export_minari(other, root=tmp_path)
    assert {file.name: file.read_bytes() for file in path.iterdir()} == before
    (tmp_path / "gato_gym/a-v0").mkdir()
    (tmp_path / "gato_gym/a-v0" / "thesis.txt").write_text("mine")
    mine = Corpus.create(tmp_path / "mine")
    mine.append_shard([make_episode(0, steps=4, task="a"), make_episode(0, steps=4, task="b")])
    with pytest.raises(DatasetError, match="holds something else"):
        export_minari(mine, root=tmp_path)
    assert not (tmp_path / "gato_gym/b-v0").exists()


def test_tasks_that_would_share_a_name(make_episode, tmp_path):
    corpus = Corpus.create(tmp_path / "corpus")
    corpus.append_shard([make_episode(0, steps=4, task=task) for task in ("a/b", "a-b")])
    with pytest.raises(DatasetError, match=r"a-b and a/b would both be 'gato_gym/a-b-v0'"):
        export_minari(corpus, root=tmp_path / "root")
    assert not (tmp_path / "root").exists()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"goal": np.array(["a\0b"] * 5)}, "NUL"),
        ({"goal": np.array([["a", "b"]] * 5)}, "several texts"),
        ({"a": np.zeros(5), "a/b": np.zeros(5)}, "below a key that holds a value"),
        ({"a/.": np.zeros(5)}, "cannot hold the key"),
        ({"": np.zeros(5)}, "cannot hold the key"),
    ],
)
def test_what_minari_cannot_hold_is_refused(change, told, make_episode, tmp_path):
    corpus = Corpus.create(tmp_path / "corpus")
    corpus.append_shard([replace(make_episode(0, steps=4), observations=change)])
    with pytest.raises(DatasetError, match=told):
        export_minari(corpus, root=tmp_path / "root")
    assert [path for path in (tmp_path / "root").rglob("*") if path.is_file()] == []


def test_episodes_of_different_shapes_are_refused(make_episode, tmp_path):
    corpus = Corpus.create(tmp_path / "corpus")
    one = make_episode(0, steps=4)
    corpus.append_shard([one, replace(one, seed=1, observations={"x": np.zeros(5)})])
    with pytest.raises(DatasetError, match="episodes 0 and 1 of toy have different observations"):
        export_minari(corpus, root=tmp_path / "root")


def test_a_file_that_does_not_read_back_is_not_given_its_name(collected, tmp_path, monkeypatch):
    def forgetful(entry, episode):
        return export_note(entry, replace(episode, rewards=episode.rewards + 1))

    export_note = export.write_note
    monkeypatch.setattr(export, "write_note", forgetful)
    with pytest.raises(DatasetError, match="its bytes have changed"):
        export_minari(Corpus.open(collected), tasks=["CartPole-v1"], root=tmp_path)
    assert minari_folders(tmp_path) == []


def minari_folders(root):
    return [path for path in root.rglob("data") if path.is_dir()]


def test_without_minari_the_extra_is_named(collected, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "minari", None)
    for call in (
        lambda: export_minari(Corpus.open(collected), root=tmp_path),
        lambda: import_minari(str(tmp_path), tmp_path / "out", root=tmp_path),
    ):
        with pytest.raises(MissingExtraError, match=r'pip install "gato-gym\[minari\]"'):
            call()
    assert list(tmp_path.iterdir()) == []
