"""What two gloo processes make of a batch that they share, against one process with all of it: see test_gather.py.

python -m tests.losses.two_processes <empty folder>
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from xkd_bench.losses.contrastive import cmc, ntxent
from xkd_bench.losses.gather import gathered
from xkd_bench.losses.queue import FeatureQueue
from xkd_bench.losses.similarity import cmd

WORLD = 2
SPLITS = ((6, 6), (7, 3))  # items of each rank
CONCEPT = torch.tensor([0, 0, 1, 2, 3, 3, 0, 5, 6, 7, 7, 2])
Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def losses() -> Iterator[tuple[str, Loss]]:
    """Of the teacher's features, the student's, and concepts; chunked ones too, for they gather before they chunk."""
    for chunk in (None, 2):
        yield f"ntxent {chunk}", lambda a, b, c, k=chunk: ntxent(b, b.flip(1) + 0.1, 0.3, chunk=k)
        yield f"cmc {chunk}", lambda a, b, c, k=chunk: cmc(a, b, 0.3, chunk=k)
        yield f"cmc concepts {chunk}", lambda a, b, c, k=chunk: cmc(a, b, 0.3, c, chunk=k)
        yield f"cmd seed {chunk}", lambda a, b, c, k=chunk: cmd(a, b, tau_s=0.2, chunk=k).loss
        yield f"cmd intra {chunk}", lambda a, b, c, k=chunk: cmd(a, b, form="intra", include_self=False, chunk=k).loss


def network() -> nn.Module:
    """A small student, with a convolution; no batch norm, whose statistics are a matter of their own."""
    torch.manual_seed(0)
    layers = nn.Conv2d(1, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 3 * 3, 5)
    return nn.Sequential(*layers).double()


def batch(n: int) -> tuple[Tensor, Tensor, Tensor]:
    """Teacher's features, student's images, concepts."""
    generator = torch.Generator().manual_seed(1)
    a = torch.randn(n, 5, generator=generator, dtype=torch.float64)
    return a, torch.randn(n, 1, 8, 8, generator=generator, dtype=torch.float64), CONCEPT[:n]


def step(model: nn.Module, loss: Loss, a: Tensor, x: Tensor, concept: Tensor) -> tuple[Tensor, list[Tensor]]:
    model.zero_grad()
    value = loss(gathered(a), gathered(model(x)), gathered(concept))
    value.backward()
    return value.detach(), [p.grad.clone() for p in model.parameters() if p.grad is not None]


def compare(rank: int, folder: str) -> None:
    """One rank: its share under DDP against the whole batch alone."""
    expected = {
        (split, name): step(network(), loss, *batch(sum(split))) for split in SPLITS for name, loss in losses()
    }  # before there is a process group: gathered() does nothing
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=WORLD)
    for split in SPLITS:
        share = slice(0, split[0]) if rank == 0 else slice(split[0], sum(split))
        mine = [t[share] for t in batch(sum(split))]
        for name, loss in losses():
            value, gradients = step(DistributedDataParallel(network()), loss, *mine)
            right, right_gradients = expected[split, name]
            torch.testing.assert_close(value, right, rtol=1e-12, atol=0)
            assert len(gradients) == len(right_gradients) == 4
            for g, r in zip(gradients, right_gradients, strict=True):
                torch.testing.assert_close(g, r, rtol=1e-9, atol=1e-13)
            assert max(g.abs().max() for g in gradients) > 1e-4
        queue = FeatureQueue(16, 5)
        queue.push(gathered(mine[0]), gathered(mine[2]))
        torch.testing.assert_close(queue.concept[: sum(split)], CONCEPT[: sum(split)])
    # Ranks whose losses differ: the gradient is that of the mean of the losses, by hand here.
    z = torch.full((rank + 1,), 2.0, requires_grad=True)
    ((rank + 1) * gathered(z)).sum().backward()
    assert z.grad is not None
    assert z.grad.tolist() == [3.0] * (rank + 1)
    print(f"rank {rank}: {len(expected)} agree", flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    torch.set_num_threads(1)
    mp.start_processes(compare, args=(str(Path(sys.argv[1])),), nprocs=WORLD, start_method="fork")
