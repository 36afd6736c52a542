"""What we exported, changed on its way: found, as HDF5 itself would not."""

import h5py
import numpy as np
import pytest

from gato_gym.data.corpus import Corpus
from gato_gym.data.minari.load import import_minari
from gato_gym.errors import DatasetError, GatoGymError


def change_number(group):
    group["rewards"][1] += 1e-9


def change_pixel(group):
    group["observations/image"][2, 3, 4, 1] ^= 1


def change_text(group):
    group["observations/goal"][1] = "go home"


def change_target(group):
    group["infos/expert_actions"][0] ^= 1


def change_type(group):
    values = group["observations/position"][()]
    del group["observations/position"]
    group["observations/position"] = values.astype(np.float64)


def change_length(group):
    values = group["actions"][()]
    del group["actions"]
    group["actions"] = values[:-1]


def remove_note(group):
    del group.attrs["gato_gym"]


def number_as_note(group):
    group.attrs["gato_gym"] = 7


def other_note(group):
    group.attrs["gato_gym"] = group.parent["episode_0"].attrs["gato_gym"]


def edited_note(group):
    group.attrs["gato_gym"] = group.attrs["gato_gym"].replace("scripted/toy", "scripted/me")


def newer_note(group):
    group.attrs["gato_gym"] = group.attrs["gato_gym"].replace('"version": 1', '"version": 2')


def remove_targets(group):
    del group["infos/expert_actions"]


CHANGES = [
    *(change_number, change_pixel, change_text, change_target, change_type, change_length),
    *(remove_note, number_as_note, other_note, edited_note, newer_note, remove_targets),
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_what_changed_since_we_exported_it_is_found(change, ours, copy, tmp_path):
    folder = copy(ours)
    with h5py.File(folder / "data/main_data.hdf5", "a") as file:
        change(file["episode_1"])
    with pytest.raises(DatasetError, match="gato_gym-Toy-v0-v0, episode 1: "):
        import_minari(str(folder), tmp_path / "corpus")
    assert [entry.seed for entry in Corpus.open(tmp_path / "corpus").episodes()] == [0]


def test_flipped_bits_are_never_read_as_data(ours, copy, tmp_path):
    """HDF5 has no checksum of its own here; the note of each episode is one."""
    folder = copy(ours)
    file = folder / "data/main_data.hdf5"
    clean = file.read_bytes()
    expected = read_all(ours, tmp_path / "clean")
    rng = np.random.default_rng(0)
    found = 0
    for number in range(60):
        data = bytearray(clean)
        place = int(rng.integers(len(data)))
        data[place] ^= 1 << int(rng.integers(8))
        file.write_bytes(bytes(data))
        try:
            assert read_all(folder, tmp_path / str(number)) == expected
        except GatoGymError:
            found += 1
    assert found > 10


def read_all(folder, out):
    import_minari(str(folder), out)
    corpus = Corpus.open(out)
    return [(corpus.read_record(entry), entry.line()) for entry in corpus.episodes()]
