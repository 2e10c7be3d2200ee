"""Small networks, and the advice on them, for the tests of advice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cnnexp.architecture.advice import advise
from cnnexp.architecture.parsing import parse
from cnnexp.architecture.plan import Plan
from cnnexp.architecture.planning import make_plan

Shape = tuple[int, ...]
IMAGE = (3, 32, 32)


def conv(out: int = 8, kernel: Any = 3, **more: Any) -> dict[str, Any]:
    return {"type": "Conv2d", "out_channels": out, "kernel_size": kernel, **more}


def linear(out: int = 10, **more: Any) -> dict[str, Any]:
    return {"type": "Linear", "out_features": out, **more}


def planned(layers: Sequence[Any], shape: Shape = IMAGE, **more: Any) -> Plan:
    stack, problems = parse({"layers": list(layers), **more})
    plan, misfits = make_plan(stack, shape)
    assert [*problems, *misfits] == []
    return plan


def told(layers: Sequence[Any], shape: Shape = IMAGE, loss: str | None = None, **more: Any) -> list[str]:
    return [f"[{a.code}] {a.message} -> {a.hint}" for a in advise(planned(layers, shape, **more), loss)]


def codes(layers: Sequence[Any], shape: Shape = IMAGE, loss: str | None = None, **more: Any) -> list[str]:
    return [a.code for a in advise(planned(layers, shape, **more), loss)]


POOLED = ["ReLU", {"type": "AdaptiveAvgPool2d", "output_size": 1}, "Flatten"]
DEPTHWISE = conv(32, groups=32, padding=1)
WIDEN = conv(32, 1)
MAX = {"type": "MaxPool2d", "kernel_size": 2}
UP = {"type": "ConvTranspose2d", "out_channels": 4, "kernel_size": 3, "stride": 2}
MORE = "layers[0] Conv2d: with layers[1] Conv2d behind it and no activation between, the two are one"
