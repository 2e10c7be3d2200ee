"""From one's own arrays to batches: files that are refused, fingerprints, and what the loaders of a DataModule give."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from cnnexp.data.look import check, look, read_arrays
from cnnexp.data.module import DataModule
from cnnexp.data.sets import DataSet, Samples, load
from cnnexp.errors import ConfigError, Problem

X, Y = np.zeros((4, 2), np.uint8), np.arange(4)
ONE_EACH = "there must be one label for each sample"
WHOLE = "the labels must be whole numbers from 0 up"
SHAPED = "the samples must be arrays of one and the same shape"
COMPLAINTS: list[tuple[dict[str, Any], str]] = [
    ({"x": X, "y": Y[:3]}, ONE_EACH),
    ({"x": X, "y": Y[:, None]}, ONE_EACH),
    ({"x": X[:0], "y": Y[:0]}, ONE_EACH),
    ({"x": X, "y": np.array(3)}, ONE_EACH),
    ({"x": X, "y": Y.astype(float)}, WHOLE),
    ({"x": X, "y": Y - 1}, WHOLE),
    ({"x": X, "y": np.array(list("abcd"))}, WHOLE),
    ({"x": X.astype(np.int64), "y": Y}, "the samples must be uint8 or floats, not int64"),
    ({"x": X.astype(bool), "y": Y}, "the samples must be uint8 or floats, not bool"),
    ({"x": X[:, 0], "y": Y}, SHAPED),
    ({"x": np.array(1.0), "y": Y}, SHAPED),
    ({"x_train": X, "y_train": Y, "x_test": np.zeros((4, 3), np.uint8), "y_test": Y}, SHAPED),
    ({"x_train": X, "y_train": Y, "x_test": X}, ONE_EACH),
    ({"x_train": X, "y_train": Y, "x_test": X, "y_test": Y[:1]}, ONE_EACH),
]


def refused(path: Path) -> Problem:
    """The one problem of a file, which looking, reading and loading tell alike."""
    data = {"name": "arrays", "path": str(path)}
    problem = read_arrays(str(path))
    assert isinstance(problem, Problem)
    assert (problem.code, problem.path) == ("bad-file", ("data", "path"))
    assert "\n" not in problem.message
    assert look(data)[1] == [problem]
    with pytest.raises(ConfigError) as caught:
        load(data)
    assert caught.value.problems == (problem,)
    return problem


@pytest.mark.parametrize(("arrays", "complaint"), COMPLAINTS)
def test_arrays_that_cannot_be_trained_on_are_refused(arrays: dict[str, Any], complaint: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", **arrays)
    assert refused(tmp_path / "mine.npz").message == f"data.path: '{tmp_path}/mine.npz': {complaint}"


@pytest.mark.parametrize(
    ("arrays", "rest"),
    [
        ({"b": X, "a": Y}, "holds a, b, but no x and no y"),
        ({"x": X, "labels": Y}, "holds labels, x, but no y"),
        ({"x_train": X, "y": Y}, "holds x_train, y, but no y_train"),
        ({}, "holds nothing, but no x and no y"),
    ],
)
def test_a_file_without_the_wanted_names_is_refused(arrays: dict[str, Any], rest: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", **arrays)
    problem = refused(tmp_path / "mine.npz")
    assert problem.message == f"data.path: '{tmp_path}/mine.npz' {rest}"
    assert problem.hint == "save it with np.savez(path, x_train=…, y_train=…, x_test=…, y_test=…)"


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path / "mine.npz").message == f"data.path: there is no file '{tmp_path}/mine.npz'"


def _npz(compressed: bool = False, **arrays: Any) -> bytes:
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, **arrays)
    return buffer.getvalue()


def _npy() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, X)
    return buffer.getvalue()


def _flipped(content: bytes) -> bytes:
    """Damage in the middle of the samples, where the archive's own list of its members is still whole."""
    middle = content.index(b"x.npy") + 200
    return content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :]


NOISE = np.random.default_rng(3).integers(0, 256, (50, 20), np.uint8)
WHOLE_FILE = _npz(x=NOISE, y=np.zeros(50, int))
DAMAGED = {
    "empty": b"",
    "text": b"x,y\n1,2\n",
    "npy": _npy(),
    "pickle": pickle.dumps({"x": 1}),
    "cut": WHOLE_FILE[: len(WHOLE_FILE) // 2],
    "flipped": _flipped(WHOLE_FILE),
    "flipped and compressed": _flipped(_npz(compressed=True, x=NOISE, y=np.zeros(50, int))),
    "objects": _npz(x=np.array([{}, []], dtype=object), y=np.arange(2)),
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_file_that_is_no_archive_of_plain_arrays_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "mine.npz").write_bytes(content)
    message = refused(tmp_path / "mine.npz").message
    assert message.startswith(f"data.path: '{tmp_path}/mine.npz' is not an .npz file of plain arrays (")


def test_objects_in_an_array_are_never_unpickled(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "went off",)

    np.savez(tmp_path / "mine.npz", x=np.array([Bomb()], dtype=object), y=np.zeros(1, int))
    refused(tmp_path / "mine.npz")
    assert not (tmp_path / "went off").exists()


def test_the_labels_of_the_test_part_count_too(tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", x_train=X, y_train=Y, x_test=X, y_test=Y + 5)
    data = {"name": "arrays", "path": str(tmp_path / "mine.npz")}
    assert look(data)[0]["num_classes"] == 9
    problems = check({**data, "shape": [2], "num_classes": 4})
    assert [p.message for p in problems] == ["data.num_classes (=4) must be at least 9: 'arrays' has that many"]


RANKS = [(4,), (2, 5), (3, 4, 4), (1, 2, 3, 4)]


@pytest.mark.parametrize("shape", RANKS)
@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_arrays_with_a_test_part_come_out_as_they_are(shape: tuple[int, ...], dtype: type, tmp_path: Path) -> None:
    x = (np.random.default_rng(1).random((9, *shape)) * 200).astype(dtype)
    y = np.arange(9, dtype=np.int32) % 3
    np.savez(tmp_path / "mine.npz", x_train=x[:6], y_train=y[:6], x_test=x[6:], y_test=y[6:])
    data = {"name": "arrays", "path": str(tmp_path / "mine.npz")}
    found = load(data)
    assert found.train.images.dtype == (torch.uint8 if dtype is np.uint8 else torch.float32)
    for samples, part in ((found.train, slice(0, 6)), (found.test, slice(6, 9))):
        np.testing.assert_array_equal(samples.images.numpy(), x[part].astype(samples.images.numpy().dtype))
        np.testing.assert_array_equal(samples.labels.numpy(), y[part])
    assert look({**data, "shape": None, "num_classes": None}) == ({"shape": list(shape), "num_classes": 3}, [])
    assert look({**data, "shape": [7], "num_classes": 12}) == ({}, [])


def test_arrays_without_a_test_part_are_split_four_to_one(tmp_path: Path) -> None:
    x, y = np.arange(40, dtype=np.uint8)[:, None], np.arange(40) % 4
    np.savez_compressed(tmp_path / "mine.npz", x=x, y=y)
    found = load({"name": "arrays", "path": str(tmp_path / "mine.npz")})
    assert (len(found.train), len(found.test)) == (32, 8)
    both = torch.cat([found.train.images, found.test.images])[:, 0]
    assert sorted(both.tolist()) == list(range(40))
    assert torch.equal(torch.cat([found.train.labels, found.test.labels]), both.long() % 4)


def _set(images: Tensor, labels: Tensor | None = None, tests: int = 3) -> DataSet:
    labels = torch.arange(len(images)) % 3 if labels is None else labels
    return DataSet(Samples(images, labels), Samples(images[:tests].clone(), labels[:tests].clone()))


def _pixels(n: int = 20, shape: tuple[int, ...] = (3, 4, 5)) -> Tensor:
    return torch.from_numpy(np.random.default_rng(2).integers(0, 256, (n, *shape), np.uint8))


def test_a_fingerprint_is_that_of_the_data_and_of_nothing_else() -> None:
    images = _pixels()
    original = _set(images).fingerprint()
    assert _set(images.clone()).fingerprint() == original
    assert _set(images.contiguous(memory_format=torch.channels_last)).fingerprint() == original
    one_pixel, one_label = images.clone(), torch.arange(20) % 3
    one_pixel[7, 1, 2, 3] ^= 1
    one_label[7] += 1
    others = [
        _set(one_pixel),
        _set(images, one_label),
        _set(images.float()),
        _set(images.reshape(20, 3, 5, 4)),
        _set(images, tests=4),
    ]
    assert len({original, *(other.fingerprint() for other in others)}) == 6


SETTINGS: dict[str, Any] = {
    "name": "synthetic",
    "shape": [3, 4, 5],
    "mean": None,
    "std": None,
    "validation": 0.0,
    "batch_size": 4,
    "shuffle": False,
    "drop_last": False,
}


def _module(
    dataset: DataSet,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    layout: str = "contiguous_format",
    **changed: Any,
) -> DataModule:
    module = DataModule(dataset, {**SETTINGS, **changed}, seed, dtype)
    module.use_layout(layout)
    return module


def _numbered(n: int) -> DataSet:
    """Samples that say which one they are."""
    return _set(torch.arange(n, dtype=torch.uint8).reshape(n, 1, 1, 1).expand(n, 3, 4, 5).contiguous(), torch.arange(n))


def _epoch(loader: Any, number: int = 0) -> list[int]:
    loader.sampler.set_epoch(number)
    seen = []
    for images, labels in loader:
        assert torch.equal(images[:, 0, 0, 0].long(), labels)
        seen += labels.tolist()
    return seen


def _first(module: DataModule) -> tuple[Tensor, Tensor]:
    return module.on_after_batch_transfer(next(iter(module.train_dataloader())), 0)


def test_pixels_become_floats_between_0_and_1() -> None:
    images = _pixels()
    floats, labels = _first(_module(_set(images)))
    assert floats.dtype == torch.float32
    assert torch.equal(floats, images[:4].float().div(255))
    assert labels.tolist() == [0, 1, 2, 0]


@pytest.mark.parametrize(
    ("mean", "std"), [([0.1, 0.5, 0.9], [0.2, 0.3, 0.4]), (0.25, 0.5), ([0.3], [0.7]), (0.5, None), (None, 0.5)]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_batch_is_normalised_by_channel(mean: Any, std: Any, dtype: torch.dtype) -> None:
    images = _pixels()
    floats, _ = _first(_module(_set(images), dtype=dtype, mean=mean, std=std))
    pixels = images[:4].numpy().astype(np.float64) / 255
    means, stds = np.broadcast_to(0.0 if mean is None else mean, 3), np.broadcast_to(1.0 if std is None else std, 3)
    by_hand = np.stack([(pixels[:, c] - means[c]) / stds[c] for c in range(3)], axis=1)
    assert floats.dtype == dtype
    np.testing.assert_allclose(floats.numpy(), by_hand, rtol=1e-12 if dtype == torch.float64 else 1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(5,), (2, 5), (2, 3, 4, 5)])
def test_samples_of_any_rank_are_normalised_and_never_channels_last(shape: tuple[int, ...]) -> None:
    images = _pixels(shape=shape)
    module = _module(_set(images), layout="channels_last", shape=list(shape), mean=0.5, std=0.25)
    floats, _ = _first(module)
    assert floats.is_contiguous()
    np.testing.assert_allclose(floats.numpy(), (images[:4].numpy() / 255 - 0.5) / 0.25, rtol=1e-5, atol=1e-6)


def test_floats_are_taken_as_they_are_and_only_normalised() -> None:
    images = torch.linspace(-3, 3, 20 * 60).reshape(20, 3, 4, 5)
    kept = images.clone()
    assert torch.equal(_first(_module(_set(images)))[0], kept[:4])
    torch.testing.assert_close(_first(_module(_set(images), mean=1.0, std=2.0))[0], (kept[:4] - 1) / 2)
    assert torch.equal(images, kept)


def test_channels_last_changes_the_strides_and_not_the_values() -> None:
    dataset = _set(_pixels())
    plain, last = _first(_module(dataset))[0], _first(_module(dataset, layout="channels_last"))[0]
    assert torch.equal(plain, last)
    assert plain.is_contiguous()
    assert last.is_contiguous(memory_format=torch.channels_last)
    assert (plain.stride(), last.stride()) == ((60, 20, 5, 1), (60, 1, 15, 3))


def test_what_is_in_memory_is_never_changed_by_a_batch() -> None:
    dataset = _set(_pixels())
    before = dataset.fingerprint()
    module = _module(dataset, mean=0.5, std=0.5)
    for loader in (module.train_dataloader(), module.test_dataloader()):
        for batch in loader:
            module.on_after_batch_transfer(batch, 0)[0].zero_()
    assert dataset.fingerprint() == before


def test_without_shuffle_the_order_is_that_of_the_file() -> None:
    loader = _module(_numbered(10)).train_dataloader()
    assert _epoch(loader) == _epoch(loader, 3) == list(range(10))
    kept = _epoch(_module(_numbered(10), validation=0.3).train_dataloader())
    assert kept == sorted(kept)
    assert len(kept) == 7


def test_a_shuffled_order_follows_from_the_seed_and_the_epoch() -> None:
    one, same = (_module(_numbered(50), seed=5, shuffle=True).train_dataloader() for _ in range(2))
    other = _module(_numbered(50), seed=6, shuffle=True).train_dataloader()
    first, second = _epoch(one, 0), _epoch(one, 1)
    assert sorted(first) == sorted(second) == list(range(50))
    assert len(set(map(tuple, (first, second, _epoch(other, 1), range(50))))) == 4
    torch.manual_seed(99)
    assert [_epoch(same, 0), _epoch(same, 1)] == [first, second]


def test_no_two_epochs_of_neighbouring_seeds_share_an_order() -> None:
    loaders = [_module(_numbered(50), seed=seed, shuffle=True).train_dataloader() for seed in range(4)]
    assert len({tuple(_epoch(loader, epoch)) for loader in loaders for epoch in range(4)}) == 16


@pytest.mark.parametrize(("drop", "sizes"), [(False, [4, 4, 2]), (True, [4, 4])])
def test_the_last_batch_is_smaller_or_dropped(drop: bool, sizes: list[int]) -> None:
    loader = _module(_numbered(10), drop_last=drop).train_dataloader()
    assert [len(labels) for _, labels in loader] == sizes
    assert len(loader) == len(sizes)


def test_what_is_held_out_follows_from_the_seed_and_is_not_trained_on() -> None:
    first, same, other = (_module(_numbered(40), seed=s, validation=0.25) for s in (1, 1, 2))
    held = [set(m.validation.labels.tolist()) for m in (first, same, other)]
    assert len(held[0]) == 10
    assert held[0] == held[1] != held[2]
    assert held[0] | set(_epoch(first.train_dataloader())) == set(range(40))
    assert not held[0] & set(_epoch(first.train_dataloader()))
    assert {i for _, labels in first.val_dataloader() for i in labels.tolist()} == held[0]
    assert list(_module(_numbered(40)).val_dataloader()) == []


def test_the_test_loader_gives_the_whole_test_set_in_order() -> None:
    images = _pixels(600)
    dataset = DataSet(Samples(images[:5], torch.arange(5)), Samples(images, torch.arange(600)))
    batches = list(_module(dataset, drop_last=True, shuffle=True).test_dataloader())
    assert torch.equal(torch.cat([x for x, _ in batches]), images)
    assert torch.equal(torch.cat([y for _, y in batches]), torch.arange(600))


def test_a_batch_is_one_read(monkeypatch: pytest.MonkeyPatch) -> None:
    loader = _module(_numbered(10), shuffle=True).train_dataloader()
    reads, read = [], type(loader.dataset).__getitems__
    monkeypatch.setattr(
        type(loader.dataset), "__getitems__", lambda self, where: (reads.append(list(where)), read(self, where))[1]
    )
    assert [i for _, labels in loader for i in labels.tolist()] == [i for where in reads for i in where]
    assert [len(where) for where in reads] == [4, 4, 2]


def test_a_plain_torch_loop_works_with_what_the_loaders_read() -> None:
    module = _module(_numbered(10))
    assert isinstance(module.train_dataloader(), DataLoader)
    reader = module.train_dataloader().dataset
    seen = []
    for images, labels in DataLoader(reader, batch_size=3, shuffle=True, collate_fn=lambda batch: batch):
        assert images.shape == (len(labels), 3, 4, 5)
        seen += labels.tolist()
    assert sorted(seen) == list(range(10))


def test_a_batch_larger_than_the_training_set_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        _module(_numbered(10), validation=0.1, batch_size=10)
    assert str(caught.value) == (
        "error: data.batch_size (=10) is larger than the 9 samples there are to train on\n1 problem; nothing was run"
    )
    assert caught.value.problems[0].path == ("data", "batch_size")
    assert len(_module(_numbered(10), validation=0.1, batch_size=9).train_dataloader()) == 1
