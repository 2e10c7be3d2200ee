"""What stands for torchvision's layers in stand-alone source does what torchvision's do."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torchvision import ops

import cnnexp
from cnnexp.architecture import importer
from cnnexp.architecture.python import standins

pytestmark = pytest.mark.slow

CASES: list[tuple[str, dict[str, Any], tuple[int, ...]]] = [
    ("StochasticDepth", {"p": 0.5, "mode": "row"}, (3, 4, 4)),
    ("StochasticDepth", {"p": 0.5, "mode": "batch"}, (3, 4, 4)),
    ("StochasticDepth", {"p": 0.0, "mode": "row"}, (5,)),
    ("StochasticDepth", {"p": 1.0, "mode": "batch"}, (5,)),
    ("Permute", {"dims": [0, 2, 3, 1]}, (3, 4, 5)),
    ("SqueezeExcitation", {"input_channels": 6, "squeeze_channels": 2}, (6, 4, 5)),
]


@pytest.mark.parametrize(("name", "params", "shape"), CASES)
def test_a_stand_in_gives_what_torchvisions_layer_gives(
    name: str, params: dict[str, Any], shape: tuple[int, ...]
) -> None:
    own: nn.Module = getattr(standins, name)(**params)
    theirs: nn.Module = getattr(ops, name)(**params)
    assert repr(own) == repr(theirs)
    own.load_state_dict(theirs.state_dict())
    batch = torch.randn(8, *shape)
    for training in (True, False):
        outs = []
        for layer in (own.train(training), theirs.train(training)):
            torch.manual_seed(3)
            outs.append(layer(batch.clone()))
        assert torch.equal(*outs)


@pytest.mark.parametrize(("name", "params", "shape"), CASES)
def test_stand_alone_source_imports_torch_alone_and_comes_back(
    name: str, params: dict[str, Any], shape: tuple[int, ...]
) -> None:
    plan = cnnexp.plan({"layers": [{"type": name, **params}]}, input_shape=shape)
    source = plan.source()
    assert "torchvision" not in "".join(line for line in source.splitlines() if "import" in line)
    scope: dict[str, Any] = {}
    torch.manual_seed(0)
    exec(source, scope)
    assert repr(scope["model"]) == repr(plan.build())
    state = plan.build(0).state_dict()
    assert all(torch.equal(value, state[key]) for key, value in scope["model"].state_dict().items())
    imported, problems = importer.checked(scope["model"], shape)
    assert problems == []
    (entry,) = imported.model["layers"]
    assert entry["type"] == name


def test_efficientnet_needs_torch_alone() -> None:
    source = cnnexp.plan("efficientnet_b0").source()
    assert [line for line in source.splitlines() if line.startswith(("import ", "from "))] == [
        "from collections import OrderedDict",
        "import torch",
        "from torch import Tensor, nn",
    ]
