"""The estimate of a step's memory, what follows from it, and what is free."""

import pytest
import torch

from gato_gym.config import MODELS, TrainConfig
from gato_gym.errors import OutOfMemoryError
from gato_gym.training import memory
from gato_gym.training.memory import estimate, plan_recomputed_blocks


@pytest.mark.parametrize("version", [1, 2])
def test_files_that_were_read_are_free_memory_in_a_container(tmp_path, monkeypatch, version):
    names = {
        1: ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
        2: ("memory.max", "memory.current", "inactive_file"),
    }
    most, used, cached = names[version]
    (tmp_path / most).parent.mkdir(exist_ok=True)
    (tmp_path / most).write_text("1000\n")
    (tmp_path / used).write_text("900\n")
    ((tmp_path / used).parent / "memory.stat").write_text(f"anon 300\n{cached} 600\n")
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    assert memory.free_memory(torch.device("cpu")) == 700
    (tmp_path / most).write_text("max\n")
    assert memory.free_memory(torch.device("cpu")) > 1 << 20


def test_blocks_compute_again_only_where_memory_asks_for_it():
    config = TrainConfig(batch=8)
    needed = estimate(MODELS["79m"], config, 73_442_256, 1, torch.device("cpu"))
    assert plan_recomputed_blocks(needed, "auto", free=1 << 40) == 0
    assert plan_recomputed_blocks(needed, "on", free=1 << 40) == 8
    few = [plan_recomputed_blocks(needed, "auto", int(needed.total(n) / 0.899)) for n in range(9)]
    # Computing one block again spares nothing: it needs the room while it does.
    assert few == [0, 0, 2, 3, 4, 5, 6, 7, 8]
    with pytest.raises(OutOfMemoryError, match="--checkpoint-activations auto"):
        plan_recomputed_blocks(needed, "off", free=int(needed.total(8) / 0.89))
