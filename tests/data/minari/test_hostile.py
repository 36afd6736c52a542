"""Minari data sets that are damaged, or made to do harm: one clear error, nothing run."""

import builtins
import json
import pickle
import shutil
import sys

import h5py
import minari
import numpy as np
import pytest
from gymnasium import spaces
from minari.data_collector.episode_buffer import EpisodeBuffer
from minari.dataset.minari_storage import MinariStorage

from gato_gym.data.corpus import Corpus
from gato_gym.data.minari import reader
from gato_gym.data.minari.load import import_minari
from gato_gym.envs.registry import named_by_data
from gato_gym.errors import DatasetError, GatoGymError, UnknownTaskError


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    """Two episodes of somebody else."""
    root = tmp_path_factory.mktemp("theirs")
    folder = root / "others/Made-v0"
    folder.mkdir(parents=True)
    observation = spaces.Dict({"x": spaces.Box(-1, 1, (2,)), "y": spaces.Text(5)})
    storage = MinariStorage.new(folder / "data", observation, spaces.Discrete(2))
    for seed in (0, 1):
        storage.update_episodes(
            [
                EpisodeBuffer(
                    seed=seed,
                    observations={"x": np.zeros((4, 2), np.float32), "y": ["a"] * 4},
                    actions=np.array([0, 1, 1]),
                    rewards=np.zeros(3),
                    terminations=np.array([False, False, True]),
                    truncations=np.zeros(3, bool),
                    infos={},
                )
            ]
        )
    storage.update_metadata({"dataset_id": "others/Made-v0", "minari_version": minari.__version__})
    return folder


def load(folder, tmp_path, task="mine"):
    return import_minari(str(folder), tmp_path / "corpus", task=task)


def edit(folder, **changes):
    path = folder / "data/metadata.json"
    metadata = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in metadata.items() if v is not ...}))


def test_the_undamaged_ones_import(theirs, ours, tmp_path):
    assert load(theirs, tmp_path).episodes == 2
    assert load(ours, tmp_path, task=None).episodes == 2
    with pytest.raises(ValueError, match="knows its task"):
        load(ours, tmp_path)


@pytest.mark.parametrize("keep", [0, 100, 2000, -1])
def test_a_truncated_file(keep, theirs, copy, tmp_path):
    folder = copy(theirs)
    file = folder / "data/main_data.hdf5"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(DatasetError, match="is not a readable Minari data set: "):
        load(folder, tmp_path)
    assert not (tmp_path / "corpus").exists()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"dataset_id": "../../etc-v0"}, "is no id"),
        ({"dataset_id": ...}, "None is no id"),
        ({"dataset_id": 7}, "7 is no id"),
        ({"data_format": "arrow"}, "expected 'hdf5'"),
        ({"data_format": ["hdf5"]}, "expected 'hdf5'"),
        ({"minari_version": "9.0.0"}, "written by Minari '9.0.0'"),
        ({"total_episodes": "2"}, "expected a number"),
        ({"total_episodes": -1}, "expected a number"),
        ({"total_episodes": 3}, "episode 2: it is missing, or a link"),
        ({"observation_space": ...}, "has no observation_space of its own"),
        ({"action_space": ...}, "has no action_space of its own"),
        ({"action_space": None}, "has no action_space of its own"),
        ({"action_space": "{"}, "not a readable"),
        ({"action_space": '{"type": "Sequence"}'}, "not a readable"),
        ({"action_space": '{"type": "Box", "dtype": "O", "shape": [1]}'}, "not a readable"),
        ({"action_space": '{"type": "Discrete", "n": -3, "start": 0}'}, "not a readable"),
        ({"action_space": "[" * 100_000}, "not a readable"),
    ],
)
def test_damaged_metadata(changes, told, theirs, copy, tmp_path):
    folder = copy(theirs)
    edit(folder, **changes)
    with pytest.raises(DatasetError, match=told):
        load(folder, tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{", "null", "\x00", "[" * 100_000])
def test_metadata_that_is_none(text, theirs, copy, tmp_path):
    folder = copy(theirs)
    (folder / "data/metadata.json").write_text(text)
    with pytest.raises(DatasetError, match=r"copy"):
        load(folder, tmp_path)


def test_what_is_no_data_set(theirs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    with pytest.raises(DatasetError, match=r"'photos' is no Minari data set: .*metadata\.json"):
        import_minari("photos", "corpus", task="mine")
    with pytest.raises(DatasetError, match="does not exist"):
        import_minari("./phtos", "corpus", task="mine")
    for escape in ("a/../../b-v0", "..", "/etc", "a", "a-v0/../b-v0"):
        with pytest.raises(DatasetError, match=r"is no (id|Minari)"):
            import_minari(escape, "corpus", task="mine", root=tmp_path / "root")
    root = theirs.parent.parent
    with pytest.raises(DatasetError, match="did you mean 'others/Made-v0'"):
        import_minari("other/Made-v0", "corpus", task="mine", root=root)
    with pytest.raises(DatasetError, match="minari download far/away-v0"):
        import_minari("far/away-v0", "corpus", task="mine", root=tmp_path / "root")
    assert not (tmp_path / "corpus").exists() and not (tmp_path / "root").exists()


def test_no_environment_is_built_from_what_a_file_names(theirs, copy, tmp_path):
    """Minari itself would call this entry point where a space is missing."""
    folder = copy(theirs)
    spec = {
        "id": "Evil-v0",
        "entry_point": "os:mkdir",
        "kwargs": {"path": str(tmp_path / "evil")},
        "additional_wrappers": [],
        "vector_entry_point": None,
    }
    edit(folder, env_spec=json.dumps(spec), observation_space=...)
    with pytest.raises(DatasetError, match="has no observation_space"):
        load(folder, tmp_path, task=None)
    folder = copy_again(theirs, tmp_path)
    edit(folder, env_spec=json.dumps(spec), eval_env_spec=json.dumps(spec))
    assert load(folder, tmp_path, task=None).task == "Evil-v0"
    assert not (tmp_path / "evil").exists()


def copy_again(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "again")
    return tmp_path / "again"


def test_no_module_is_imported_that_a_file_names(theirs, copy, tmp_path, monkeypatch):
    (tmp_path / "chosen_by_a_file.py").write_text("raise SystemExit('it runs')")
    monkeypatch.syspath_prepend(tmp_path)
    folder = copy(theirs)
    edit(folder, env_spec=json.dumps({"id": "chosen_by_a_file:Foo-v0", "entry_point": "x:y"}))
    with pytest.raises(GatoGymError, match="chosen_by_a_file"):
        load(folder, tmp_path, task=None)
    with pytest.raises(UnknownTaskError, match="import it yourself"):
        named_by_data("chosen_by_a_file:Foo-v0")
    assert named_by_data("json:Foo-v0") and "chosen_by_a_file" not in sys.modules


def test_nothing_unpickles_or_evaluates(theirs, ours, tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("an import ran code")

    for module, name in ((pickle, "loads"), (pickle, "load"), (pickle, "Unpickler")):
        monkeypatch.setattr(module, name, refuse)
    monkeypatch.setattr(builtins, "eval", refuse)
    assert load(theirs, tmp_path).episodes == 2
    assert load(ours, tmp_path, task=None).episodes == 2


def test_links_out_of_the_folder_are_refused(theirs, copy, tmp_path):
    for name in ("main_data.hdf5", "metadata.json"):
        folder = copy(theirs)
        (folder / "data" / name).rename(tmp_path / name)
        (folder / "data" / name).symlink_to(tmp_path / name)
        with pytest.raises(DatasetError, match=f"{name} is a link"):
            load(folder, tmp_path)
        shutil.rmtree(folder)


def external_link(group, elsewhere):
    del group["rewards"]
    group["rewards"] = h5py.ExternalLink(str(elsewhere), "secret")


def soft_link(group, elsewhere):
    del group["rewards"]
    group["rewards"] = h5py.SoftLink("/episode_0/rewards")


def external_storage(group, elsewhere):
    del group["rewards"]
    group.create_dataset("rewards", (3,), np.float64, external=[(str(elsewhere), 0, 24)])


def virtual(group, elsewhere):
    del group["rewards"]
    layout = h5py.VirtualLayout((3,), np.float64)
    layout[:] = h5py.VirtualSource(str(elsewhere), "secret", (3,))
    group.create_virtual_dataset("rewards", layout)


def endless(group, elsewhere):
    del group["rewards"]
    group.create_dataset("rewards", (2**40,), np.float64, chunks=(1024,))


def circle(group, elsewhere):
    group["infos"]["again"] = group["infos"]


def a_type(group, elsewhere):
    group["infos/kind"] = np.dtype(np.float64)


def no_group(group, elsewhere):
    parent = group.parent
    del parent["episode_1"]
    parent["episode_1"] = np.zeros(3)


def external_episode(group, elsewhere):
    parent = group.parent
    del parent["episode_1"]
    parent["episode_1"] = h5py.ExternalLink(str(elsewhere), "/")


def objects(group, elsewhere):
    del group["rewards"]
    group.create_dataset("rewards", data=["a", "b", "c"], dtype=h5py.string_dtype())


def references(group, elsewhere):
    del group["rewards"]
    group.create_dataset("rewards", data=[group.ref] * 3, dtype=h5py.ref_dtype)


def missing(group, elsewhere):
    del group["rewards"]


def no_text(group, elsewhere):
    del group["observations/y"]
    group["observations/y"] = np.zeros(4)


def bad_utf8(group, elsewhere):
    del group["observations/y"]
    group.create_dataset("observations/y", data=[b"\xff\xfe"] * 4, dtype=h5py.string_dtype())


def another_key(group, elsewhere):
    group["observations/z"] = np.zeros(4)


ATTACKS = {
    external_link: "'rewards' is a link",
    soft_link: "'rewards' is a link",
    external_storage: "'rewards' lies in another file",
    virtual: "'rewards' lies in another file",
    endless: "over 8 GiB",
    circle: "nested deeper",
    a_type: "is no array",
    objects: "rewards does not hold numbers",
    references: "rewards does not hold numbers",
    missing: "rewards",
    no_text: "cannot be read",
    bad_utf8: "utf-8",
    another_key: "'z'",
}


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_a_hostile_episode_is_named_and_the_one_before_it_is_kept(attack, theirs, copy, tmp_path):
    with h5py.File(tmp_path / "elsewhere", "w") as file:
        file["secret"] = np.array([1.0, 2.0, 3.0])
    folder = copy(theirs)
    with h5py.File(folder / "data/main_data.hdf5", "a") as file:
        attack(file["episode_1"], tmp_path / "elsewhere")
    with pytest.raises(GatoGymError, match=f"others/Made-v0, episode 1: .*{ATTACKS[attack]}"):
        load(folder, tmp_path)
    assert [entry.seed for entry in Corpus.open(tmp_path / "corpus").episodes()] == [0]


@pytest.mark.parametrize("attack", [no_group, external_episode])
def test_an_episode_that_is_none_is_found_before_anything_is_written(
    attack, theirs, copy, tmp_path
):
    with h5py.File(tmp_path / "elsewhere", "w") as file:
        file.create_group("observations")
    folder = copy(theirs)
    with h5py.File(folder / "data/main_data.hdf5", "a") as file:
        attack(file["episode_1"], tmp_path / "elsewhere")
    with pytest.raises(DatasetError, match=r"episode 1: it is (not a group|missing, or a link)"):
        load(folder, tmp_path)
    assert not (tmp_path / "corpus").exists()


def test_an_episode_larger_than_memory_is_told(theirs, tmp_path, monkeypatch):
    def full(self, index):
        raise MemoryError

    monkeypatch.setattr(reader.Dataset, "_group", full)
    with pytest.raises(DatasetError, match="does not fit into memory"):
        load(theirs, tmp_path)
