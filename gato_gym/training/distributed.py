"""Training on several ranks: torchrun's processes, sums over them, and FSDP2's shards of the model.

A step is the same whatever the number of ranks: its loss is divided by the number of targets of all
ranks before the backward pass, so gradients are summed and never averaged.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor

from gato_gym.models.device import choose_device
from gato_gym.models.gato import Gato
from gato_gym.training.rendezvous import fresh_store


@dataclass(frozen=True)
class Ranks:
    """This process among all that train one model.

    rank        from 0
    size        number of processes
    device      where this one computes
    per_machine number of processes on each machine; 0 = all are on this one
    """

    rank: int
    size: int
    device: torch.device
    per_machine: int = 0

    @property
    def main(self) -> bool:
        """Whether this is the one that writes and tells."""
        return self.rank == 0

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over all ranks; the tensor itself where there is one. CPU or `device`."""
        if self.size == 1:
            return tensor
        total = tensor.detach().clone()
        dist.all_reduce(total)
        return total

    def barrier(self) -> None:
        """Wait for the others."""
        self.sum(torch.zeros(1))

    def own_group(self) -> dist.ProcessGroup | None:
        """Another group of the same ranks, on gloo, for a thread that talks while others do.

        Every rank must ask for it, in the same order; None where there is one rank.
        """
        return dist.new_group(backend="gloo") if self.size > 1 else None

    def leave(self) -> None:
        """Part from the others; nothing of this object may be used afterwards."""
        if dist.is_initialized():
            dist.destroy_process_group()


def join(device: str | None = None) -> Ranks:
    """Meet the other processes of torchrun, or be the only one where torchrun did not start us.

    A process that torchrun starts again joins the same way, with the others, which it restarts too.

    Args:
        device: "cpu" or "cuda", of which a rank takes the GPU of its number; None chooses.

    Raises:
        ValueError: no such device, or fewer GPUs than ranks on this machine.
    """
    chosen = choose_device(device)
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        return Ranks(0, 1, chosen)
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if chosen.type == "cuda":
        local, count = int(os.environ.get("LOCAL_RANK", 0)), torch.cuda.device_count()
        if local >= count:
            raise ValueError(
                f"rank {rank} wants GPU {local} of this machine, which has {count}: start at most "
                f"{count} processes per machine, or use --device cpu"
            )
        chosen = torch.device("cuda", local)
        torch.cuda.set_device(chosen)
    if size > 1 and not dist.is_initialized():
        # gloo carries what lives on the CPU, also beside nccl: counts need no GPU to be summed.
        backend = "gloo" if chosen.type == "cpu" else "cpu:gloo,cuda:nccl"
        store = fresh_store(rank, size)
        dist.init_process_group(backend, store=store, rank=rank, world_size=size)
    return Ranks(rank, size, chosen, int(os.environ.get("LOCAL_WORLD_SIZE", 0)))


def shard(model: Gato, ranks: Ranks) -> None:
    """Keep a part of every parameter on each rank (FSDP2); nothing for one process.

    On several machines each holds the whole model, cut over its own ranks: weights then travel
    within a machine only, and between machines a rank's part of the gradients, once a step.

    The model must be built on the CPU from the same seed on every rank: then it starts the same
    whatever their number, and moves to the device block by block. That costs each process the whole
    model in host memory for a moment, 4.7 GB for 1.2b. On the meta device each rank would draw
    other numbers for its own part. Compile and checkpoint blocks before.
    """
    if ranks.size == 1:
        return
    shape: tuple[int, ...] = (ranks.size,)
    if 0 < ranks.per_machine < ranks.size and ranks.size % ranks.per_machine == 0:
        shape = (ranks.size // ranks.per_machine, ranks.per_machine)
    names = ("replicas", "shards")[-len(shape) :]
    mesh = init_device_mesh(ranks.device.type, shape, mesh_dim_names=names)
    cuda = ranks.device.type == "cuda"
    # Blocks travel as bfloat16, which is what autocast computes in. Inputs are left alone: the
    # residual stream and the rotary angles stay float32, as in one process. So does the root: the
    # table is the start of that stream, and it is gathered once per step.
    block_policy = MixedPrecisionPolicy(
        param_dtype=torch.bfloat16 if cuda else None,
        reduce_dtype=torch.float32,
        cast_forward_inputs=False,
    )
    root_policy = MixedPrecisionPolicy(reduce_dtype=torch.float32, cast_forward_inputs=False)
    for block in model.blocks:
        fully_shard(block, mesh=mesh, mp_policy=block_policy)
    # The tied table is both ends of the network: the root holds it from the first to the last.
    fully_shard(model, mesh=mesh, mp_policy=root_policy)
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.set_gradient_divide_factor(1.0)
            # Without this the factor would ask gloo for an operation that only nccl has.
            module.set_force_sum_reduction_for_comms(True)
            # Ranks whose rows show no image have no gradient for the patch network: without zeros
            # in its place the ranks would sum different tensors.
            module.set_reduce_scatter_unused_params(True)
    model.register_forward_hook(_reshard_what_is_only_looked_at)


def _reshard_what_is_only_looked_at(model: nn.Module, *_: object) -> None:
    # Without a backward pass the root stays whole, and the next forward would use that copy even if
    # the shards have changed meanwhile: a running mean of the weights is swapped in to validate it.
    if not torch.is_grad_enabled() and isinstance(model, FSDPModule):
        model.reshard()


def settle(model: Gato, images: bool) -> None:
    """After the backward pass, take away the zeros that stand for no gradient at all.

    Args:
        model: sharded or not.
        images: whether any rank showed one in this step. Where none did, one process would leave
            the image parameters alone, weight decay and moments included.
    """
    if images or not isinstance(model, FSDPModule):
        return
    embedding = model.embedding
    for part in (embedding.patches, embedding.rows, embedding.columns):
        for parameter in part.parameters():
            parameter.grad = None


@torch.no_grad()
def clip_gradients(model: nn.Module, limit: float) -> Tensor:
    """Scale gradients to a norm of at most `limit` over all ranks; returns the norm before."""
    found = [p.grad for p in model.parameters() if p.grad is not None]
    parts = [grad.to_local() if isinstance(grad, DTensor) else grad for grad in found]
    squares = torch.stack([_squares(part) for part in parts]).sum()
    sharded = next((grad for grad in found if isinstance(grad, DTensor)), None)
    if sharded is not None:  # all are: the root holds what the blocks do not
        mesh = sharded.device_mesh
        dist.all_reduce(squares, group=mesh.get_group(mesh.ndim - 1))
    norm = squares.sqrt()
    scale = (limit / (norm + 1e-6)).clamp(max=1.0).float()
    torch._foreach_mul_(parts, scale)
    return norm


def _squares(part: Tensor) -> Tensor:
    # By row, then in double precision: on a CPU torch's norm of the 79m table is a thousandth too
    # small, and half as much for half of it, so that two ranks would clip otherwise than one.
    rows = torch.linalg.vector_norm(part, dim=-1) if part.ndim > 1 else part
    return rows.double().square().sum()


def is_copy(tensor: Tensor) -> bool:
    """Whether another machine's rank holds the same part of a tensor, and comes first."""
    if not isinstance(tensor, DTensor) or tensor.device_mesh.ndim == 1:
        return False
    coordinate = tensor.device_mesh.get_coordinate()
    return coordinate is not None and coordinate[0] > 0


def full_weights(model: nn.Module, ranks: Ranks) -> dict[str, Tensor]:
    """Every weight whole, on the CPU of the main rank; empty elsewhere. All ranks must call it."""
    weights = {}
    for name, value in model.state_dict().items():
        value = value.detach()
        value = value.full_tensor() if isinstance(value, DTensor) else value
        if ranks.main:
            weights[name] = value.cpu()
    return weights
