"""Arrays as pictures: the greys that Pillow reads back are the numbers."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from cnnexp.pictures.grids import SMALL, Arrangement, Room, arrange, paint
from cnnexp.pictures.plots import bars, traces
from cnnexp.pictures.scale import MARK, Scale


def tiles_of(image: Image.Image, where: Arrangement, size: tuple[int, int]) -> np.ndarray:
    """The tiles of a picture without words, a value for each block of equal pixels."""
    page, f = np.asarray(image), where.factor
    tall, wide = (s * f for s in size)
    found = np.empty((where.rows, where.columns, *size, *page.shape[2:]), np.uint8)
    line_height = where.rows * (tall + where.gap) + where.gap + 3
    for row in range(where.rows):
        for column in range(where.columns):
            line, at = divmod(column, where.line)
            y = line * line_height + where.gap + row * (tall + where.gap)
            x = where.gap + at * (wide + where.gap)
            tile = page[y : y + tall, x : x + wide].reshape(size[0], f, size[1], f, *page.shape[2:])
            assert (tile == tile[:, :1, :, :1]).all(), "the pixels of one value differ"
            found[row, column] = tile[:, 0, :, 0]
    return found


def test_least_and_largest_are_black_and_white_and_the_rest_lies_on_the_line() -> None:
    values = np.array([[-1.0, 0.0, 1.0], [3.0, 0.02, -0.98]])
    scale = Scale.of(values)
    assert scale.grey(values).tolist() == [[0, 64, 128], [255, 65, 1]]
    assert str(scale) == "black −1, white 3"


def test_around_zero_zero_is_mid_grey_and_the_farthest_value_an_end() -> None:
    values = np.array([-0.5, 0.0, 0.25])
    assert Scale.around_zero(values).grey(values).tolist() == [0, 128, 191]


def test_a_constant_is_mid_grey_and_called_so() -> None:
    scale = Scale.of(np.full(4, 0.5))
    assert scale.grey(np.full(4, 0.5)).tolist() == [128] * 4
    assert str(scale) == "all 0.5"


def test_values_that_are_not_finite_are_coloured_and_do_not_touch_the_scale() -> None:
    values = np.array([0.0, np.nan, 1.0, np.inf, -np.inf])
    painted = Scale.of(values).paint(values)
    assert painted.tolist() == [[0] * 3, [*MARK], [255] * 3, [*MARK], [*MARK]]


def test_huge_values_keep_their_order() -> None:
    values = np.array([-3e38, 0, 3e38], np.float32)
    assert Scale.of(values).grey(values).tolist() == [0, 128, 255]


@pytest.mark.parametrize(
    ("rows", "columns", "size"),
    [(1, 1, (3, 3)), (8, 6, (30, 30)), (8, 64, (14, 14)), (1, 33, (5, 5)), (2, 300, (1, 1)), (8, 3, (7, 11))],
)
@pytest.mark.parametrize("colour", [False, True])
def test_every_value_is_read_back_from_the_picture(
    rows: int, columns: int, size: tuple[int, int], colour: bool
) -> None:
    random = np.random.default_rng(0)
    tiles = random.integers(0, 256, (rows, columns, *size, *([3] if colour else [])), np.uint8)
    where = arrange(rows, columns, size)
    assert (where.rows, where.columns, where.step) == (rows, columns, 1)
    image = paint(tiles, where)
    assert image.mode == ("RGB" if colour else "L")
    np.testing.assert_array_equal(tiles_of(image, where, size), tiles)


def test_a_title_and_labels_add_to_the_picture_and_change_no_tile() -> None:
    tiles = np.random.default_rng(0).integers(0, 256, (2, 3, 32, 32), np.uint8)
    where = arrange(2, 3, (32, 32))
    bare = np.asarray(paint(tiles, where))
    titled = np.asarray(paint(tiles, where, ["0  Conv2d", "black 0, white 1"], ["0", "1"], ["0", "1", "2"]))
    tall, wide = bare.shape
    lines = np.lib.stride_tricks.sliding_window_view(titled, wide, axis=1)
    (y, x), *others = np.argwhere((lines[: -tall + 1] == bare[2]).all(axis=2))
    assert (titled[y - 2 : y - 2 + tall, x : x + wide] == bare).all()
    assert all(row == y + i + 1 for i, (row, _) in enumerate(others)), "equal lines are those of one enlarged value"
    assert (titled[:40] < 100).any(), "nothing is written above"


def test_a_small_picture_is_enlarged_and_a_wide_one_wraps_evenly() -> None:
    assert arrange(1, 1, (8, 8)).factor == 16
    where = arrange(8, 64, (32, 32))
    assert (where.factor, where.line) == (1, 32)


@pytest.mark.parametrize(
    ("rows", "columns", "size"), [(8, 2048, (7, 7)), (8, 64, (224, 224)), (512, 512, (3, 3)), (4, 1, (3000, 3000))]
)
@pytest.mark.parametrize("room", [Room(), SMALL])
def test_no_picture_is_larger_than_its_room(rows: int, columns: int, size: tuple[int, int], room: Room) -> None:
    where = arrange(rows, columns, size, room=room)
    tall, wide = (-(-s // where.step) * where.factor for s in size)
    assert where.rows * where.columns * (tall + where.gap) * (wide + where.gap) <= room.pixels
    assert min(where.rows, where.columns) >= 1
    assert where.columns == columns or where.rows == 1, "rows go first"


def test_of_a_tile_that_is_too_large_every_nth_row_and_column_is_drawn() -> None:
    tile = np.arange(1200 * 900, dtype=np.uint32).reshape(1, 1, 1200, 900).astype(np.uint8)
    where = arrange(1, 1, (1200, 900))
    image = paint(tile, where)
    np.testing.assert_array_equal(tiles_of(image, where, (400, 300))[0, 0], tile[0, 0, ::3, ::3])


def test_columns_that_belong_together_stay_on_one_line() -> None:
    where = arrange(2, 16 * 16, (16, 16), group=16)
    assert where.line % 16 == 0


def test_bars_are_as_long_as_the_values_and_stand_on_the_side_of_their_sign() -> None:
    tile = bars(np.array([[[1.0, -0.5, 0.0]]]), height=25, width=4)[0, 0]
    inked = tile < 100
    assert [int(inked[:12, 4 * i + 1].sum()) for i in range(3)] == [12, 0, 0]
    assert [int(inked[13:, 4 * i + 1].sum()) for i in range(3)] == [0, 6, 0]


def test_a_trace_rises_where_the_values_rise_and_is_interrupted_where_they_are_not_finite() -> None:
    values = np.array([[np.linspace(-1, 1, 9), [0, 0, 0, 0, np.nan, 0, 0, 0, 0]]])
    rising, broken = traces(values, Scale(-1, 1), (40, 90))[0]
    blue = (rising[..., 2].astype(int) - rising[..., 0]) > 60
    heights = [np.flatnonzero(blue[:, x]).mean() for x in range(4, 86)]
    assert np.all(np.diff(heights) < 0.5)
    assert heights[0] > 34
    assert heights[-1] < 6
    assert (broken == MARK).all(axis=-1).any(axis=0).nonzero()[0].tolist() == pytest.approx([45], abs=1)
