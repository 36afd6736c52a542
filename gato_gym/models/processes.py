"""What acting needs to be at home in any process: forked, spawned, or at the end of a pipe."""

from __future__ import annotations

import os
import pickle
from typing import Any

import torch


class ByValue:
    """Pickles that hold the tensors themselves, so that a copy is a copy in every process.

    `multiprocessing` pickles through torch's own reducers, which pass on handles of shared memory
    instead. A cache would then be written by two processes at once, a generator's state is gone
    before the other side has it, and the sender has to outlive the message.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        # A plain pickler inside of whichever is at work, for it knows no reducers but the classes'.
        return _restored, (type(self), pickle.dumps(self.__getstate__()))


def _restored(cls: type[Any], state: bytes) -> Any:
    restored = object.__new__(cls)
    restored.__dict__.update(pickle.loads(state))
    return restored


def _use_one_thread() -> None:
    torch.set_num_threads(1)


# The threads that torch computes with do not survive a fork, and the child would wait for them
# forever. One thread needs no others. Not set where there is no fork (Windows).
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_use_one_thread)
