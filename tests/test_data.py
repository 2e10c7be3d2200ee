"""Data sets by name: what comes out is what the original files hold; downloads happen once; refusals are one line."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import pickle
import struct
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import torch
import torchvision.datasets as originals
from filelock import FileLock, Timeout
from PIL import Image

import cnnexp.data
from cnnexp.data.sets import DataSet, load
from cnnexp.errors import ConfigError, Problem

Truth = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
FROM_THE_NET = ("cifar10", "cifar100", "mnist", "fashion_mnist", "svhn")


class Site:
    """A web site on the loopback interface that shows a folder and remembers what was asked for."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder, self.asked = folder, list[str]()
        site = self

        class Handler(SimpleHTTPRequestHandler):
            def log_message(self, format: str, *args: Any) -> None:
                if format.startswith('"%s"'):
                    site.asked.append(self.path)

        self.start(partial(Handler, directory=str(folder)))
        self.address = f"http://127.0.0.1:{self._server.server_port}/"

    def start(self, handler: Callable[..., BaseHTTPRequestHandler]) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.open = True

    def put(self, name: str, content: bytes) -> str:
        """Show a file; returns its MD5, as torchvision wants it."""
        (self.folder / name).write_bytes(content)
        return hashlib.md5(content, usedforsecurity=False).hexdigest()

    def close(self) -> None:
        if self.open:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            self.open = False


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("no_proxy", "*")
    site = Site(tmp_path / "site")
    yield site
    site.close()


def drawn(shape: tuple[int, ...], classes: int) -> Truth:
    random = np.random.default_rng(7)
    x, y = random.integers(0, 256, (10, *shape), np.uint8), random.integers(0, classes, 10)
    y[:2], y[6:8] = (0, classes - 1), (classes - 1, 0)
    return x[:6], y[:6], x[6:], y[6:]


def cifar(site: Site, patch: pytest.MonkeyPatch, cls: type, classes: int, parts: list[str], meta: str) -> Truth:
    """The batches as the authors of CIFAR pickled them: one row of 3,072 bytes for each image, channels first."""
    truth = drawn((3, 32, 32), classes)
    key, names = ("labels", "label_names") if classes == 10 else ("fine_labels", "fine_label_names")

    def batch(x: np.ndarray, y: np.ndarray) -> bytes:
        return pickle.dumps({"data": x.reshape(len(x), -1), key: y.tolist(), "batch_label": "a batch"}, protocol=2)

    split = [np.array_split(a, len(parts)) for a in truth[:2]]
    files = {name: batch(x, y) for name, x, y in zip(parts, *split, strict=True)}
    test = "test_batch" if classes == 10 else "test"
    files |= {test: batch(*truth[2:]), meta: pickle.dumps({names: [str(i) for i in range(classes)]}, protocol=2)}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{cls.base_folder}/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    sums = {name: hashlib.md5(content, usedforsecurity=False).hexdigest() for name, content in files.items()}
    patch.setattr(cls, "url", site.address + cls.filename)
    patch.setattr(cls, "tgz_md5", site.put(cls.filename, buffer.getvalue()))
    patch.setattr(cls, "train_list", [[name, sums[name]] for name in parts])
    patch.setattr(cls, "test_list", [[test, sums[test]]])
    patch.setattr(cls, "meta", {"filename": meta, "key": names, "md5": sums[meta]})
    return truth


def mnist(site: Site, patch: pytest.MonkeyPatch, cls: type) -> Truth:
    """The idx files as LeCun's page describes them: a magic number, the sizes (big-endian), the bytes."""
    truth = drawn((28, 28), 10)
    names = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
    resources = []
    for name, array in zip(names, truth, strict=True):
        header = struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim, *array.shape)
        resources.append(
            (f"{name}.gz", site.put(f"{name}.gz", gzip.compress(header + array.astype(np.uint8).tobytes())))
        )
    patch.setattr(cls, "mirrors", [site.address])
    patch.setattr(cls, "resources", resources)
    return truth[0][:, None], truth[1], truth[2][:, None], truth[3]


def svhn(site: Site, patch: pytest.MonkeyPatch) -> Truth:
    """The Matlab files: (height, width, channels, sample), and the label 10 for the digit 0."""
    truth = drawn((3, 32, 32), 10)
    listed = dict(originals.SVHN.split_list)
    for split, x, y in (("train", *truth[:2]), ("test", *truth[2:])):
        file = io.BytesIO()
        scipy.io.savemat(file, {"X": x.transpose(2, 3, 1, 0), "y": np.where(y == 0, 10, y).astype(np.uint8)[:, None]})
        name = f"{split}_32x32.mat"
        listed[split] = [site.address + name, name, site.put(name, file.getvalue())]
    patch.setattr(originals.SVHN, "split_list", listed)
    return truth


def publish(name: str, site: Site, patch: pytest.MonkeyPatch) -> Truth:
    """Put a data set of ten samples on the site, and make torchvision look there."""
    if name == "cifar10":
        return cifar(site, patch, originals.CIFAR10, 10, [f"data_batch_{i}" for i in range(1, 6)], "batches.meta")
    if name == "cifar100":
        return cifar(site, patch, originals.CIFAR100, 100, ["train"], "meta")
    if name == "svhn":
        return svhn(site, patch)
    return mnist(site, patch, originals.MNIST if name == "mnist" else originals.FashionMNIST)


def settings(name: str, root: Path, download: bool = True) -> dict[str, Any]:
    return {"name": name, "root": str(root), "download": download}


def assert_holds(found: DataSet, truth: Truth) -> None:
    for samples, x, y in ((found.train, *truth[:2]), (found.test, *truth[2:])):
        assert samples.images.dtype == torch.uint8
        assert samples.labels.dtype == torch.int64
        np.testing.assert_array_equal(samples.images.numpy(), x)
        np.testing.assert_array_equal(samples.labels.numpy(), y)


def refusal(data: dict[str, Any]) -> Problem:
    with pytest.raises(ConfigError) as caught:
        load(data)
    assert len(caught.value.problems) == 1
    assert "\n" not in caught.value.problems[0].message
    return caught.value.problems[0]


@pytest.mark.parametrize("name", FROM_THE_NET)
def test_a_download_gives_what_was_published_and_happens_once(
    name: str, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = publish(name, site, monkeypatch)
    assert_holds(load(settings(name, tmp_path / "data")), truth)
    asked = len(site.asked)
    assert asked >= 1
    assert_holds(load(settings(name, tmp_path / "data")), truth)
    assert len(site.asked) == asked
    assert_holds(load(settings(name, tmp_path / "data", download=False)), truth)


@pytest.mark.parametrize("name", ["cifar10", "mnist"])
def test_runs_that_start_together_download_once(
    name: str, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = publish(name, site, monkeypatch)
    load(settings(name, tmp_path / "alone"))
    alone = len(site.asked)
    gate = threading.Barrier(4)

    def one(_: int) -> DataSet:
        gate.wait()
        return load(settings(name, tmp_path / "shared"))

    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(one, range(4)):
            assert_holds(found, truth)
    assert len(site.asked) == 2 * alone


def test_tidying_up_after_a_load_takes_no_lock_from_another_run(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish("svhn", site, monkeypatch)
    path = tmp_path / "data" / ".svhn.lock"
    other = FileLock(path)
    unlink = Path.unlink

    def unlink_when_another_run_has_come(self: Path, missing_ok: bool = False) -> None:
        if self == path:
            with contextlib.suppress(Timeout):  # the run that tidies up still holds it: nobody else can have come
                other.acquire(timeout=0)
        unlink(self, missing_ok)

    monkeypatch.setattr(Path, "unlink", unlink_when_another_run_has_come)
    load(settings("svhn", tmp_path / "data"))
    if not other.is_locked:
        other.acquire(timeout=0)
    with other, pytest.raises(Timeout):
        FileLock(path).acquire(timeout=0)
    other.release(force=True)


@pytest.mark.parametrize("name", FROM_THE_NET)
def test_a_damaged_download_is_refused_and_does_not_stay_in_the_way(
    name: str, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth, root = publish(name, site, monkeypatch), tmp_path / "data"
    whole = {file: file.read_bytes() for file in sorted(site.folder.iterdir())}
    for file, content in whole.items():
        file.write_bytes(content[: len(content) // 2])
    problem = refusal(settings(name, root))
    assert problem.message.startswith(f"data '{name}' is not in '{root}': ")
    assert "corrupt" in problem.message
    assert (problem.code, problem.path) == ("no-data", ("data", "name"))
    for file, content in whole.items():
        file.write_bytes(content)
    assert_holds(load(settings(name, root)), truth)


@pytest.mark.parametrize("name", FROM_THE_NET)
def test_without_a_network_one_line_says_so_and_nothing_is_left(
    name: str, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(name, site, monkeypatch)
    site.close()
    root = tmp_path / "data"
    problem = refusal(settings(name, root))
    assert problem.message.startswith(f"data '{name}' is not in '{root}': it could not be downloaded (")
    assert "refused" in problem.message
    assert problem.hint == f"put its original files into '{root}', or choose data=digits, which needs no network"
    assert [p.name for p in tmp_path.iterdir()] == ["site"]


def test_an_answer_that_is_not_http_is_a_failed_download(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Babble(BaseHTTPRequestHandler):
        def handle(self) -> None:
            self.rfile.readline()
            self.wfile.write(b"what?\r\n\r\n")

    site.close()
    site.start(Babble)
    site.address = f"http://127.0.0.1:{site._server.server_port}/"
    publish("cifar10", site, monkeypatch)
    assert "it could not be downloaded (" in refusal(settings("cifar10", tmp_path / "data")).message


def test_a_refusal_takes_back_every_folder_that_it_made(tmp_path: Path) -> None:
    refusal(settings("cifar10", tmp_path / "new" / "data", download=False))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", FROM_THE_NET)
def test_without_files_and_without_a_download_the_set_is_absent(name: str, tmp_path: Path) -> None:
    root = tmp_path / "data"
    problem = refusal(settings(name, root, download=False))
    assert problem.message == f"data '{name}' is not in '{root}': download is false"
    assert not list(tmp_path.iterdir())


def test_a_root_that_is_a_file_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "file"
    root.write_text("mine")
    message = refusal(settings("mnist", root, download=False)).message
    assert message.startswith(f"data 'mnist' is not in '{root}': ")
    assert root.read_text() == "mine"


def test_folders_that_were_there_before_are_left_alone(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish("svhn", site, monkeypatch)
    theirs = [tmp_path / "data" / "empty", tmp_path / "data" / "MNIST" / "raw"]  # one may be another run's download
    for folder in theirs:
        folder.mkdir(parents=True)
    refusal(settings("cifar10", tmp_path / "data", download=False))
    load(settings("svhn", tmp_path / "data"))
    assert all(folder.is_dir() for folder in theirs)


@pytest.mark.parametrize("left", [0, 3, 100])
def test_a_file_that_was_unpacked_by_half_is_refused(
    left: int, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish("mnist", site, monkeypatch)
    load(settings("mnist", tmp_path))
    file = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:left])
    assert refusal(settings("mnist", tmp_path)).message.startswith(f"data 'mnist' is not in '{tmp_path}': ")


def test_svhn_without_scipy_says_what_to_install(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish("svhn", site, monkeypatch)
    for module in [m for m in sys.modules if m.partition(".")[0] == "scipy"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(sys, "path_importer_cache", {})
    problem = refusal(settings("svhn", tmp_path / "data"))
    assert problem.message == "data 'svhn' needs scipy, which is not installed"
    assert problem.hint == "pip install 'cnnexp[svhn]'"


def shipped() -> tuple[np.ndarray, np.ndarray]:
    with np.load(Path(cnnexp.data.__file__).parent / "digits.npz") as file:
        return file["images"], file["labels"]


def rows(images: np.ndarray, labels: np.ndarray) -> list[bytes]:
    return sorted(bytes([*image.reshape(-1), label]) for image, label in zip(images, labels, strict=True))


def test_digits_are_the_shipped_ones_each_once() -> None:
    found = load({"name": "digits", "shape": [1, 8, 8]})
    assert (len(found.train), len(found.test)) == (1437, 360)
    pixels = torch.cat([found.train.images, found.test.images]).numpy()
    labels = torch.cat([found.train.labels, found.test.labels]).numpy()
    assert pixels.dtype == np.uint8
    greys = np.rint(pixels[:, 0].astype(float) * 16 / 255).astype(np.uint8)
    assert np.abs(pixels[:, 0] - greys * (255 / 16)).max() <= 0.5
    assert rows(greys, labels) == rows(*shipped())
    assert set(found.test.labels.tolist()) == set(range(10))


@pytest.mark.parametrize("shape", [[3, 32, 32], [1, 28, 28]])
def test_digits_are_enlarged_as_pillow_enlarges_them(shape: list[int]) -> None:
    small, large = load({"name": "digits", "shape": [1, 8, 8]}), load({"name": "digits", "shape": shape})
    for before, after in ((small.train, large.train), (small.test, large.test)):
        assert after.images.shape == (len(before), *shape)
        assert torch.equal(after.labels, before.labels)
        assert (after.images == after.images[:, :1]).all()
        for i in range(0, len(before), 97):
            picture = Image.fromarray(before.images[i, 0].numpy().astype(np.float32))
            expected = np.asarray(picture.resize((shape[2], shape[1]), Image.Resampling.BILINEAR))
            np.testing.assert_allclose(after.images[i, 0].numpy(), expected, atol=1.01)


@pytest.mark.parametrize("shape", [[5], [2, 9], [3, 8, 8], [1, 2, 3, 4]])
def test_synthetic_samples_have_any_rank_and_are_reproducible(shape: list[int]) -> None:
    data = {"name": "synthetic", "shape": shape, "num_classes": 3, "samples": 20, "noise": 0.5}
    first, again = load(data), load(data)
    assert first.train.images.shape == (20, *shape)
    assert first.test.images.shape == (5, *shape)
    assert first.train.images.dtype == torch.uint8
    assert set(first.train.labels.tolist()) == {0, 1, 2}
    assert torch.equal(first.train.images, again.train.images)
    assert first.fingerprint() == again.fingerprint()


def test_synthetic_samples_are_a_pattern_and_noise() -> None:
    base = {"name": "synthetic", "shape": [400], "num_classes": 2, "samples": 8}
    clean, noisy = load({**base, "noise": 0}), load({**base, "noise": 0.5})
    for label in (0, 1):
        same = torch.cat([s.images[s.labels == label] for s in (clean.train, clean.test)])
        assert (same == same[0]).all()
        assert (noisy.train.images[noisy.train.labels == label].unique(dim=0)).shape[0] == 4
    assert not torch.equal(clean.train.images[0], clean.train.images[1])
