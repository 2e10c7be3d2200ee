"""Weights from files: all of them or a part, every one that does not fit is told, and nothing but tensors is read."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from cnnexp import weights
from cnnexp.architecture import start
from tests.test_start import IMAGE, LAYERS, attempt, conv, linear, planned, printed, same, told


class Evil:
    """Runs code where it is unpickled carelessly."""

    def __init__(self, at: Path) -> None:
        self.at = at

    def __reduce__(self) -> Any:
        return (os.mkdir, (str(self.at),))


class TestLoading:
    @pytest.fixture
    def model(self) -> nn.Module:
        model = planned().build(seed=3)
        model(torch.randn(4, *IMAGE))  # so that the running statistics are no zeros
        return model

    @pytest.fixture
    def saved(self, model: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.chdir(tmp_path)
        state = model.state_dict()
        torch.save(state, "plain.pt")
        torch.save(state, "old.pth", _use_new_zipfile_serialization=False)
        save_file(state, "safe.safetensors")
        prefixed = {f"model.{k}": v for k, v in state.items()}
        torch.save({"state_dict": {**prefixed, "loss.weight": torch.ones(3)}, "epoch": 1}, "light.ckpt")
        (tmp_path / "run" / "checkpoints").mkdir(parents=True)
        shutil.copy("light.ckpt", "run/checkpoints/best.ckpt")
        return tmp_path

    @pytest.mark.parametrize("file", ["plain.pt", "old.pth", "safe.safetensors", "light.ckpt", "run"])
    def test_all_of_it_is_loaded_with_its_statistics(self, saved: Path, model: nn.Module, file: str) -> None:
        plan = planned([{"from": file}])
        assert same(plan.build(seed=0), model)
        assert same(printed(plan, 0), model)
        assert same(planned([{"match": "*", "from": str(saved / file)}]).build(), model)

    def test_a_part_of_it_is_loaded_and_the_rest_is_drawn(self, saved: Path, model: nn.Module) -> None:
        layers = [*LAYERS[:-1], linear(2, name="head")]
        plan = planned([{"match": ["stem", "bo*"], "from": "run"}, {"match": "stem", "bias": "zeros_"}], layers=layers)
        fresh = planned(layers=layers).build(seed=0)
        for built in (plan.build(seed=0), printed(plan, 0)):
            for name, value in built.state_dict().items():
                drawn = fresh if name.startswith(("1.", "head.")) else model
                zeros = name == "stem.bias"
                assert torch.equal(value, torch.zeros(4) if zeros else drawn.state_dict()[name]), name

    def test_a_layer_that_is_called_model_keeps_its_name(self, tmp_path: Path) -> None:
        layers = [conv(name="model")]
        model = planned(layers=layers).build(seed=5)
        save_file(model.state_dict(), tmp_path / "a.safetensors")
        torch.save(model.state_dict(), tmp_path / "b.pt")
        torch.save({"state_dict": {f"model.{k}": v for k, v in model.state_dict().items()}}, tmp_path / "c.ckpt")
        for file in ("a.safetensors", "b.pt", "c.ckpt"):
            plan = planned([{"from": str(tmp_path / file)}], layers=layers)
            assert same(plan.build(), model)
            assert same(printed(plan, 0), model)

    def test_every_weight_that_does_not_fit_is_told(self, saved: Path) -> None:
        layers = [conv(6, name="stem"), "BatchNorm2d", "Flatten", linear(name="haed")]
        texts = told([{"match": ["stem", "haed"], "from": "plain.pt"}], layers=layers)
        assert texts == [
            "init[0]: stem.weight is 4×3×3×3 in 'plain.pt', but 6×3×3×3 in this network",
            "init[0]: stem.bias is 4 in 'plain.pt', but 6 in this network",
            "init[0]: 'plain.pt' has no haed.weight (5×216); did you mean 'head.weight'?",
            "init[0]: 'plain.pt' has no haed.bias (5); did you mean 'head.bias'?",
        ]

    def test_a_name_that_another_layer_has_already_is_not_proposed(self, saved: Path) -> None:
        first = planned(layers=[conv()]).build().state_dict()
        torch.save(first, "first.pt")
        assert told([{"from": "first.pt"}], layers=[conv(), conv(bias=False)]) == [
            "init[0]: 'first.pt' has no 1.weight (4×4×3×3)"
        ]

    def test_what_the_file_has_and_the_network_has_not_is_told_and_a_long_list_is_cut(
        self, saved: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(start, "_FEW", 5)
        assert told([{"from": "plain.pt"}], layers=[conv(name="stem")]) == [
            "init[0]: 'plain.pt' has 1.weight, which this network has not",
            "init[0]: 'plain.pt' has 1.bias, which this network has not",
            "init[0]: 'plain.pt' has 1.running_mean, which this network has not",
            "init[0]: 'plain.pt' has 1.running_var, which this network has not",
            "init[0]: 'plain.pt' has 1.num_batches_tracked, which this network has not",
            "init[0]: 10 more weights do not fit",
        ]
        assert told([{"match": "stem", "from": "light.ckpt"}], layers=[conv(name="stem")]) == []

    def test_layers_without_weights_are_told(self, saved: Path) -> None:
        (problem,) = attempt([{"match": "ReLU", "from": "plain.pt"}])[1]
        assert (problem.code, problem.path) == ("no-match", ("init", 0, "match"))
        assert problem.message == "init[0]: no layer that matches has weights"

    @pytest.mark.parametrize("name", ["a.pt", "a.ckpt", "a.safetensors"])
    def test_a_damaged_file_is_a_problem_and_never_a_crash(self, saved: Path, name: str) -> None:
        sound = Path({"a.pt": "old.pth", "a.ckpt": "plain.pt"}.get(name, "safe.safetensors")).read_bytes()
        generator = torch.Generator().manual_seed(0)
        refused = 0
        for _ in range(150):
            at, value, end = (int(torch.randint(n, (), generator=generator)) for n in (len(sound), 256, 3 * len(sound)))
            Path(name).write_bytes((sound[:at] + bytes([value]) + sound[at + 1 :])[: max(end, 1)])
            try:
                weights.read(name)
            except weights.UnreadableWeights:
                refused += 1
        assert refused > 20

    def test_nothing_but_plain_tensors_is_read(self, saved: Path) -> None:
        trap = saved / "touched"
        torch.save(nn.Linear(2, 2), "module.pt")
        torch.save({"state_dict": {"stem.weight": torch.ones(1)}, "more": Evil(trap)}, "evil.pt")
        Path("pickle.pt").write_bytes(pickle.dumps(Evil(trap)))
        Path("text.pt").write_text("weights")
        Path("empty.pt").touch()
        Path("empty.safetensors").touch()
        torch.save([torch.ones(1)], "list.pt")
        torch.save({"state_dict": [torch.ones(1)]}, "inner.pt")
        torch.save({"stem.weight": 3}, "numbers.pt")
        torch.save({"stem.weight": torch.ones(2, 2).to_sparse()}, "sparse.pt")
        torch.save({"stem.weight": torch.ones(2, dtype=torch.complex64)}, "complex.pt")
        texts = {
            "module.pt": "'module.pt' holds more than tensors (torch.nn.modules.linear.Linear)",
            "evil.pt": "'evil.pt' holds more than tensors (posix.mkdir)",
            "pickle.pt": "'pickle.pt' is damaged, or holds more than tensors",
            "text.pt": "'text.pt' is damaged, or holds more than tensors",
            "empty.pt": "'empty.pt' is damaged, or holds more than tensors",
            "empty.safetensors": "'empty.safetensors' is no safetensors file: Error while deserializing header: header"
            " too small",
            "list.pt": "'list.pt' holds no weights",
            "inner.pt": "'inner.pt' holds no weights",
            "numbers.pt": "'numbers.pt' holds no weights",
            "sparse.pt": "'sparse.pt' holds stem.weight, which is no plain tensor of real numbers",
            "complex.pt": "'complex.pt' holds stem.weight, which is no plain tensor of real numbers",
            "run/checkpoints": "there is no file 'run/checkpoints/checkpoints/best.ckpt'",
        }
        assert {file: told([{"from": file}])[0].removeprefix("init[0]: ") for file in texts} == texts
        assert not trap.exists()


def test_the_names_that_data_parallel_gives_are_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    layers = [conv(name="stem"), "ReLU", conv()]
    torch.save(nn.DataParallel(planned(layers=layers).build(seed=1)).state_dict(), "parallel.pt")
    assert told([{"from": "parallel.pt"}], layers=layers) == [
        "init[0]: every name in 'parallel.pt' begins with 'module.', as torch's DataParallel writes them\n"
        "  hint: save model.module.state_dict() in its place"
    ]


def test_a_layer_may_be_called_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    layers = [conv(name="module")]
    theirs = planned(layers=layers).build(seed=1)
    torch.save(theirs.state_dict(), "plain.pt")
    plan = planned(layers=layers, init=[{"from": "plain.pt"}])
    scope: dict[str, Any] = {}
    exec(plan.source(), scope)
    for ours in (plan.build(seed=2), scope["model"]):
        assert all(torch.equal(value, theirs.state_dict()[key]) for key, value in ours.state_dict().items())
