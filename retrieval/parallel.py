"""Training steps over several processes, with the loss and the weights of one.

    together(2, work)        `work(peers)` here and in copies of this process: forked, so the data is in memory once; gloo
    under torchrun           `work(peers)` in the processes that torchrun has started, once they have joined
                             (`embeddings.sharded.joined`): gloo on CPUs, nccl on GPUs, which was not run here

All peers draw the same random numbers, so they agree on every batch. Each computes the vectors of its share of the queries and
of its share of the candidates. What then crosses between processes, and why it is enough:

    candidates   `gathered`: every query needs every candidate as a negative. Its gradient goes back to whoever computed it,
                 summed over all peers' queries. Queries stay where they are: nothing is compared with them.
    table rows   `shared`: each peer looks all rows of the batch up in its own copy, and their gradient is summed before it
                 reaches the table, so tables that update themselves during backward take the same step everywhere.
    layers       `sum_gradients`, once per step.

A peer's loss is its queries' part of the mean, so sums are the gradients of one process up to the order of additions. Dropout
inside a transformer is the exception: each peer draws its own, as many as in one process but not the same ones.
Knows nothing of towers.
"""

import multiprocessing
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed, nn

from core.errors import ConfigError

T = TypeVar("T")
_PATIENCE_S = 10.0
"""How long copies may take to end after the last step."""


@dataclass(frozen=True)
class Peers:
    """This process among those that train together. Alone, everything here is the identity."""

    rank: int = 0
    size: int = 1
    copy: bool = False
    """Made by `together`: what it would report, another process reports."""

    def share(self, num: int) -> slice:
        """This process's part of `num` things."""
        return slice(num * self.rank // self.size, num * (self.rank + 1) // self.size)

    def gathered(self, part: Tensor, share: slice, num: int) -> Tensor:
        """All `num` rows, of which this process has computed `share`; differentiable. [num, …]"""
        return part if self.size == 1 else _Gathered.apply(part, share, num)

    def shared(self, value: Tensor) -> Tensor:
        """What every process has computed alike; its gradient is everyone's. As `value`."""
        return value if self.size == 1 else _Shared.apply(value)

    def total(self, part: Tensor) -> Tensor:
        """The sum over processes, not differentiable."""
        return part if self.size == 1 else _sum(part)

    def all_of(self, part: NDArray[np.int32], share: slice, num: int, device: torch.device) -> NDArray[np.int32]:
        """The same for numbers that nothing is learned from."""
        return part if self.size == 1 else self.gathered(torch.from_numpy(part).to(device), share, num).cpu().numpy()

    def any_of(self, flags: NDArray[np.bool_], device: torch.device) -> NDArray[np.bool_]:
        """Where any process has True."""
        if self.size == 1:
            return flags
        found = torch.from_numpy(flags.view(np.uint8)).to(device)
        distributed.all_reduce(found, distributed.ReduceOp.MAX)
        return found.cpu().numpy().view(np.bool_)

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Give every process the sum of all gradients, in one message."""
        if self.size == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        total = _sum(torch.cat([gradient.flatten() for gradient in gradients]))
        for gradient, found in zip(gradients, total.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(found.view_as(gradient))


ALONE = Peers()


class _Gathered(torch.autograd.Function):
    """A sum of parts that are zero elsewhere: shares may differ in size, and adding zeros rounds nothing."""

    @staticmethod
    def forward(ctx: Any, part: Tensor, share: slice, num: int) -> Tensor:
        ctx.share = share
        whole = part.new_zeros(num, *part.shape[1:])
        whole[share] = part
        distributed.all_reduce(whole)
        return whole

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return _sum(grads[0])[ctx.share], None, None


class _Shared(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return _sum(grads[0])


def _sum(part: Tensor) -> Tensor:
    whole = part.clone(memory_format=torch.contiguous_format)
    distributed.all_reduce(whole)
    return whole


def together(processes: int, work: Callable[[Peers], T]) -> T:
    """What `work` returns in this process, while its peers do the same.

    Args:
        processes: how many; in a process group that was joined before, as many as that has.
        work: takes the same steps in the same order in every process.

    Raises:
        ConfigError: copies of this process cannot be made.
    """
    if distributed.is_available() and distributed.is_initialized():
        return work(Peers(distributed.get_rank(), distributed.get_world_size()))
    if processes == 1:
        return work(ALONE)
    if torch.cuda.is_available() or sys.platform != "linux":
        raise ConfigError(
            f"processes = {processes} makes copies of this process, which works on Linux without a GPU; "
            "elsewhere leave it at 1 and use torchrun"
        )
    return _with_copies(processes, work)


def _with_copies(processes: int, work: Callable[[Peers], T]) -> T:
    """As rank 0 of a group whose others are forked here and end with it."""
    context, threads = multiprocessing.get_context("fork"), torch.get_num_threads()
    with TemporaryDirectory() as folder:
        ranks = range(1, processes)
        meeting = Path(folder) / "meeting"
        copies = [
            context.Process(target=_copy, args=(Peers(rank, processes, copy=True), meeting, work), daemon=True)
            for rank in ranks
        ]
        for copy in copies:
            copy.start()
        try:
            return _meet(Peers(0, processes), meeting, work)
        finally:
            torch.set_num_threads(threads)
            for copy in copies:
                copy.join(_PATIENCE_S)
                copy.kill()


def _copy(peers: Peers, meeting: Path, work: Callable[[Peers], object]) -> None:
    """In a thread of its own: OpenMP's workers did not survive the fork, and a new thread gets new ones."""
    thread = threading.Thread(target=_meet, args=(peers, meeting, work))
    thread.start()
    thread.join()


def _meet(peers: Peers, meeting: Path, work: Callable[[Peers], T]) -> T:
    torch.set_num_threads(max(1, torch.get_num_threads() // peers.size))
    distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=peers.rank, world_size=peers.size)
    try:
        return work(peers)
    finally:
        distributed.destroy_process_group()
