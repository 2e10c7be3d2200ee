"""Run folders as a training leaves them, made in no time: records, curves, evaluation and views with known numbers."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SOURCE = "import torch\n\nmodel = torch.nn.Sequential(torch.nn.Flatten())\n"


def fake_run(folder: Path, number: int = 0, changed: Mapping[str, str] | None = None, **fields: Any) -> Path:
    """A completed run with curves; `fields` replace what its record says, None takes it away."""
    changed = {"seed": "0", **(changed or {})}
    draw = random.Random(f"{number} {changed}")
    folder.mkdir(parents=True, exist_ok=True)
    value = fields.pop("value", 0.8 + 0.1 * draw.random())
    epochs = fields.pop("epochs", 3)
    told = {
        "status": "completed",
        "started": f"2026-03-04T{12 + number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}.000+00:00",
        "finished": "2026-03-05T12:00:00.000+00:00",
        "command": "python -m cnnexp --multirun",
        "overrides": [f"{k}={v}" for k, v in changed.items()],
        "choices": {"model": "net", "data": "digits"},
        "changed": dict(changed),
        "sweep": {"number": number},
        "seed": int(changed["seed"]) if changed["seed"].isdigit() else changed["seed"],
        "monitor": "val_accuracy",
        "mode": "max",
        "best": {"epoch": epochs - 1, "val_accuracy": value},
        "metrics": {"val_accuracy": value, "test_accuracy": value, "test_loss": 0.25},
        "parameters": 1000 + 10 * number,
        "multiply_adds": 500_000,
        "seconds": 10.0 + draw.random(),
        "samples_per_s": 1000.0,
        "attempts": [{"started": "2026-03-04T12:00:00+00:00", "ended": None, "outcome": "completed", "from_step": 0}],
        "versions": {"python": "3.11.7", "torch": "2.15.0"},
        "device": "cpu",
        "data_fingerprint": "7ab040d629b61e1a",
        **fields,
    }
    write_json(folder / "run.json", {k: v for k, v in told.items() if v is not None})
    rows = ["epoch,step,train_accuracy,train_loss,val_accuracy,val_loss,learning_rate,samples_per_s"]
    for epoch in range(epochs):
        reached = (value if isinstance(value, float) else 0.5) * (1 - 0.5 ** (epoch + 1))
        rows.append(
            f"{epoch},{10 * epoch},{reached},{1 - reached},{reached - 0.01},{1.1 - reached},0.001,{900 + epoch}"
        )
    (folder / "metrics.csv").write_text("\n".join(rows) + "\n")
    (folder / "config.yaml").write_text("model: {layers: [Flatten]}\n")
    (folder / "layers.txt").write_text("layer  output\nFlatten()  192\n")
    (folder / "model.py").write_text(SOURCE)
    (folder / "log.txt").write_text("line one\nthe last line\n")
    return folder


def fake_sweep(
    root: Path, factors: Mapping[str, Sequence[str]], seeds: int = 2, views: bool = False, **fields: Any
) -> Path:
    """A sweep over all combinations of the factors' values, `seeds` runs of each."""
    points: list[dict[str, str]] = [{}]
    for name, values in factors.items():
        points = [{**point, name: value} for point in points for value in values]
    jobs = [{**point, "seed": str(seed)} for point in points for seed in range(seeds)]
    for number, changed in enumerate(jobs):
        folder = fake_run(root / f"{number}_job", number, changed, **fields)
        if views:
            fake_views(folder, number)
    return root


def fake_views(
    folder: Path, number: int = 0, layers: int = 4, samples: int = 8, channels: int = 16, size: int = 32
) -> None:
    """Pictures of noise, which no packing makes smaller, and statistics."""
    noise = np.random.default_rng(number)
    (folder / "views" / "plain").mkdir(parents=True, exist_ok=True)
    images = []
    told = [("input", "", "", 1, 3), *(("output", str(i), "Conv2d", channels, 1) for i in range(layers))]
    for kind, layer, type_, columns, colours in told:
        name = f"{layer or 'input'}_{kind}.png"
        tiles = noise.integers(0, 255, (samples, columns, size, size, colours), dtype=np.uint8)
        Image.fromarray(on_a_mat(tiles).squeeze()).save(folder / "views" / "plain" / name)
        images.append(
            {
                "file": f"views/{name}",
                "plain": f"views/plain/{name}",
                "kind": kind,
                "layer": layer,
                "type": type_,
                "shape": [channels if layer else 3, size, size],
            }
        )
    statistics = [
        {
            "name": str(i),
            "type": "Conv2d",
            "shape": [16, 32, 32],
            "mean": 0.25,
            "sd": 1.5,
            "dead": 0.125,
            "saturated": None,
            "gradient_norm": 0.003,
        }
        for i in range(layers)
    ]
    probe = {"split": "val", "indices": list(range(samples)), "labels": [i % 10 for i in range(samples)]}
    write_json(
        folder / "views" / "views.json",
        {"epoch": 2, "step": 30, "probe": probe, "layers": statistics, "images": images},
    )


def on_a_mat(tiles: np.ndarray) -> np.ndarray:
    """Tiles (rows, columns, height, width, colours) as one picture, with two pixels of grey around each."""
    rows, columns, height, width, colours = tiles.shape
    page = np.full((rows * (height + 2) + 2, columns * (width + 2) + 2, colours), 205, np.uint8)
    inside = page[2:, 2:].reshape(rows, height + 2, columns, width + 2, colours)
    inside[:, :height, :, :width] = tiles.swapaxes(1, 2)
    return page


def fake_evaluation(folder: Path, confusion: Sequence[Sequence[int]], names: Sequence[str] | None = None) -> None:
    """A confusion matrix, with a mistake that has a picture and one that has none."""
    (folder / "views" / "plain").mkdir(parents=True, exist_ok=True)
    strip = np.full((32, 64, 3), 255, np.uint8)
    strip[:, 32:] = 128
    Image.fromarray(strip).save(folder / "views" / "plain" / "wrong.png")
    last = len(confusion) - 1
    wrong: list[dict[str, Any]] = [
        {
            "index": 7,
            "label": 0,
            "predicted": last,
            "probability": 0.75,
            "image": "views/plain/wrong.png",
            "box": [32, 0, 64, 32],
        },
        {"index": 9, "label": last, "predicted": 0, "probability": 0.5},
    ]
    told = {"split": "test", "samples": int(np.sum(confusion)), "class_names": names, "wrong": wrong}
    write_json(folder / "evaluation.json", {**told, "confusion": [list(map(int, row)) for row in confusion]})


def write_json(path: Path, told: object) -> None:
    """Write plain data."""
    path.write_text(json.dumps(told, ensure_ascii=False), encoding="utf-8")
