"""The time of a sweep as ratios, measured by turns: ours, Hydra's basic launcher, and one process after another.

python benchmarks/sweep.py [rounds [models …]]
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

APP = Path(__file__).parent / "plain" / "app.py"
SEEDS = range(4)
ACTIVATIONS = ("ReLU", "Sigmoid")
MODELS = ("mlp", "net", "tudui")


def run(words: Sequence[str], folder: str) -> None:
    """Run a command in a folder; its output is shown only where it fails."""
    done = subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} failed:\n{done.stderr}")


def ours(model: str, folder: str) -> None:
    """Eight runs of three epochs through cnnexp."""
    seeds, activations = ",".join(map(str, SEEDS)), ",".join(ACTIVATIONS)
    words = [f"seed={seeds}", f"model.activation={activations}", "trainer.max_epochs=3", "trainer.accelerator=cpu"]
    run(["-m", "cnnexp", "--multirun", f"model={model}", *words], folder)


def basic(model: str, folder: str) -> None:
    """The same through a plain application and Hydra's basic launcher."""
    seeds, activations = ",".join(map(str, SEEDS)), ",".join(ACTIVATIONS)
    run([str(APP), "--multirun", f"model={model}", f"seed={seeds}", f"activation={activations}"], folder)


def separate(model: str, folder: str) -> None:
    """The same as eight commands, one after another."""
    for seed in SEEDS:
        for activation in ACTIVATIONS:
            run([str(APP), f"model={model}", f"seed={seed}", f"activation={activation}"], folder)


def seconds(work: Callable[[str, str], None], model: str) -> float:
    """Wall time of some work in an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        work(model, folder)
        return time.perf_counter() - began


def main(rounds: int, models: Sequence[str]) -> None:
    """Measure by turns, after a round that does not count, and print the medians and their ratios."""
    ways = {"cnnexp": ours, "Hydra's basic launcher": basic, "8 processes": separate}
    for model in models:
        print(f"8 runs of {model}, 3 epochs on the digits, {os.cpu_count()} cores, {rounds} rounds")
        times: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(rounds + 1):
            for name, work in ways.items():
                if turn or work is not separate:
                    found = seconds(work, model)
                    times[name] += [found] if turn else []
        medians = {name: statistics.median(found) for name, found in times.items()}
        for name, median in medians.items():
            print(f"  {name:24}{median:8.2f} s   ours ÷ this {medians['cnnexp'] / median:6.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3, sys.argv[2:] or MODELS)
