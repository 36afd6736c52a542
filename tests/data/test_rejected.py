"""The journal of rejected seeds: it remembers, and no damage makes it say something else."""

import logging

from gato_gym.data.jobs import Attempt, Job
from gato_gym.data.rejected import NAME, RejectedAttempts

JOB = Job("task", "agent", "expert", noise=0.25, burst=(2, 3), random_start=4)


def attempts():
    yield Attempt(0, 5, 1.0, True, 0.1, record=b"kept")
    yield Attempt(1, 5, 0.1 + 0.2, False, 0.1)
    yield Attempt(-2, 5, -1e300, None, 0.1)


def test_what_was_rejected_is_remembered_exactly(tmp_path):
    RejectedAttempts(tmp_path).add(JOB, attempts())
    again = RejectedAttempts(tmp_path)
    assert again.seen == {
        ("task", "expert", 1, 0.25, (2, 3), 4, 0, ""): (0.1 + 0.2, False),
        ("task", "expert", -2, 0.25, (2, 3), 4, 0, ""): (-1e300, None),
    }
    again.add(JOB, [Attempt(7, 5, 2.0, None, 0.1)])
    assert len(RejectedAttempts(tmp_path).seen) == 3


def test_nothing_rejected_leaves_no_file(tmp_path):
    RejectedAttempts(tmp_path).add(JOB, [Attempt(0, 5, 1.0, True, 0.1, record=b"kept")])
    assert not (tmp_path / NAME).exists() and not RejectedAttempts(tmp_path).seen


def test_every_flipped_bit_costs_its_line_only(tmp_path, caplog):
    RejectedAttempts(tmp_path).add(JOB, attempts())
    path = tmp_path / NAME
    whole, seen = path.read_bytes(), RejectedAttempts(tmp_path).seen
    caplog.set_level(logging.WARNING)
    for place in range(len(whole)):
        for bit in range(8):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << bit
            path.write_bytes(damaged)
            found = RejectedAttempts(tmp_path).seen
            # In the checksum, upper case says the same.
            assert found.items() <= seen.items() and len(found) >= len(seen) - 2
    assert "damaged lines are left out" in caplog.text


def test_a_line_cut_short_is_left_out_and_what_follows_is_read(tmp_path):
    RejectedAttempts(tmp_path).add(JOB, attempts())
    path = tmp_path / NAME
    path.write_bytes(path.read_bytes()[:-5])
    RejectedAttempts(tmp_path).add(JOB, [Attempt(8, 5, 2.0, None, 0.1)])
    RejectedAttempts(tmp_path).add(JOB, [Attempt(9, 5, 2.0, None, 0.1)])
    assert {key[2] for key in RejectedAttempts(tmp_path).seen} >= {1, 9}
