"""Two real processes with half a batch each give the loss and the gradients of one with all of it."""

import re

import torch

from xkd_bench.losses.gather import gathered


def test_one_process_has_all_it_needs():
    z = torch.ones(3, 2, requires_grad=True)
    assert gathered(z) is z


def test_two_processes_are_one(bare, tmp_path):
    code = f"""
import runpy, sys
sys.argv = ["", {str(tmp_path)!r}]
runpy.run_module("tests.losses.two_processes", run_name="__main__")
"""
    (ended,) = bare.run(code, kill_after=None)
    assert ended.code == 0, ended.err
    # Both write to one stream, and may do so at the same moment.
    assert sorted(re.findall(r"rank \d: \d+ agree", ended.out)) == ["rank 0: 20 agree", "rank 1: 20 agree"]
