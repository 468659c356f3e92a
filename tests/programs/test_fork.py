"""Programs in processes that are forked after a program was solved: HiGHS's threads are not copied."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

# Far more than the children need; one that waits for threads that are not there never ends.
SECONDS = 120
SCRIPT = """
import multiprocessing
from torch.utils.data import DataLoader
from relu_attack.programs import solve
from tests.programs.examples import hard, knapsack

class Solved:
    def __len__(self):
        return 2

    def __getitem__(self, index):
        return solve(knapsack()).value

def answer(queue):
    queue.put((solve(knapsack()).value, solve(hard(feasible_at_once=True), time_limit=0.3).value > 0))

if __name__ == "__main__":
    solve(knapsack()), solve(hard(feasible_at_once=True), time_limit=0.3)
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=answer, args=(queue,))
    child.start()
    print(*queue.get())
    child.join()
    print(*[float(value) for value in DataLoader(Solved(), num_workers=1, multiprocessing_context="fork")])
    print(solve(knapsack()).value)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_forked_processes_and_workers_of_data_loaders_solve_programs(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    (tmp_path / "forking.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, tmp_path / "forking.py"],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
    )
    assert done.stdout.split("\n") == ["18.0 True", "18.0 18.0", "18.0", ""]
