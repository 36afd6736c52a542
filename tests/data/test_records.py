"""Episode <-> bytes: lossless, random access, and nothing but documented errors on bad bytes."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gato_gym.data.records import Record, decode, encode
from gato_gym.errors import CorruptShardError, InvalidEpisodeError
from gato_gym.types import Episode

quick = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@st.composite
def episodes(draw: st.DrawFn) -> Episode:
    steps = draw(st.integers(1, 12))
    finite = {"allow_nan": False, "allow_infinity": False}

    def rows(dtype: object, count: int = steps + 1) -> st.SearchStrategy[np.ndarray]:
        shape = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
        return shape.flatmap(lambda s: hnp.arrays(dtype, (count, *s)))

    kinds = st.one_of(
        hnp.floating_dtypes(endianness="?").flatmap(
            lambda dtype: hnp.arrays(
                dtype, (steps + 1, 3), elements=st.floats(width=dtype.itemsize * 8, **finite)
            )
        ),
        rows(hnp.integer_dtypes(endianness="?")),
        rows(hnp.unsigned_integer_dtypes()),
        rows(np.bool_),
        st.lists(st.text(), min_size=steps + 1, max_size=steps + 1).map(np.array),
        st.lists(st.text(), min_size=steps + 1, max_size=steps + 1).map(
            lambda texts: np.array(texts, dtype=object)
        ),
    )
    if draw(st.booleans()):
        actions = draw(hnp.arrays(np.int64, (steps, 2), elements=st.integers(0, 2**40)))
    else:
        unit = st.floats(-1, 1, width=32)
        actions = draw(hnp.arrays(np.float32, (steps, 3), elements=unit))
    return Episode(
        task=draw(st.text()),
        observations=draw(st.dictionaries(st.text(), kinds, min_size=1, max_size=4)),
        actions=actions,
        expert_actions=draw(st.sampled_from([None, actions[::-1].copy(), actions.copy()])),
        rewards=draw(hnp.arrays(np.float64, steps, elements=st.floats(-1e9, 1e9))),
        terminated=draw(st.booleans()),
        seed=draw(st.integers(-(2**70), 2**70)),
        expert=draw(st.text()),
        success=draw(st.sampled_from([None, True, False])),
        versions=draw(st.dictionaries(st.text(), st.text(), max_size=2)),
    )


@quick
@given(episode=episodes())
def test_round_trip(episode, assert_equal):
    assert_equal(decode(encode(episode)), episode)


@quick
@given(episode=episodes(), data=st.data())
def test_any_slice_equals_slicing(episode, data):
    record = Record(encode(episode), "here")
    start = data.draw(st.integers(0, len(episode) - 1))
    stop = data.draw(st.integers(start + 1, len(episode)))
    for key, values in record.observations(start, stop).items():
        assert values.tobytes() == episode.observations[key][start:stop].tobytes() or (
            values.tolist() == episode.observations[key][start:stop].tolist()
        )
    actions, expert_actions = record.actions(start, stop)
    np.testing.assert_array_equal(actions, episode.actions[start:stop])
    np.testing.assert_array_equal(expert_actions, episode.expert_actions[start:stop])


def test_every_slice_across_block_borders(make_episode):
    episode = make_episode(steps=500)
    record = Record(encode(episode), "here")
    rows = (1 << 20) // (32 * 48 * 3)
    for start in (0, 1, rows - 1, rows, rows + 1, 2 * rows - 1, 2 * rows):
        for stop in (start + 1, start + 2, rows, rows + 1, 2 * rows, 500):
            if start < stop:
                found = record.array("observations/image", start, stop)
                np.testing.assert_array_equal(found, episode.observations["image"][start:stop])


def test_a_slice_decompresses_only_its_blocks(make_episode, monkeypatch):
    record = Record(encode(make_episode(steps=900)), "here")
    opened = []
    block = Record._block
    monkeypatch.setattr(
        Record, "_block", lambda self, *args: opened.append(args[:2]) or block(self, *args)
    )
    record.array("observations/image", 250, 275)
    assert opened == [("observations/image", 1)]


def test_the_same_actions_are_stored_once(make_episode):
    episode = make_episode()
    clean = Episode(**{**vars(episode), "expert_actions": episode.actions.copy()})
    assert len(encode(clean)) < len(encode(episode))
    read = decode(encode(clean))
    np.testing.assert_array_equal(read.expert_actions, clean.actions)


def test_objects_are_refused(make_episode):
    episode = make_episode(steps=2)
    for values in (np.array([{}, 1, "a"], dtype=object), np.zeros(3, "datetime64[s]")):
        bad = Episode(**{**vars(episode), "observations": {"thing": values}})
        with pytest.raises(InvalidEpisodeError, match="thing"):
            encode(bad)


def test_every_flipped_bit_is_found(make_episode):
    data = encode(make_episode(steps=20))
    random = np.random.default_rng(0)
    for position in [*range(40), *random.integers(0, len(data), 300).tolist()]:
        flipped = bytearray(data)
        flipped[position] ^= 1 << random.integers(8)
        with pytest.raises(CorruptShardError, match=r"^shard 7"):
            decode(bytes(flipped), "shard 7")


@quick
@given(data=st.binary(max_size=300))
def test_any_bytes_give_one_documented_error(data):
    with pytest.raises(CorruptShardError):
        decode(data)


@quick
@given(cut=st.integers(0, 10_000), episode=st.just(None))
def test_truncation_is_found(cut, episode, make_episode):
    data = encode(make_episode(steps=20))
    with pytest.raises(CorruptShardError):
        decode(data[: cut % len(data)])
