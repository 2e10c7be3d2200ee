"""`show`: what is drawn, where it goes, and what is said when it cannot be."""

from __future__ import annotations

import errno
import io
import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.nn import functional

import cnnexp
from cnnexp import settings
from cnnexp.cli import main
from cnnexp.config import packaged
from cnnexp.data.sets import load

pytestmark = pytest.mark.slow

FAST = ["trainer.accelerator=cpu", "trainer.enable_progress_bar=false", "views=none"]


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    outputs = tmp_path_factory.mktemp("trained")
    words = ["model=lenet5", "data=digits_32", "trainer=smoke", "seed=3", f"outputs={outputs}", *FAST]
    return cnnexp.train(words).path


@pytest.fixture
def run(trained: Path, work: Path) -> Path:
    """A run of one's own, with weights that no seed draws."""
    shutil.copytree(trained, work / "outputs" / "runs" / "a")
    return Path("outputs/runs/a")


def shown(work: Path) -> Path:
    (folder,) = (work / "outputs" / "shows").iterdir()
    return folder


def images(folder: Path) -> dict[str, dict[int, Image.Image]]:
    """What TensorBoard's own reader finds: a picture for each tag and step."""
    events = EventAccumulator(str(folder / "tensorboard"), size_guidance={"images": 0})
    events.Reload()
    return {
        tag: {e.step: Image.open(io.BytesIO(e.encoded_image_string)) for e in events.Images(tag)}
        for tag in events.Tags()["images"]
    }


def batch(folder: Path) -> torch.Tensor:
    """The first batch of the test set as the network gets it, by hand."""
    data = yaml.safe_load((folder / "config.yaml").read_text())["data"]
    pixels = load(data).test.images[: data["batch_size"]].float() / 255
    return pixels if data["mean"] is None else (pixels - data["mean"]) / data["std"]


def grey(values: torch.Tensor) -> np.ndarray:
    numbers = values.detach().double().numpy()
    return np.rint((numbers - numbers.min()) / (numbers.max() - numbers.min()) * 255).astype(np.uint8)


def holds(file: Path, tile: np.ndarray) -> bool:
    """Whether a picture holds a tile, each of its values as a square of equal pixels."""
    page = np.asarray(Image.open(file))
    page = page if tile.ndim == 3 or page.ndim == 2 else page[..., 0]
    depth = page.shape[2] if page.ndim == 3 else 1
    for factor in range(128 // max(tile.shape), 0, -1):
        large = tile.repeat(factor, 0).repeat(factor, 1)
        first = large[0].tobytes()
        for y in range(page.shape[0] - large.shape[0] + 1):
            line, at = page[y].tobytes(), -1
            while (at := line.find(first, at + 1)) >= 0:
                part = page[y : y + large.shape[0], at // depth : at // depth + large.shape[1]]
                if at % depth == 0 and part.shape == large.shape and (part == large).all():
                    return True
    return False


def test_a_convolution_as_in_the_tutorials(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "model=single_conv", "seed=4", "show.samples=2"]) == 0
    folder = shown(work)
    said = capsys.readouterr().out.splitlines()
    assert [line.split() for line in said[2:5]] == [
        ["input", "3×32×32", "input.png"],
        ["0", "Conv2d", "kernels", "6×3×3×3", "00_Conv2d_kernels.png"],
        ["0", "Conv2d", "6×30×30", "00_Conv2d_output.png"],
    ]
    here = folder.relative_to(work)
    assert said[5:] == [
        "untrained, seed 4; 2 samples of batch 0 of the test set",
        f"drawn in {here}",
        f"tensorboard --logdir {here}/tensorboard",
    ]
    assert sorted(p.name for p in folder.iterdir() if p.is_file()) == sorted(
        ["00_Conv2d_kernels.png", "00_Conv2d_output.png", "config.yaml", "input.png", "layers.txt", "model.py"]
    )
    conv = cnnexp.plan("single_conv", input_shape=(3, 32, 32)).build(4)[0]
    out = grey(functional.conv2d(batch(folder)[:2], conv.weight, conv.bias))
    assert all(holds(folder / "00_Conv2d_output.png", out[s, c]) for s in (0, 1) for c in range(6))


@pytest.mark.parametrize("ceil_mode", [False, True])
def test_a_max_pool_as_in_the_tutorials(work: Path, ceil_mode: bool) -> None:
    assert main(["show", "model=single_pool", f"model.ceil_mode={str(ceil_mode).lower()}"]) == 0
    folder = shown(work)
    pooled = functional.max_pool2d(batch(folder), 3, ceil_mode=ceil_mode)
    assert pooled.shape[2:] == ((11, 11) if ceil_mode else (10, 10))
    assert holds(folder / "00_MaxPool2d_output.png", grey(pooled[:8])[3, 1])
    data = yaml.safe_load((folder / "config.yaml").read_text())["data"]
    pixels = functional.max_pool2d(load(data).test.images[:1].double(), 3, ceil_mode=ceil_mode)[0]
    assert holds(folder / "00_MaxPool2d_output.png", np.moveaxis(pixels.numpy().astype(np.uint8), 0, -1))


def test_a_sigmoid_as_in_the_tutorials(work: Path) -> None:
    assert main(["show", "model=single_activation", "data.mean=null", "data.std=null"]) == 0
    folder = shown(work)
    assert holds(folder / "00_Sigmoid_output.png", grey(torch.sigmoid(batch(folder)[:8]))[7, 2])


def test_the_input_is_the_pixels_in_the_order_of_the_set(work: Path) -> None:
    assert main(["show", "model=single_pool", "logger=none"]) == 0
    pixels = load(yaml.safe_load((shown(work) / "config.yaml").read_text())["data"]).test.images
    for sample in (0, 7):
        assert holds(shown(work) / "input.png", np.moveaxis(pixels[sample].numpy(), 0, -1))
    assert not (shown(work) / "tensorboard").exists()


def test_batches_are_steps_in_tensorboard_and_folders_on_disk(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["show", "model=lenet5", "data=digits_32", "data.batch_size=100", "show.batches=9", "show.split=val"]
    assert main(words) == 0
    folder = shown(work)
    assert "8 samples of each of batches 0 to 1 of the validation set (there are no more than 2)" in (
        capsys.readouterr().out
    )
    found = images(folder)
    layers = [name for name in found if name.startswith("output/")]
    assert len(layers) == 12
    assert all(sorted(found[tag]) == [0, 1] for tag in (*layers, "input"))
    assert all(sorted(found[tag]) == [0] for tag in found if tag.startswith("kernels/"))
    for tag, files in (("input", "input.png"), ("output/00_Conv2d", "00_Conv2d_output.png")):
        for step in (0, 1):
            file = np.asarray(Image.open(folder / f"batch_{step}" / files))
            np.testing.assert_array_equal(np.asarray(found[tag][step]), file)
    assert not np.array_equal(np.asarray(found["input"][0]), np.asarray(found["input"][1]))


def test_a_run_is_shown_with_its_best_weights_in_its_own_folder(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "show").mkdir()
    (run / "show" / "stale.png").write_bytes(b"")
    assert main(["show", str(run), "show.samples=3"]) == 0
    said = capsys.readouterr().out
    assert f"weights of checkpoints/best.ckpt; 3 samples of batch 0 of the test set\ndrawn in {run}/show\n" in said
    assert not (run / "show" / "stale.png").exists()
    assert [p.name for p in run.iterdir() if p.name.startswith(".show")] == []
    weights = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    out = functional.conv2d(batch(run)[:3], weights["model.0.weight"], weights["model.0.bias"])
    assert holds(run / "show" / "00_Conv2d_output.png", grey(out)[2, 5])
    assert set(images(run / "show")) >= {"input", "kernels/00_Conv2d", "output/11_Linear"}
    fresh = cnnexp.plan("lenet5", input_shape=(1, 32, 32)).build(3)
    assert not torch.equal(fresh[0].weight, weights["model.0.weight"])


@pytest.mark.slow
def test_without_a_best_checkpoint_the_last_one_is_shown(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for file in (run / "checkpoints").glob("best*"):
        file.unlink()
    assert main(["show", str(run), "logger=none"]) == 0
    assert "weights of checkpoints/last.ckpt" in capsys.readouterr().out
    assert not (run / "show" / "tensorboard").exists()


def test_a_run_is_no_more_runs_for_being_shown(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(run)]) == 0
    assert main(["show", "model=single_pool"]) == 0
    capsys.readouterr()
    assert main(["runs", "outputs", "--json"]) == 0
    assert [row["path"] for row in json.loads(capsys.readouterr().out)] == [str(run)]


@pytest.mark.slow
def test_a_runs_config_is_shown_untrained_and_a_checkpoint_is_honoured(
    run: Path, work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = str(run / "config.yaml")
    assert main(["show", "--from", config, "show.samples=1", "logger.type=none", f"outputs={work}/a"]) == 0
    assert "untrained, seed 3; 1 samples of" not in (said := capsys.readouterr().out)
    assert "untrained, seed 3; 1 sample of batch 0 of the test set" in said
    checkpoint = run / "checkpoints" / "best.ckpt"
    assert main(["show", "--from", config, f"checkpoint={checkpoint}", f"outputs={work}/b"]) == 0
    assert f"weights of {checkpoint}" in capsys.readouterr().out
    kernels = [next((work / x / "shows").glob("*/00_Conv2d_kernels.png")).read_bytes() for x in "ab"]
    assert kernels[0] != kernels[1]
    assert main(["show", str(run)]) == 0
    assert (run / "show" / "00_Conv2d_kernels.png").read_bytes() == kernels[1]


def test_a_shows_own_config_shows_the_same_again(work: Path) -> None:
    assert main(["show", "model=single_conv", "show.samples=2", "show.split=train"]) == 0
    first = shown(work)
    assert main(["show", "--from", str(first / "config.yaml"), f"outputs={work}/again"]) == 0
    (second,) = (work / "again" / "shows").iterdir()
    for name in ("input.png", "00_Conv2d_output.png", "00_Conv2d_kernels.png"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


REFUSED = {
    "model=single_conv show.split=tset": (
        "error: override 'show.split=tset': show.split must be one of train, val, test, not 'tset'"
    ),
    "model=single_conv show.split=val data.validation=0": (
        "error: override 'show.split=val': show.split is val, but there is no validation set: data.validation is 0\n"
        "  hint: choose train or test\n1 problem; nothing was run\n"
    ),
    "model=single_conv show.batches=0": "error: override 'show.batches=0': show.batches must be at least 1, not 0",
    "model=single_conv show.batchs=2": "did you mean 'batches'?",
    "model=single_conv checkpoint=nowhere.ckpt": (
        "error: override 'checkpoint=nowhere.ckpt': checkpoint: there is no checkpoint 'nowhere.ckpt'\n"
    ),
    "nowhere": (
        "error: 'nowhere' holds no run: there is no such folder\n"
        "  hint: cnnexp runs lists the runs there are; an override is written key=value\n1 problem; nothing was run\n"
    ),
    "elsewhere": (
        "error: 'elsewhere' holds no run: there is no run.json in it\n"
        "  hint: cnnexp runs lists the runs there are; an override is written key=value\n1 problem; nothing was run\n"
    ),
    "elsewhere/x": (
        "error: 'elsewhere/x' is a file, and a run is a folder\n"
        "  hint: a config is shown by cnnexp show --from elsewhere/x\n1 problem; nothing was run\n"
    ),
    "n" * 300: f"error: '{'n' * 300}' holds no run: there is no such folder\n",
    "sweep": (
        "error: 'sweep' is a sweep, and show looks at one run\n"
        "  hint: cnnexp runs sweep --each lists its runs\n1 problem; nothing was run\n"
    ),
    "early": (
        "error: 'early' ended before its config.yaml was written\n"
        "  hint: cnnexp runs lists the runs there are\n1 problem; nothing was run\n"
    ),
    "early sweep": "error: show looks at one run: 'sweep' is a second one\n1 problem; nothing was run\n",
    "early --from x.yaml": "error: show takes a run or --from FILE, not both: 'early'\n1 problem; nothing was run\n",
    "model=single_conv --multirun": "error: show looks at one network; it does not go with --multirun\n",
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_is_refused_is_said_and_leaves_nothing(words: str, work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, file in (("elsewhere", "x"), ("sweep", "sweep.json"), ("early", "run.json")):
        (work / name).mkdir()
        (work / name / file).write_text("{}")
    before = sorted(work.rglob("*"))
    assert main(["show", *words.split()]) == 2
    assert REFUSED[words] in capsys.readouterr().err
    assert sorted(work.rglob("*")) == before


@pytest.mark.parametrize("word", ["model.activation=ReLU", "data=cifar10", "seed=4", "~seed"])
def test_a_run_cannot_be_changed(word: str, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(run), word]) == 2
    assert capsys.readouterr().err == (
        f"error: a run is shown as it was trained: '{word}' cannot be changed\n"
        f"  hint: with freshly drawn weights: cnnexp show --from {run}/config.yaml {shlex.quote(word)}\n"
        "1 problem; nothing was run\n"
    )


def test_a_run_without_a_checkpoint_is_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(run / "checkpoints")
    assert main(["show", str(run)]) == 2
    assert capsys.readouterr().err == (
        f"error: '{run}' has no checkpoint yet\n"
        f"  hint: with freshly drawn weights: cnnexp show --from {run}/config.yaml\n1 problem; nothing was run\n"
    )
    assert not (run / "show").exists()


def test_the_checkpoint_that_was_read_is_named(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run / "checkpoints"
    whole = (folder / "best.ckpt").read_bytes()
    (folder / "best.previous.ckpt").write_bytes(whole)
    (folder / "best.ckpt").write_bytes(whole[:500])

    assert main(["show", str(run), "logger.type=none"]) == 0
    assert "weights of checkpoints/best.previous.ckpt" in capsys.readouterr().out


def test_it_is_told_where_the_best_checkpoint_is_damaged(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "checkpoints" / "best.ckpt").write_bytes(b"damaged")
    assert main(["show", str(run), "logger.type=none"]) == 0
    told = capsys.readouterr()
    file = f"{run}/checkpoints/best.ckpt"
    assert f"warning: the checkpoint '{file}' is damaged; checkpoints/last.ckpt is shown\n" in told.err
    assert "weights of checkpoints/last.ckpt" in told.out


def test_a_run_with_damaged_checkpoints_is_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for file in (run / "checkpoints").glob("*.ckpt"):
        file.write_bytes(b"damaged")
    assert main(["show", str(run)]) == 2
    assert f"error: the checkpoint '{run}/checkpoints/best.ckpt' is damaged\n" in capsys.readouterr().err
    assert not (run / "show").exists()


def test_a_strangers_run_is_looked_at_first(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = yaml.safe_load((run / "config.yaml").read_text())
    (run / "config.yaml").write_text(yaml.safe_dump({**config, "extensions": ["os"]}))
    assert main(["show", str(run), "--untrusted"]) == 2
    assert "extensions" in capsys.readouterr().err
    assert not (run / "show").exists()


def test_what_holds_without_a_section_is_what_the_shipped_one_says() -> None:
    shipped = yaml.safe_load((packaged() / "show" / "default.yaml").read_text())
    assert shipped == dict(settings.SHOW_DEFAULT)


def test_settings_after_a_run_are_checked_and_located(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(run), "show.samples=0"]) == 2
    assert "error: override 'show.samples=0': show.samples must be at least 1, not 0" in capsys.readouterr().err


def test_an_override_may_be_longer_than_a_path(work: Path) -> None:
    layers = ",".join(["{type: Identity}"] * 20)
    assert main(["show", "model=single_pool", f"model.layers=[{layers}]", "show.samples=1", "logger=none"]) == 0
    assert len(list(shown(work).glob("*_Identity_output.png"))) == 20


def test_without_the_section_a_run_is_shown_as_ever(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(run), "~show"]) == 0
    assert "8 samples of batch 0 of the test set" in capsys.readouterr().out


def test_a_file_in_the_place_of_the_folder_is_left_alone(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "show").write_text("mine")
    before = sorted(run.iterdir())
    assert main(["show", str(run)]) == 2
    assert f"error: '{run}/show' is in the way: the pictures go into a folder of this name" in capsys.readouterr().err
    assert (run / "show").read_text() == "mine"
    assert sorted(run.iterdir()) == before


def test_a_hint_can_be_typed_as_it_stands(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    odd = run.rename(run.with_name("a b"))
    assert main(["show", str(odd), "seed=4"]) == 2
    assert f"cnnexp show --from '{odd}/config.yaml' seed=4\n" in capsys.readouterr().err


@pytest.mark.parametrize("full", ["png", "events"])
def test_a_full_disk_is_said_and_leaves_nothing(
    full: str, work: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(*{"png": (Path, "write_bytes"), "events": (RecordWriter, "write")}[full], refuse)
    assert main(["show", "model=single_pool"]) == 2
    err = capfd.readouterr().err
    assert "cannot be written: No space left on device\n" in err
    assert "Traceback" not in err
    assert not list((work / "outputs" / "shows").iterdir())
