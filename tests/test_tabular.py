"""The analysis on paper: Markdown that shows what it was given and obeys nothing, CSV with a line for each run."""

from __future__ import annotations

import csv
import html
import io
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from cnnexp.records import Run
from cnnexp.report.analysis import analyse
from cnnexp.report.tabular import interval, number, probability, to_csv, to_markdown, write
from tests.test_effects import table
from tests.test_ranking import SWEEP, job


class Page(HTMLParser):
    """The tables of rendered Markdown as texts, and every element that it has."""

    def __init__(self, markdown: str) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.tags: set[str] = set()
        self.text = ""
        self._cell = False
        self.feed(MarkdownIt("commonmark").enable("table").render(markdown))

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self._cell = True

    def handle_endtag(self, tag: str) -> None:
        self._cell = self._cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._cell:
            self.tables[-1][-1][-1] += data


CELLS = {("relu", 8): [0.9, 0.92], ("relu", 16): [0.95, 0.94], ("tanh", 8): [0.5, 0.55], ("tanh", 16): [0.6, "failed"]}


def page(names: list[str] | None = None, cells: dict[Any, Any] | None = None) -> Page:
    return Page(to_markdown(analyse(table(names or ["model.act", "width"], cells or CELLS)), "A sweep"))


def named(number: int, *told: Any, **more: Any) -> Run:
    """A job whose folder says nothing of its values, which may be no names of files."""
    return Run(SWEEP / str(number), job(number, *told, **more).fields)


def rows(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


class TestMarkdown:
    def test_the_ranked_table(self) -> None:
        first, *_ = page().tables
        assert first[0] == [
            *("#", "model.act", "width", "val_accuracy", "test_accuracy", "test_loss"),
            *("n", "parameters", "multiply-adds", "seconds"),
        ]
        assert first[1][:6] == ["1", "relu", "16", "0.9450 ± 0.0071", "0.9450 ± 0.0071", "0.2500 ± 0.0000"]
        assert first[1][6:] == ["2", "1,234,567", "2,345,678", "12.5"]
        assert [row[1:3] + row[6:7] for row in first[2:]] == [
            ["relu", "8", "2"],
            ["tanh", "16", "1/2"],
            ["tanh", "8", "2"],
        ]

    def test_effects_are_those_of_the_analysis(self) -> None:
        (comparison,) = analyse(table(["model.act", "width"], CELLS)).comparisons
        act, _ = comparison.effects
        relu, tanh = act.levels
        assert page().tables[1] == [
            ["value", "n", "mean", "95 % interval", "against the best", "95 % interval", "p"],
            ["relu", "4", number(relu.mean), interval(relu.low, relu.high), "best", "", ""],
            [
                *("tanh", "3", number(tanh.mean), interval(tanh.low, tanh.high), number(tanh.difference)),
                *(interval(tanh.difference_low, tanh.difference_high), probability(tanh.p)),
            ],
        ]
        assert f"F(1, 3) = {act.f:.2f}, p < 0.001, {100 * (act.share or 0):.0f} % of the variance" in page().text
        assert "the seed is a block of the model" in comparison.method
        assert comparison.method in page().text
        (both,) = comparison.interactions
        assert page().tables[3][1:] == [
            ["relu", *(number(c.mean) for c in both.cells[:2])],
            ["tanh", *(number(c.mean) for c in both.cells[2:])],
        ]

    def test_pairs_that_differ(self) -> None:
        (comparison,) = analyse(table(["model.act", "width"], CELLS)).comparisons
        apart = [pair for pair in comparison.pairs if not pair.within_noise]
        shown = page().tables[4]
        assert len(shown) == 1 + len(apart)
        assert 0 < len(apart) < len(comparison.pairs) == 6
        assert shown[1][2:7] == [
            number(apart[0].difference),
            interval(apart[0].low, apart[0].high),
            probability(apart[0].p),
            probability(apart[0].p_adjusted),
            f"{apart[0].test}, n = {apart[0].n}",
        ]
        # One row has one run, so that three of the six pairs have no interval.
        assert f"{len(apart)} of 3 differences have a 95 % interval without 0; " in page().text
        assert " 3 more cannot be tested." in page().text
        alone = page(["x"], {("a",): [0.9, 0.92, 0.91], ("b",): [0.5, 0.53, 0.51]})
        assert "1 of 1 difference has a 95 % interval without 0; 1 of them" in alone.text
        assert "cannot be tested" not in alone.text

    def test_where_nothing_can_be_tested_no_pair_is_counted(self) -> None:
        told = page(["x"], {("a",): [0.9], ("b",): [0.5], ("c",): [0.4]})
        assert "No difference can be tested. One run each: nothing can be said about noise." in told.text
        assert "95 % interval without 0" not in told.text
        mixed = page(["x"], {("a",): [0.9, 0.8], ("b",): [0.5], ("c",): [0.4]}).text
        assert "No difference can be tested. One of them has one run: nothing can be said about noise. One run" in mixed

    def test_broken_records_are_named(self) -> None:
        analysis = analyse(table(["x"], {("a",): [0.9], ("b",): [0.5]}))
        told = Page(to_markdown(analysis, unreadable=["a_b_/run.json"]))
        assert "1 record cannot be read and is left out: a_b_/run.json." in told.text
        names = [f"{i}/run.json" for i in range(7)]
        told = Page(to_markdown(analysis, unreadable=names))
        assert f"7 records cannot be read and are left out: {', '.join(names[:5])} and 2 more." in told.text
        assert "cannot be read" not in to_markdown(analysis)

    def test_warnings_and_failures(self) -> None:
        told = page()
        (comparison,) = analyse(table(["model.act", "width"], CELLS)).comparisons
        for caution in comparison.warnings:
            assert caution.text in told.text
        assert told.tables[-1][1:] == [["act=tanh width=16 seed=1", "failed", "Its record gives no reason.", ""]]

    def test_no_runs(self) -> None:
        assert to_markdown(analyse([])) == "# Report\n\nThere are no runs.\n"

    def test_one_run_and_all_failed(self) -> None:
        alone = Page(to_markdown(analyse([job(0)])))
        assert [len(t) for t in alone.tables] == [2]
        assert "What it costs" not in alone.text
        assert "What it costs" in page().text
        told = page(["x"], {("a",): ["failed"], ("b",): ["failed"]})
        assert [len(t) for t in told.tables] == [3, 3]
        assert "No completed run has a number." in told.text

    def test_a_rank_correlation(self) -> None:
        told = page(["lr"], {(i / 100,): [i / 50] for i in range(14)})
        assert "lr: Spearman's rank correlation +1.00 over 14 configurations, p < 0.001" in told.text

    def test_of_many_pairs_the_clearest_are_shown(self) -> None:
        told = page(["x"], {(i,): [i, i + 0.001 * (i % 7), i + 0.002] for i in range(12)})
        shown = next(t for t in told.tables if t[0][0] == "better")
        assert len(shown) == 31
        assert "The 30 with the smallest p:" in told.text

    def test_of_many_rows_not_all_are_compared(self) -> None:
        said = "Of more than 30 rows each is compared with the best and with the next one."
        assert said in page(["x"], {(f"v{i}",): [i, i + 0.1 * (i % 7)] for i in range(31)}).text
        assert said not in page(["x"], {(f"v{i}",): [i, i + 0.1 * (i % 7)] for i in range(30)}).text

    @pytest.mark.parametrize(
        "value",
        [
            "<script>alert(1)</script>",
            "a|b",
            "`a`",
            "a\\|b",
            "![x](http://x)",
            "**a** _b_ ~c~",
            "&lt;",
            "学习率",
            "@someone #1",
            "\\",
            "a  b",
            "[x]: y",
            "- a",
            "<!-- ",
        ],
    )
    @pytest.mark.one_in(1)
    def test_nothing_in_a_name_is_obeyed(self, value: str) -> None:
        runs = [
            named(0, 0.9, changed={value: value, "seed": 0}),
            named(1, 0.8, changed={value: value, "seed": 1}, git={"commit": value}),
            named(2, 0.3, changed={value: "b", "seed": 0}, git={"commit": "other"}),
            named(3, 0.4, "failed", changed={value: "b", "seed": 1}, error=value),
        ]
        told = Page(to_markdown(analyse(runs), value))
        assert told.tags <= {*("h1", "h2", "h3", "p", "ul", "li", "strong", "code"), *("table", "thead", "tbody")} | {
            *("tr", "th", "td")
        }
        shown = " ".join(value.split())
        ranked = [[" ".join(cell.split()) for cell in row] for row in told.tables[0]]
        assert [row[1] for row in ranked] == [shown, shown, "b"]
        assert {len(row) for row in ranked} == {9}
        assert [" ".join(row[2].split()) for row in told.tables[-1][1:]] == [shown]

    @given(st.text(max_size=12), st.text(max_size=12))
    @settings(max_examples=60, deadline=None)
    def test_any_text_stays_in_its_cell(self, key: str, value: str) -> None:
        runs = [
            named(i, 0.5 + i / 10, changed={f"x{key}": v, "seed": i % 2})
            for i, v in enumerate([value, value, "b", "b"])
        ]
        told = Page(to_markdown(analyse(runs)))
        assert "script" not in told.tags
        assert all(len(row) == len(t[0]) for t in told.tables for row in t)
        assert len(told.tables[0]) == len({value, "b"}) + 1


class TestCsv:
    def test_every_run_has_a_line(self) -> None:
        runs = table(["model.act", "width"], CELLS)
        heading, *lines = rows(to_csv(analyse(runs)))
        assert heading == [
            *("ranked_by", "rank", "run", "model.act", "width", "seed", "status", "counts"),
            *("val_accuracy", "test_accuracy", "test_loss"),
            *("parameters", "multiply_adds", "seconds", "error", "folder"),
        ]
        assert len(lines) == len(runs)
        by_name = {run.path.name: run for run in runs}
        for line in lines:
            told = dict(zip(heading, line, strict=True))
            run = by_name[told["run"]]
            assert [told["model.act"], told["width"], told["seed"]] == list(run.fields["changed"].values())
            assert (told["status"], told["folder"]) == (run.status, str(run.path))
            assert float(told["seconds"]) == run.fields["seconds"]
            assert told["parameters"] == "1234567"
            if run.status == "completed":
                assert float(told["val_accuracy"]) == run.fields["best"]["val_accuracy"]
                assert float(told["test_accuracy"]) == run.fields["metrics"]["test_accuracy"]
            else:
                assert (told["val_accuracy"], told["test_accuracy"]) == ("", "")
        assert {line[0] for line in lines} == {"val_accuracy max"}
        assert [line[1] for line in lines] == ["1", "1", "2", "2", "3", "3", "4", "4"]

    def test_the_means_follow_from_the_runs_that_count(self) -> None:
        """Of two runs with the same seed the later counts, and one that failed does not."""
        made = [(0, 1, 0.5), (1, 1, 0.7), (2, 2, 0.9)]
        runs = [job(n, changed={"x": 1, "seed": s}, seed=s, best={"val_accuracy": v}) for n, s, v in made]
        runs.append(job(3, status="failed", changed={"x": 1, "seed": 3}, seed=3, best={"val_accuracy": 0.1}))
        analysis = analyse(runs)
        heading, *lines = rows(to_csv(analysis))
        told = [dict(zip(heading, line, strict=True)) for line in lines]
        assert [r["counts"] for r in told] == ["no", "yes", "yes", "no"]
        value = analysis.comparisons[0].ranking.rows[0].value
        assert value is not None
        assert value.mean == pytest.approx(fmean(float(r["val_accuracy"]) for r in told if r["counts"] == "yes"))

    def test_a_carriage_return_ends_no_row(self) -> None:
        text = to_csv(analyse([job(0, changed={"x": 1}, error="step 1\rstep 2\r\nout")]))
        (_, line) = csv.reader(io.StringIO(text, newline=""))
        assert "step 1\nstep 2\nout" in line

    def test_several_metrics_and_columns(self) -> None:
        runs = [
            job(0, changed={"x": 1}),
            job(1, changed={"x": 1, "y": 2}, monitor="val_loss", mode="min", best={"val_loss": 0.5}),
            job(2, "nan", "failed", changed={"x": 3}, error="=1+1", parameters=None),
        ]
        heading, *lines = rows(to_csv(analyse(runs)))
        told = [dict(zip(heading, line, strict=True)) for line in lines]
        assert [(r["x"], r["y"], r["val_accuracy"], r["val_loss"]) for r in told] == [
            ("1", "", "0.5", ""),
            ("3", "", "", ""),
            ("1", "2", "", "0.5"),
        ]
        assert [(r["rank"], r["error"]) for r in told] == [("1", ""), ("", "'=1+1"), ("1", "")]
        assert [r["ranked_by"] for r in told] == ["val_accuracy max", "val_accuracy max", "val_loss min"]

    def test_no_runs(self) -> None:
        assert len(rows(to_csv(analyse([])))) == 1


def test_both_files_are_written(tmp_path: Path) -> None:
    analysis = analyse(table(["x"], {("学",): [0.5, math.nan]}))
    write(tmp_path, analysis, "标题")
    assert (tmp_path / "report.md").read_text(encoding="utf-8") == to_markdown(analysis, "标题")
    assert (tmp_path / "report.csv").read_text(encoding="utf-8") == to_csv(analysis)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.csv", "report.md"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (0.0, "0.0000"), (0.98765, "0.9877"), (-12.5, "-12.5000"), (1.5e-5, "1.500e-05"), (2e7, "2.000e+07")],
)
def test_numbers(value: float | None, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("p", "text"), [(None, ""), (0.0, "< 0.001"), (0.00099, "< 0.001"), (0.0414, "0.041"), (1.0, "1.000")]
)
def test_probabilities(p: float | None, text: str) -> None:
    assert probability(p) == text
    assert html.escape(text) == text or re.fullmatch("< 0.001", text)


@pytest.mark.parametrize(
    ("low", "high", "text"), [(None, None, ""), (0.25, 0.5, "0.2500 to 0.5000"), (-1e-5, 0.0, "-1.000e-05 to 0.0000")]
)
def test_intervals(low: float | None, high: float | None, text: str) -> None:
    assert interval(low, high) == text


@pytest.mark.parametrize(("mode", "better"), [("max", "more"), ("min", "less")])
def test_the_heading_says_what_is_better(mode: str, better: str) -> None:
    assert f"## `val_accuracy`: {better} is better" in to_markdown(analyse([job(0, mode=mode)]))
