"""Parts of a network side by side, in rows, in branches and in frames."""

from __future__ import annotations

from collections.abc import Sequence

from cnnexp.pictures import lettering
from cnnexp.pictures.columns import Drawn, joint
from cnnexp.pictures.scene import Box, Path, Point, Shape, Words, arrow, bend, moved

GAP = 26.0
_MARGIN = 14.0
_BETWEEN = 26.0
_PAD = 12.0
_TITLE = 24.0


def sequence(items: Sequence[Drawn], limit: float) -> Drawn:
    """Parts one after another, in as many rows as the width asks for."""
    rows = _rows(items, limit)
    margin = _MARGIN if len(rows) > 1 else 0.0
    shapes: list[Shape] = []
    y, right, last = 0.0, 0.0, None
    enter: Point = (0.0, 0.0)
    for row in rows:
        axis = max(item.enter[1] for item in row)
        tall = max(axis - item.enter[1] + item.height for item in row)
        x = margin
        for item in row:
            top = y + axis - item.enter[1]
            here = (x + item.enter[0], y + axis)
            shapes += item.at(x, top)
            if last is None:
                enter = here
            elif item is row[0]:
                wide = max(_width(r) for r in rows) + 2 * margin
                turn = y - _BETWEEN / 2
                edge, start = wide - margin / 2, margin / 2
                corners = [last, (edge, last[1]), (edge, turn), (start, turn), (start, here[1]), here]
                shapes += arrow(corners)
            else:
                middle = x - GAP / 2
                shapes += arrow([last, (middle, last[1]), (middle, here[1]), here])
            last = (x + item.leave[0], top + item.leave[1])
            x += item.width + GAP
        right = max(right, x - GAP)
        y += tall + _BETWEEN
    assert last is not None
    return Drawn(right + margin, y - _BETWEEN, enter, last, tuple(shapes))


def _width(row: Sequence[Drawn]) -> float:
    return sum(item.width for item in row) + GAP * (len(row) - 1)


def _rows(items: Sequence[Drawn], limit: float) -> list[list[Drawn]]:
    """The items in rows that fit, about equally full."""
    if _width(items) <= limit:
        return [list(items)]
    room = limit - 2 * _MARGIN
    count = len(_filled(items, room))
    least = max(max(item.width for item in items), _width(items) / count)
    widths = [least + (room - least) * i / 8 for i in range(9)] if room > least else [room]
    return next((rows for w in widths if len(rows := _filled(items, w)) <= count), _filled(items, room))


def _filled(items: Sequence[Drawn], room: float) -> list[list[Drawn]]:
    rows: list[list[Drawn]] = [[]]
    for item in items:
        if rows[-1] and _width([*rows[-1], item]) > room:
            rows.append([])
        rows[-1].append(item)
    return rows


SIDES = 2 * 24.0 + 80.0
"""The room that fork and joint take beside the branches."""


def lanes(branches: Sequence[Drawn], main: int | None, sign: str, shape: str, styles: Sequence[str]) -> Drawn:
    """Branches below one another, between a fork and a joint.

    Arguments:
        branches: what stands in each.
        main: the branch that goes straight on; None for the middle of all.
        sign: what the joint says.
        shape: the shape that leaves, said below the joint; empty for none.
        styles: the look of each branch's lines.
    """
    fork, y = 6.0, 0.0
    start = fork + 22
    wide = max(branch.width for branch in branches)
    collect = start + wide + 16
    tops = []
    for branch in branches:
        tops.append(y)
        y += branch.height + 14
    axes = [top + branch.enter[1] for top, branch in zip(tops, branches, strict=True)]
    ends = [top + branch.leave[1] for top, branch in zip(tops, branches, strict=True)]
    node = joint(sign, shape)
    axis = axes[main] if main is not None else (axes[0] + axes[-1]) / 2
    meeting = ends[main] if main is not None else axis
    goal = (collect + 18, meeting)
    shapes: list[Shape] = []
    for branch, top, own, end, style in zip(branches, tops, axes, ends, styles, strict=True):
        into = [(fork, axis), (fork, own), (start + branch.enter[0], own)]
        shapes += (
            [Path(bend(into), style)] if style != "flow" and isinstance(branch.shapes[0], Path) else arrow(into, style)
        )
        shapes += branch.at(start, top)
        away = (start + branch.leave[0], end)
        # Lines from above and below meet at the left of the joint.
        shapes += arrow([away, (collect, end), (collect, meeting), goal], style)
    shapes.append(Box(fork - 2.5, axis - 2.5, 5, 5, "flow-head", 2.5))
    shapes += node.at(goal[0], meeting - 10)
    below = max(y - 14, meeting - 10 + node.height)
    above = min(0.0, meeting - 10)
    leave = (goal[0] + node.leave[0], meeting - above)
    return Drawn(goal[0] + node.width, below - above, (fork, axis - above), leave, moved(shapes, 0, -above))


def frame(inside: Drawn, title: str, summary: str, times: int, depth: int, tip: str) -> Drawn:
    """A frame with a title around a part; repeated parts have the edges of further ones behind theirs."""
    shadow = 5.0 * min(times - 1, 2)
    room = max(inside.width + 2 * _PAD, 60.0)
    if times > 1:
        title = f"{title}  ×{times}"
    title = lettering.shortened(title, 11, max(room - 2 * _PAD, 210.0), True)
    long = lettering.width(title, 11, True)
    wide = max(room, long + 2 * _PAD)
    left = (wide - inside.width) / 2
    tall = inside.height + _TITLE + _PAD
    shapes: list[Shape] = []
    for i in range(min(times - 1, 2), 0, -1):
        shapes.append(Box(5.0 * i, shadow - 5.0 * i, wide, tall, "copies", 7))
    shapes.append(Box(0, shadow, wide, tall, f"frame-{depth % 2}", 7, tip=tip))
    shapes.append(Words(_PAD, shadow + 16, title, 11, "ink", "start", True))
    if summary and long + lettering.width(summary, 10) + 2 * _PAD + 16 <= wide:
        shapes.append(Words(wide - _PAD, shadow + 16, summary, 10, "muted", "end"))
    top = shadow + _TITLE
    shapes += inside.at(left, top)
    enter = (inside.enter[0] + left, inside.enter[1] + top)
    leave = (inside.leave[0] + left, inside.leave[1] + top)
    return Drawn(wide + shadow, tall + shadow, enter, leave, tuple(shapes))
