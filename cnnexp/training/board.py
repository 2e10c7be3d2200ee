"""Events for TensorBoard, many in one record: what torch's SummaryWriter would write one by one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pytorch_lightning import Trainer
from pytorch_lightning.loggers import TensorBoardLogger

from cnnexp.views.statistics import Histogram


class Board:
    """Where a run's curves, histograms and images are drawn; nothing happens where there is no TensorBoard logger.

    Arguments:
        trainer: whose logger writes.
    """

    def __init__(self, trainer: Trainer) -> None:
        loggers = [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]
        self._loggers = loggers if trainer.is_global_zero else []

    def __bool__(self) -> bool:
        return bool(self._loggers)

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Write numbers by their tags."""
        self._write([{"tag": tag, "simple_value": value} for tag, value in values.items()], step)

    def histograms(self, found: Mapping[str, Histogram], step: int) -> None:
        """Write histograms by their tags."""
        values: list[dict[str, Any]] = []
        for tag, h in found.items():
            numbers = {"min": h.low, "max": h.high, "num": h.number, "sum": h.total, "sum_squares": h.squares}
            values.append({"tag": tag, "histo": {**numbers, "bucket_limit": h.limits, "bucket": h.counts}})
        self._write(values, step)

    def images(self, found: Iterable[tuple[str, tuple[int, int], bytes]], step: int) -> None:
        """Write images: a tag, width and height, and the bytes of a PNG file, of each."""
        values = []
        for tag, (width, height), data in found:
            values.append({"tag": tag, "image": {"width": width, "height": height, "encoded_image_string": data}})
        self._write(values, step)

    def graph(self, serialised: bytes) -> None:
        """Write a graph that was serialised."""
        from tensorboard.compat.proto.event_pb2 import Event

        for writer in self._writers():
            writer.add_event(Event(graph_def=serialised))

    def _write(self, values: list[dict[str, Any]], step: int) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        if values:
            for writer in self._writers():
                writer.add_summary(Summary(value=values), step)

    def _writers(self) -> list[Any]:
        # The public methods make a record, and a call into Python's slow checksum, of every single value.
        return [logger.experiment._get_file_writer() for logger in self._loggers]
