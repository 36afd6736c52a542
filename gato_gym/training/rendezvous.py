"""Where the ranks of a run find each other's addresses, also after torchrun has started them again.

torchrun's store outlives a restart, and with it the addresses of the processes that died: the new
ones would connect to those (https://github.com/pytorch/pytorch/issues/135712 and 167288). Its count
of restarts is no help, as each machine has its own.
"""

from __future__ import annotations

import time
import uuid

import torch.distributed as dist


def fresh_store(rank: int, size: int) -> dist.Store:
    """The store of torchrun's environment, cut down to what no earlier process has written.

    Rank 0 draws a name and gives it to each rank that asks. A rank asks under a name of its own, so
    that an answer is never an old one; rank 0 waits for the thanks under its name, so that whom it
    answered was not a dead one.

    Raises:
        TimeoutError: a rank does not come within the store's time.
    """
    shared, _, _ = next(dist.rendezvous("env://"))
    store = dist.PrefixStore("gato_gym", shared)
    mine = uuid.uuid4().hex
    if rank != 0:
        store.set(f"asks/{rank}", mine)
        name = store.get(f"answer/{mine}").decode()
        store.set(f"thanks/{name}/{rank}", "")
        return dist.PrefixStore(name, shared)
    missing = set(range(1, size))
    deadline = time.monotonic() + shared.timeout.total_seconds()
    while missing:
        for other in tuple(missing):
            if store.check([f"thanks/{mine}/{other}"]):
                missing.remove(other)
            elif store.check([f"asks/{other}"]):
                store.set(f"answer/{store.get(f'asks/{other}').decode()}", mine)
        if time.monotonic() > deadline:
            raise TimeoutError(f"ranks {sorted(missing)} of {size} did not come: did they start?")
        time.sleep(0.005)
    return dist.PrefixStore(mine, shared)
