"""Ranks that torchrun starts again find each other, not the addresses of the dead."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import torch.distributed as dist

from gato_gym.training import rendezvous


@pytest.fixture
def shared(monkeypatch):
    """What torchrun keeps over restarts."""
    store = dist.HashStore()
    store.set_timeout(timedelta(seconds=20))
    monkeypatch.setattr(rendezvous.dist, "rendezvous", lambda url: iter([(store, 0, 1)]))
    return store


def meet(size):
    with ThreadPoolExecutor(size) as threads:
        return list(threads.map(rendezvous.fresh_store, range(size), [size] * size))


def test_every_start_has_a_store_of_its_own(shared):
    seen = []
    for _ in range(3):
        stores = meet(3)
        assert not any(store.check(["address"]) for store in stores)
        stores[2].set("address", "mine")
        assert [store.get("address") for store in stores] == [b"mine"] * 3
        seen += stores
    seen[0].set("address", "changed")
    assert [store.get("address") for store in seen] == [b"changed"] * 3 + [b"mine"] * 6


def test_who_asked_and_died_is_not_waited_for(shared):
    """Rank 1 asked before a restart, and never thanked."""
    dist.PrefixStore("gato_gym", shared).set("asks/1", "dead")
    first, second = meet(2)
    first.set("address", "mine")
    assert second.get("address") == b"mine"


def test_a_rank_that_does_not_come_is_named(shared):
    shared.set_timeout(timedelta(seconds=0.2))
    with pytest.raises(TimeoutError, match=r"ranks \[1, 2\] of 3 did not come"):
        rendezvous.fresh_store(0, 3)
