"""Checkpoints that survive anything: tensors as safetensors, scalars as JSON, a manifest last.

    step-00001000/
      tensors-00001-of-00002.safetensors   what rank 0 holds of weights, moments and the rest
      tensors-00002-of-00002.safetensors   what rank 1 holds
      state.json                           step, settings, tokens seen; scalars of the optimizer
      manifest.json                        size and crc32c of the files above

The layout is that of `torch.distributed.checkpoint` with its safetensors storage: each file says in
its header where its parts belong, so any number of ranks reads what any number wrote. A checkpoint
is written under a temporary name, every file is fsynced, then the folder is renamed: it is complete
or absent, and an old one goes only then. Nothing is pickled, nothing on the load path unpickles.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
import torch.distributed as dist
from safetensors import SafetensorError
from torch import Tensor
from torch.distributed.checkpoint import (
    DefaultLoadPlanner,
    DefaultSavePlanner,
    HuggingFaceStorageReader,
)
from torch.distributed.checkpoint.planner import WriteItemType

from gato_gym.errors import CorruptCheckpointError, TrainingError
from gato_gym.training.checkpoint_state import allocate, compare, gather
from gato_gym.training.commit import STATE, checkpoints, commit, remove, step_of, tidy
from gato_gym.training.distributed import Ranks, is_copy
from gato_gym.training.manifest import (
    MANIFEST,
    check_manifest,
    fingerprint,
    fsync,
    read_json,
    write_manifest,
)

__all__ = [
    "MANIFEST",
    "Checkpoints",
    "check_manifest",
    "checkpoints",
    "load_tensors",
    "load_weights",
    "read_json",
    "write_manifest",
]

# Key of state.json: parameter -> kind -> number.
SCALARS = "optimizer"
# Torch's name for the part of a file's header that says where its tensors belong.
PLACES = "DCP_SHARDING_INFO"
# What torch's reader raises on a header that somebody made.
_UNREADABLE = (SafetensorError, OSError, ValueError, LookupError, TypeError, AttributeError)


class Checkpoints:
    """The checkpoints of one run, written by all of its ranks.

    Args:
        root: the run's folder; on several machines one that all of them see.
        keep: how many stay.
        ranks: who trains; None is one process.
    """

    def __init__(self, root: str | Path, keep: int = 2, ranks: Ranks | None = None) -> None:
        self.root, self.keep = Path(root), keep
        self.ranks = ranks or Ranks(0, 1, torch.device("cpu"))
        # A group of its own: the saving thread talks while the training thread does, and two
        # threads that enter one group's collectives in different orders on different ranks would
        # take each other's messages.
        self._group = self.ranks.own_group()
        self._thread = ThreadPoolExecutor(1, "checkpoint")
        self._pending: Future[None] | None = None
        self._host: dict[str, Tensor] = {}
        self._checked: Path | None = None
        if self.ranks.main:
            tidy(self.root)
        self.ranks.barrier()

    def save(
        self,
        step: int,
        model: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        state: Mapping[str, Any],
        wait: bool = False,
        extra: Mapping[str, Tensor] | None = None,
    ) -> Path:
        """Copy everything to host memory now, write it behind the training; all ranks must call it.

        Args:
            step: names the folder.
            model: its whole state dict is saved.
            optimizer: whatever it keeps by parameter: tensors and numbers.
            state: JSON.
            wait: come back when the checkpoint is committed.
            extra: more tensors, e.g. a running mean of the weights.

        Returns:
            The folder; it is there once `wait` has come back.

        Raises:
            OSError, TrainingError: the save before this one failed, or with `wait` this one, here
                or on another rank. What was committed earlier is still there.
        """
        self.wait()
        tensors, scalars = gather(model, optimizer, extra or {})
        parts, places = self._copy(tensors)
        state = {"step": step, **state, SCALARS: scalars}
        self._pending = self._thread.submit(self._write, step, parts, places, state)
        if wait:
            self.wait()
        return self._folder(step)

    def wait(self) -> None:
        """Until the save that is under way is committed.

        Raises:
            OSError, TrainingError: it failed.
        """
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def newest(self) -> Path | None:
        """The newest committed checkpoint, the same on all ranks; all must ask."""
        self.wait()
        # One rank looks: the file system of a network may show another one an older state.
        found = checkpoints(self.root)[-1:] if self.ranks.main else []
        step = int(self.ranks.sum(torch.tensor(step_of(found[0]) if found else -self.ranks.main)))
        return self._folder(step) if step >= 0 else None

    def read_state(self, folder: Path) -> dict[str, Any]:
        """Check every byte, once; then the state that was saved, and its step. All must ask.

        Raises:
            CorruptCheckpointError: incomplete, changed, or of an older layout; on all ranks.
        """
        if folder != self._checked:
            self._check(folder)
            self._checked = folder
        state = read_json(folder / STATE)
        state.pop(SCALARS, None)
        if step_of(folder) != state.get("step"):
            raise CorruptCheckpointError(
                f"{folder} holds step {state.get('step')}: give it its name back"
            )
        return state

    def load(
        self,
        folder: Path,
        model: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        extra: Mapping[str, Tensor] | None = None,
    ) -> dict[str, Any]:
        """Check every byte, then restore in place, each rank its parts. All must call it.

        Args:
            folder: a committed checkpoint, of any number of ranks.
            model, optimizer: as at saving, sharded or not.
            extra: tensors of the names that were saved, to be overwritten.

        Returns:
            The state that was saved, and its step.

        Raises:
            CorruptCheckpointError: incomplete, changed, of an older layout, or of another model.
        """
        state = self.read_state(folder)
        scalars = read_json(folder / STATE).get(SCALARS, {})
        reader = HuggingFaceStorageReader(str(folder))
        try:
            metadata = reader.read_metadata()
        except _UNREADABLE as error:
            raise CorruptCheckpointError(f"{folder} cannot be read: {error}") from error
        tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
        tensors |= {f"extra.{name}": value for name, value in (extra or {}).items()}
        compare(folder, tensors, metadata)
        states = allocate(folder, model, optimizer, metadata, scalars)
        for name, kinds in states.items():
            tensors |= {
                f"optimizer.{name}.{kind}": value
                for kind, value in kinds.items()
                if isinstance(value, Tensor) and value.ndim
            }
        # Each rank plans its own reads. `dcp.load` makes the same plans and sends them around as
        # pickles.
        planner = DefaultLoadPlanner()
        planner.set_up_planner(tensors, metadata, self.ranks.main)
        reader.set_up_storage_reader(metadata, self.ranks.main)
        plan = planner.finish_plan(planner.create_local_plan())
        with torch.no_grad():
            reader.read_data(plan, planner).wait()
        parameters = dict(model.named_parameters())
        optimizer.state.clear()
        for name, kinds in states.items():
            optimizer.state[parameters[name]] = kinds
        return state

    def _folder(self, step: int) -> Path:
        return self.root / f"step-{step:08d}"

    def _check(self, folder: Path) -> None:
        problem: CorruptCheckpointError | None = None
        try:
            _refuse_old(folder)
            check_manifest(folder, [STATE], complete=True, part=(self.ranks.rank, self.ranks.size))
        except CorruptCheckpointError as error:
            problem = error
        failures = int(self.ranks.sum(torch.tensor(int(problem is not None))))
        if problem is not None:
            raise problem
        if failures:
            raise CorruptCheckpointError(f"{folder} is damaged: another rank says where")

    def _copy(self, tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """This rank's parts of all tensors, copied to host memory, and where they belong.

        The planner knows from a tensor's sharding which part is here. What every rank has whole is
        the main one's to write. So nothing has to be agreed upon: the rounds of pickled plans that
        `dcp.save` sends around fall away.
        """
        planner = DefaultSavePlanner()
        planner.set_up_planner(tensors, is_coordinator=self.ranks.main)
        parts, places = {}, {}
        for item in planner.create_local_plan().items:
            name, data = item.index.fqn, item.tensor_data
            assert data is not None
            sharded = item.type == WriteItemType.SHARD
            # A tensor with fewer rows than there are ranks has no part on some.
            if 0 in data.chunk.sizes if sharded else not self.ranks.main:
                continue
            if is_copy(tensors[name]):
                continue
            parts[name] = self._to_host(name, planner.resolve_data(item))
            places[name] = {"saved_offsets": list(data.chunk.offsets)}
        if self.ranks.device.type == "cuda":
            torch.cuda.synchronize(self.ranks.device)
        return parts, places

    def _to_host(self, name: str, value: Any) -> Tensor:
        """A copy that training does not change; of a GPU's in pinned memory, which is kept."""
        value = value.detach()
        if value.device.type == "cpu":
            return value.clone(memory_format=torch.contiguous_format)
        host = self._host.get(name)
        if host is None or host.shape != value.shape or host.dtype != value.dtype:
            host = torch.empty(value.shape, dtype=value.dtype, pin_memory=True)
            self._host[name] = host
        return host.copy_(value, non_blocking=True)

    def _write(
        self, step: int, parts: dict[str, Tensor], places: dict[str, Any], state: dict[str, Any]
    ) -> None:
        """In the saving thread: every rank's file, then the main rank's commit."""
        final = self._folder(step)
        temporary = self.root / f".{final.name}.tmp"
        size = self.ranks.size
        names = [f"tensors-{i + 1:05d}-of-{size:05d}.safetensors" for i in range(size)]
        mine = temporary / names[self.ranks.rank]

        def begin() -> None:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)

        def write() -> dict[str, int]:
            # What torch's writer would write, but that one copies all bytes twice while it holds
            # the interpreter's lock, and training would stand still.
            header = {"format": "pt", PLACES: json.dumps(places)}
            safetensors.torch.save_file(parts, mine, header)
            fsync(mine)
            return fingerprint(mine)

        def finish() -> None:
            commit(temporary, final, dict(zip(names, files, strict=True)), state)
            others = [path for path in checkpoints(self.root) if path != final]
            for old in others[: max(0, len(others) + 1 - self.keep)]:
                remove(old)

        try:
            self._together(begin if self.ranks.main else None)
            files = self._together(write)
            self._together(finish if self.ranks.main else None)
        except BaseException:
            if self.ranks.main:
                shutil.rmtree(temporary, ignore_errors=True)
            raise

    def _together(self, act: Callable[[], dict[str, int] | None] | None) -> list[dict[str, int]]:
        """Act and wait for the others; what each returned. Where one fails, all raise."""
        mine, problem = None, None
        try:
            mine = act() if act is not None else None
        except BaseException as error:
            problem = error
        mine = mine or {"size": 0, "crc32c": 0}
        sent = torch.tensor([mine["size"], mine["crc32c"], int(problem is not None)])
        received = [torch.empty_like(sent) for _ in range(self.ranks.size)]
        if self._group is None:
            received = [sent]
        else:
            dist.all_gather(received, sent, group=self._group)
        if problem is not None:
            raise problem
        failed = [rank for rank, (_, _, bad) in enumerate(received) if bad]
        if failed:
            raise TrainingError(f"rank {failed[0]} could not write its part of {self.root}")
        return [{"size": int(size), "crc32c": int(crc)} for size, crc, _ in received]


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file.

    Raises:
        CorruptCheckpointError: missing, truncated or not safetensors.
    """
    try:
        return safetensors.torch.load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise CorruptCheckpointError(f"{path} cannot be read: {error}") from error


def load_weights(model: torch.nn.Module, path: Path) -> None:
    """Load a model's weights strictly.

    Raises:
        CorruptCheckpointError: unreadable, or names or shapes differ from the model's.
    """
    tensors = load_tensors(path)
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in tensors.items()}
    if expected != found:
        differing = sorted(
            k for k in expected.keys() | found.keys() if expected.get(k) != found.get(k)
        )
        raise CorruptCheckpointError(
            f"{path} does not fit the config beside it: {len(differing)} tensors differ, e.g. "
            f"{differing[0]} is {found.get(differing[0])}, expected {expected.get(differing[0])}"
        )
    model.load_state_dict(tensors)


def _refuse_old(folder: Path) -> None:
    if (folder / "optimizer.safetensors").is_file():
        raise CorruptCheckpointError(
            f"{folder} has the layout of gato_gym before training on several ranks: end that run "
            "with the version that began it, or choose another --out"
        )
