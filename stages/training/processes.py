"""What several processes do together while they train one network. One process is a world of one, which does nothing.

Each holds all rows, draws the same batches in the same order as one process would, augments each as a whole, and then
learns from its own share of it. Gradients are averaged such that the step is that of the whole batch, weights of rows
and classes included, and batch normalisation takes the whole batch's statistics, on a CPU and on a GPU.

So the losses of the first epochs are one process's within a relative 1e-4 (float32 sums in another order, which later
drift apart as any two such runs do; tested for two and three processes). Dropout and random depth draw other masks in
each process: with them the losses are alike, not the same. After a restart the same processes end in the same bits on
a CPU, where they are two or sharded; more than two copies sum their gradients in an order that a restart may change.
Shapes: B rows of a batch, b of a share.
"""

import os
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.functional import batch_norm

from stages.core.errors import TrainingError

LEAST_SHARE = 2  # rows: batch normalisation has no spread over one


@dataclass(frozen=True)
class World:
    """`rank` 0 leads: it alone reports and writes."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        return self.rank == 0


ALONE = World()


def join(device: torch.device) -> None:
    """Meet the other processes that torchrun or `launch` started. Raises TrainingError where a process has no GPU."""
    if dist.is_initialized():
        return
    if device.type == "cuda":
        torch.cuda.set_device(local_gpu())
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")


def local_gpu() -> int:
    """Of this machine's, the one of this process."""
    wanted, present = int(os.environ.get("LOCAL_WORLD_SIZE", "1")), torch.cuda.device_count()
    if wanted > present:
        raise TrainingError(
            f"{wanted} processes on this machine, which has {present} GPUs; each process needs its own. Lower "
            "train.processes, or set train.device: cpu"
        )
    return int(os.environ.get("LOCAL_RANK", "0"))


def leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def world() -> World:
    return World(dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else ALONE


def bounds(num_rows: int, here: World) -> slice:
    """This process's share of a batch. One too small to share is computed whole by every process."""
    if num_rows < LEAST_SHARE * here.size:
        return slice(0, num_rows)
    each, over = divmod(num_rows, here.size)
    start = here.rank * each + min(here.rank, over)
    return slice(start, start + each + (here.rank < over))


def summed(tensor: Tensor, here: World) -> Tensor:
    """The sum over all processes, in place."""
    if here.size > 1:
        dist.all_reduce(tensor)
    return tensor


def gathered(outputs_bC: Tensor, mine: slice, num_rows: int, here: World) -> Tensor:
    """The outputs [B, C] of a whole batch, of which each process computed its share."""
    outputs_BC = outputs_bC.new_zeros(num_rows, *outputs_bC.shape[1:])
    outputs_BC[mine] = outputs_bC
    return summed(outputs_BC, here)


def require_same(steps: int, here: World) -> None:
    """Raise TrainingError where a process went on from another checkpoint than the first one."""
    first = int(agreed(steps, here))
    if steps != first:
        raise TrainingError(
            f"process {here.rank} found a checkpoint of {steps} steps, and process 0 one of {first}. INGOT_STORE must "
            "be one folder that all machines see"
        )


def agreed(value: float, here: World) -> float:
    """What the leading process found: clocks differ."""
    if here.size == 1:
        return value
    told = torch.tensor(value, dtype=torch.float64)
    dist.broadcast(told, 0)
    return float(told)


def spread(network: nn.Module, here: World, device: torch.device, *, shard: bool) -> Callable[..., Tensor]:
    """The network made one of many, in place; what is returned is to be called in its stead.

    Copies that exchange gradients (DDP), or with `shard` each a part of the weights, gathered block by block when
    they are needed (FSDP2): then gradients and the optimiser's memory are split too.
    """
    if here.size == 1:
        return network
    normalise_together(network, device)
    if not shard:
        ids = [torch.cuda.current_device()] if device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(network, device_ids=ids)
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(device.type, (here.size,))
    for block in blocks_of(network):
        fully_shard(block, mesh=mesh)
    fully_shard(network, mesh=mesh)
    return network


def apart(network: Any, more: bool) -> AbstractContextManager[None]:
    """Keep gradients to this process while `more` parts of the batch follow."""
    found: AbstractContextManager[None] = network.no_sync() if more and hasattr(network, "no_sync") else nullcontext()
    return found


def blocks_of(network: nn.Module) -> Iterable[nn.Module]:
    """What a network repeats: members of its lists named `layers`, each of which is called as a whole."""
    for module in network.modules():
        listed = getattr(module, "layers", None)
        if isinstance(listed, (nn.ModuleList, nn.Sequential)):
            yield from (member for member in listed if next(member.parameters(), None) is not None)


def whole(tensor: Tensor) -> Tensor:
    """On the CPU. What is sharded is gathered by all processes, which must ask together."""
    gather = getattr(tensor, "full_tensor", None)  # asked so, since importing DTensor takes 0.7 s
    found: Tensor = tensor if gather is None else gather()
    return found.detach().cpu()


def like(tensor: Tensor, model: Tensor) -> Tensor:
    """A whole tensor, on `model`'s device and sharded as it is."""
    moved = tensor.to(model.device)
    if not hasattr(model, "full_tensor"):
        return moved
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(model, DTensor)
    return distribute_tensor(moved, model.device_mesh, model.placements, src_data_rank=None)


class Summed(torch.autograd.Function):
    """The sum over all processes, of values and of gradients."""

    @staticmethod
    def forward(context: Any, tensor: Tensor) -> Tensor:
        return summed(tensor.clone(), world())

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        return summed(gradients[0].clone(), world())


def summed_with_gradients(tensor: Tensor) -> Tensor:
    found: Tensor = Summed.apply(tensor)  # type: ignore[no-untyped-call]
    return found


class TogetherNorm(nn.modules.batchnorm._BatchNorm):
    """Batch normalisation by the statistics of all processes' rows; torch's own knows GPUs alone."""

    def _check_input_dim(self, input: Tensor) -> None:
        pass

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        values = input.float()  # as torch does: bfloat16 counts rows to 256 alone
        axes, wide = [0, *range(2, input.ndim)], (1, -1, *[1] * (input.ndim - 2))
        rows = values.new_tensor([input.numel() / input.shape[1]])
        found = summed_with_gradients(torch.cat([values.sum(axes), rows]))
        count = found[-1].detach()
        mean_C = found[:-1] / count
        apart = values - mean_C.view(wide)
        var_C = summed_with_gradients(apart.square().sum(axes)) / count
        self.note(mean_C.detach(), var_C.detach() * count / (count - 1))
        normal = apart * torch.rsqrt(var_C + self.eps).view(wide)
        outputs: Tensor = normal * self.weight.view(wide) + self.bias.view(wide) if self.affine else normal
        return outputs.to(input.dtype)

    @torch.no_grad()
    def note(self, mean_C: Tensor, var_C: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.momentum is not None
        self.running_mean.lerp_(mean_C, self.momentum)
        self.running_var.lerp_(var_C, self.momentum)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)


def normalise_together(network: nn.Module, device: torch.device) -> None:
    for name, module in network.named_children():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            setattr(network, name, together(module, device))
        else:
            normalise_together(module, device)


def together(norm: nn.modules.batchnorm._BatchNorm, device: torch.device) -> nn.Module:
    """The same layer, weights and memory, over all processes."""
    if device.type == "cuda":
        converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(norm)  # type: ignore[no-untyped-call]
        return converted
    found = TogetherNorm(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
    for name, tensor in [*norm.named_parameters(), *norm.named_buffers()]:
        setattr(found, name, tensor)
    return found.train(norm.training)
