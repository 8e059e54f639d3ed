"""Several processes that train together on this machine (gloo); they are forked, so torch is imported once."""

import multiprocessing
import os
import warnings


def in_a_world_of(world, folder, function, *arguments):
    """Run function(folder, *arguments) in each of `world` processes; arguments are words."""
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_work, args=(r, world, folder, function, arguments), daemon=True) for r in range(world)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * world


def _work(rank, world, folder, function, arguments):
    import torch

    warnings.filterwarnings("ignore", category=FutureWarning, message=".*is deprecated. Please use")  # torchrec calls torch so
    torch.set_num_threads(1)  # a fork does not inherit the threads that OpenMP counts on
    os.environ.update(LOCAL_WORLD_SIZE=str(world), LOCAL_RANK=str(rank), RANK=str(rank), WORLD_SIZE=str(world))
    meeting = folder / f"meeting-{world}-{function.__name__}-{'-'.join(arguments)}"
    torch.distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=world)
    function(folder, *arguments)
    torch.distributed.destroy_process_group()
