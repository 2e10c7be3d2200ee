"""Sweeps whose launchers and workers are killed at random moments, by the real command: the long version of the test.

python benchmarks/kills.py [kills [seed]]
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.sweeping import JOBS, cnnexp, disturb, figures, furnish, sweep_folder, weights


def main(wanted: int, seed: int) -> None:
    """Kill until it is enough; every sweep must end as one that nothing happened to."""
    random, kills, sweeps = Random(seed), Counter[str](), 0
    with tempfile.TemporaryDirectory() as folder:
        calm = Path(folder) / "calm"
        calm.mkdir()
        furnish(calm)
        assert cnnexp(calm, *JOBS, real=True).code == 0
        while kills.total() < wanted:
            work = Path(folder) / f"disturbed-{sweeps}"
            work.mkdir()
            furnish(work)
            disturb(work, random, kills, real=True)
            sweeps += 1
            same = figures(sweep_folder(work)) == figures(sweep_folder(calm))
            bits = weights(sweep_folder(work)) == weights(sweep_folder(calm))
            print(f"sweep {sweeps}: {dict(kills)} kills so far; table equal: {same}; weights equal: {bits}", flush=True)
            if not (same and bits):
                raise SystemExit("something was lost")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200, int(sys.argv[2]) if len(sys.argv) > 2 else 0)
