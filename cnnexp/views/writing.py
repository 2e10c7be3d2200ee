"""Pictures into a folder: PNG files, and the same for TensorBoard."""

from __future__ import annotations

import io
import os
import socket
import time
import zlib
from pathlib import Path
from types import TracebackType
from typing import Any

from cnnexp.views import checksum
from cnnexp.views.images import View


class Album:
    """A folder that pictures are written into, each file complete or not at all.

    Arguments:
        folder: the folder, which is there.
        board: whether TensorBoard gets the pictures too, in `folder/tensorboard`.
    """

    def __init__(self, folder: Path, board: bool) -> None:
        self.folder = folder
        self._board: Any = None
        if board:
            self._board = _begun(folder / "tensorboard")

    def __enter__(self) -> Album:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._board is not None:
            self._board.close()

    def add(self, view: View, step: int = 0, inside: str = "") -> str:
        """Write one picture.

        Arguments:
            view: the picture.
            step: TensorBoard's step, which is the number of the batch.
            inside: a folder inside the folder; made where it is missing.

        Returns:
            the file's path inside the folder.
        """
        buffer = io.BytesIO()
        view.image.save(buffer, "PNG", compress_level=1, compress_type=zlib.Z_RLE)  # three times as fast, as small
        name = f"{inside}/{view.file}" if inside else view.file
        file = self.folder / name
        file.parent.mkdir(exist_ok=True)
        part = file.with_name(f".{file.name}.tmp")
        part.write_bytes(buffer.getvalue())
        part.replace(file)
        if self._board is not None:
            self._add_to_board(view, step, buffer.getvalue())
        return name

    def _add_to_board(self, view: View, step: int, png: bytes) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        width, height = view.image.size
        picture = Summary.Image(
            height=height, width=width, colorspace=1 if view.image.mode == "L" else 3, encoded_image_string=png
        )
        summary = Summary(value=[Summary.Value(tag=tag(view), image=picture)])
        self._board.write(Event(wall_time=time.time(), step=step, summary=summary).SerializeToString())


def _begun(folder: Path) -> Any:
    """A writer of events into a new file; not TensorBoard's own, whose thread prints what the disk refuses."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.record_writer import RecordWriter

    checksum.install()
    folder.mkdir(exist_ok=True)
    now = time.time()
    file = folder / f"events.out.tfevents.{int(now):010d}.{socket.gethostname()}.{os.getpid()}"
    writer = RecordWriter(file.open("wb"))
    try:
        writer.write(Event(wall_time=now, file_version="brain.Event:2").SerializeToString())
    except BaseException:
        writer.close()
        raise
    return writer


def tag(view: View) -> str:
    """What TensorBoard calls a picture: `input`, `output/00_Conv2d`, `kernels/00_Conv2d`."""
    stem = view.stem.removesuffix(f"_{view.kind}")
    return f"{view.kind}/{stem}" if stem else view.kind
