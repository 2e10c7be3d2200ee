"""The report's page in a real browser: what it shows, what it does, and what it does not do."""

from __future__ import annotations

import json
import re
import shutil
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser

from cnnexp.cli import main
from cnnexp.report.page.sampled import first_samples
from tests import sweeping
from tests.browser import Opened, chromium, opened
from tests.fake_runs import fake_evaluation, fake_run, fake_sweep, fake_views, on_a_mat, write_json

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("browser"),  # one process makes the sweep, the pages and the browser
]

HOSTILE = "<script>alert(1)</script>"
ODD = {"model.activation": ("relu", f"\"'{HOSTILE}&amp;", "激活"), "optimizer.lr": ("0.1", "0.01")}
LIMIT = 5_000_000
SMALL = """\
activation: null
padding_mode: zeros
layers:
  - {type: Conv2d, out_channels: 4, kernel_size: 3, padding: 1, padding_mode: "${model.padding_mode}"}
  - ${model.activation}
  - {type: MaxPool2d, kernel_size: 4}
  - Flatten
  - {type: Linear, out_features: "${data.num_classes}"}
"""


def report(folder: Path, *words: str) -> Path:
    assert main(["report", str(folder), *words]) == 0
    return folder / "report.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of fake runs with hostile and foreign names, one of which failed, with views."""
    root = fake_sweep(tmp_path_factory.mktemp("odd") / "填充 <b>sweep", ODD, seeds=3, views=True)
    failed = root / "17_job"
    told = json.loads((failed / "run.json").read_text())
    error = f"RuntimeError: {HOSTILE}"
    write_json(
        failed / "run.json",
        {**told, "status": "failed", "error": error, "failure": "raised", "metrics": {}, "best": {}},
    )
    return root


@pytest.fixture(scope="module")
def odd_page(odd: Path) -> Path:
    return report(odd)


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = fake_run(tmp_path_factory.mktemp("single") / "run", epochs=8)
    fake_views(run)
    fake_evaluation(run, [[8, 2, 0], [1, 9, 0], [0, 3, 7]], ["猫", HOSTILE, "dog"])
    return report(run)


def column(page: Opened, name: str, table: str = "table.ranked") -> list[str]:
    """The cells of a column, of the rows that are shown, from top to bottom."""
    found: list[str] = page.page.evaluate(
        """([table, name]) => {
          const own = document.querySelector(table);
          const heading = [...own.querySelectorAll('thead th')].find((th) => th.innerText.trim().startsWith(name));
          const rows = [...own.tBodies[0].rows].filter((row) => !row.hidden);
          return rows.map((row) => row.cells[heading.cellIndex].innerText.trim());
        }""",
        [table, name],
    )
    return found


def assert_whole(page: Opened, figures: int) -> None:
    """Every figure is drawn, nothing is too wide, axe finds no serious fault, and the page complains of nothing."""
    page.wait_for_figures(figures)
    page.page.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
    assert page.too_wide() == 0
    assert page.faults() == page.complaints == page.asked == []


class TestTheAnswer:
    """The first sentences claim no more than the numbers do."""

    @staticmethod
    def told(tmp_path: Path, reached: dict[str, list[float]]) -> str:
        number = 0
        for name, values in reached.items():
            for seed, value in enumerate(values):
                fake_run(tmp_path / f"{number}_job", number, {"model.activation": name, "seed": str(seed)}, value=value)
                number += 1
        text = re.findall(r'<div class="lead">(.*?)</div>', report(tmp_path).read_text(encoding="utf-8"), re.DOTALL)[0]
        return re.sub(r"<[^>]+>", " ", text)

    def test_a_lead_that_all_seeds_agree_on_is_real(self, tmp_path: Path) -> None:
        told = self.told(tmp_path, {"relu": [0.90, 0.91, 0.92, 0.93], "tanh": [0.80, 0.812, 0.821, 0.829]})
        assert "“activation=relu” reached the highest val accuracy 0.9150 ± 0.0129" in told
        difference = np.array([0.90, 0.91, 0.92, 0.93]) - [0.80, 0.812, 0.821, 0.829]
        half = 3.1824 * difference.std(ddof=1) / 2  # of t with 3 degrees of freedom, 97.5 %
        bounds = f"+{difference.mean() - half:.4f} to +{difference.mean() + half:.4f}"
        assert f"is {difference.mean():.4f}, which is more than the noise of the seeds (95 % interval of the" in told
        assert bounds in told

    def test_a_lead_within_the_noise_is_called_that(self, tmp_path: Path) -> None:
        told = self.told(tmp_path, {"relu": [0.90, 0.80, 0.93], "tanh": [0.80, 0.91, 0.90], "gelu": [0.5, 0.5, 0.51]})
        assert "which is within the noise of the seeds" in told
        assert "1 of the 2 other configurations cannot be told from it." in told

    def test_those_that_cannot_be_told_from_the_best_are_all_that_no_test_tells(self, tmp_path: Path) -> None:
        told = self.told(tmp_path, {"relu": [0.90, 0.80, 0.93], "tanh": [0.80, 0.91, 0.90], "gelu": [0.5]})
        assert "None of the 2 other configurations can be told from it." in told
        # A p of 0.02 to 0.04 by itself is nothing among ten pairs.
        values = {name: [0.9 - 0.02 * i, 0.9 - 0.03 * i, 0.9 - 0.025 * i] for i, name in enumerate("abcde")}
        told = self.told(tmp_path / "many", values)
        assert "which may be chance among so many pairs" in told
        assert "None of the 4 other configurations can be told from it." in told

    def test_a_lead_at_shared_seeds_is_called_that(self, tmp_path: Path) -> None:
        for number, (name, seed, value) in enumerate(
            [("a", 0, 0.7), ("a", 1, 0.72), ("a", 2, 0.99), ("a", 3, 0.99), ("b", 0, 0.71), ("b", 1, 0.735)]
        ):
            fake_run(tmp_path / f"{number}_job", number, {"x": name, "seed": str(seed)}, value=value)
        text = report(tmp_path).read_text(encoding="utf-8")
        assert "The next, “x=b”, is 0.0125 ahead of it at the 2 seeds that both have, which is within" in text
        assert "within seed noise: at the 2 seeds that both have they differ in val_accuracy by -0.0125" in text

    def test_one_seed_says_nothing_about_noise(self, tmp_path: Path) -> None:
        told = self.told(tmp_path, {"relu": [0.90], "tanh": [0.80]})
        assert "0.9000 (one run)" in told
        assert "Whether that is more than chance cannot be told" in told

    def test_runs_without_a_number_are_told_with_the_best(self, tmp_path: Path) -> None:
        nan = float("nan")
        told = self.told(tmp_path / "one", {"relu": [nan, 0.95, nan], "tanh": [0.80, 0.81, 0.82]})
        assert "val accuracy 0.9500 (one run of 3; the others have no number)." in told
        told = self.told(tmp_path / "two", {"relu": [nan, 0.95, 0.93], "tanh": [0.80, 0.81, 0.82]})
        sd = statistics.stdev([0.95, 0.93])
        over = "(mean ± standard deviation over 2 of 3 seeds; the other has no number)"
        assert f"val accuracy 0.9400 ± {sd:.4f} {over}." in told
        assert "all completed, 2 without a number" in self.notes(tmp_path / "one")
        assert "all completed, 1 without a number" in self.notes(tmp_path / "two")

    def test_means_of_the_model_are_called_that(self, tmp_path: Path) -> None:
        fake_sweep(tmp_path / "whole", {"a": ["1", "2"], "b": ["1", "2"]})
        plain = report(tmp_path / "whole").read_text(encoding="utf-8")
        assert "The mean of every value over all values of the other choices" in plain
        assert "not plain averages" not in plain
        shutil.rmtree(tmp_path / "whole" / "0_job")
        fitted = report(tmp_path / "whole").read_text(encoding="utf-8")
        assert "The mean that the fitted model gives every value over all values of the other choices" in fitted
        assert "so the means below are those of the fitted model, not plain averages." in fitted

    def test_jobs_that_never_began_are_told(self, tmp_path: Path) -> None:
        root = tmp_path / "halted"
        for i, status in enumerate(["completed"] * 4 + ["interrupted"] * 2):
            place = {"number": i, "jobs": 12}
            fake_run(root / f"{i}_job", i, {"x": str(i % 2), "seed": str(i // 2)}, status=status, sweep=place)
        write_json(root / "sweep.json", {"status": "interrupted"})
        text = report(root).read_text(encoding="utf-8")
        assert "2 interrupted, 6 of 12 jobs have no record" in self.notes(root)
        told = f"6 of the 12 jobs of halted have not begun, or have no record: cnnexp resume {root} goes on with it."
        assert text.count(told) == 1
        assert (root / "report.md").read_text(encoding="utf-8").replace("\\", "").count(told) == 1

    def test_a_sweep_of_which_one_job_began_is_told_too(self, tmp_path: Path) -> None:
        run = fake_run(tmp_path / "halted" / "0_job", sweep={"number": 0, "jobs": 3})
        write_json(tmp_path / "halted" / "sweep.json", {"status": "interrupted"})
        told = "2 of the 3 jobs of halted have not begun, or have no record: cnnexp resume "
        assert told in report(tmp_path / "halted").read_text(encoding="utf-8")
        assert told not in report(run).read_text(encoding="utf-8")

    @staticmethod
    def notes(folder: Path) -> list[str]:
        """What stands beside the large numbers on top."""
        return re.findall(r'<span class="note">(.*?)</span>', (folder / "report.html").read_text(encoding="utf-8"))


class TestSamples:
    @pytest.mark.parametrize("lines", [1, 2])
    @pytest.mark.parametrize("samples", [1, 3])
    def test_the_first_rows_of_every_line_are_kept(self, lines: int, samples: int) -> None:
        tiles = np.random.default_rng(0).integers(0, 200, (lines, 5, 4, 6, 7, 1), dtype=np.uint8)
        paper = np.full((3, 4 * 9 + 2, 1), 255, np.uint8)
        whole = np.concatenate([part for block in tiles for part in (on_a_mat(block), paper)][:-1]).squeeze()
        wanted = np.concatenate([part for block in tiles for part in (on_a_mat(block[:samples]), paper)][:-1]).squeeze()
        assert np.array_equal(first_samples(Image.fromarray(whole), samples), wanted)

    def test_a_picture_without_a_mat_is_kept_whole(self) -> None:
        noise = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
        assert np.array_equal(first_samples(Image.fromarray(noise), 1), noise)


class TestASweep:
    def test_a_hostile_name_is_shown_and_does_nothing(self, browser: Browser, odd_page: Path) -> None:
        with opened(browser, odd_page) as it:
            said: list[str] = []
            it.page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
            it.wait_for_figures()
            assert said == []
            assert set(column(it, "activation")) == set(ODD["model.activation"])
            assert it.page.locator("h1").inner_text() == "填充 <b>sweep"
            assert it.page.locator("h1 b").count() == 0
            legend = it.page.locator(".overlaid .legendtext").all_text_contents()
            assert any(HOSTILE in text for text in legend), legend
            assert f"RuntimeError: {HOSTILE}" in it.page.locator("#r0-failures").inner_text()

    def test_every_column_sorts_both_ways(self, browser: Browser, odd_page: Path) -> None:
        with opened(browser, odd_page) as it:
            button = it.page.locator("table.ranked thead").get_by_role("button", name=re.compile("^val accuracy"))
            heading = button.locator("..")
            assert heading.get_attribute("aria-sort") == "none"
            for direction, wanted in (("ascending", False), ("descending", True)):
                button.click()
                assert heading.get_attribute("aria-sort") == direction
                shown = [float(text) for text in column(it, "val accuracy")]
                assert shown == sorted(shown, reverse=wanted)
            button = it.page.locator("table.ranked thead").get_by_role("button", name="lr")
            button.focus()
            it.page.keyboard.press("Enter")
            assert column(it, "lr") == ["0.01"] * 3 + ["0.1"] * 3
            assert heading.get_attribute("aria-sort") == "none"

    def test_it_filters_by_text_and_by_values(self, browser: Browser, odd_page: Path) -> None:
        with opened(browser, odd_page) as it:
            it.page.get_by_label("Search").fill("激活")
            assert column(it, "activation") == ["激活"] * 2
            assert (
                it.page.locator("table.ranked")
                .locator("..")
                .locator("..")
                .locator("output")
                .inner_text()
                .startswith("2 of 6 rows")
            )
            it.page.get_by_label("Search").fill("")
            assert len(column(it, "activation")) == 6
            it.page.get_by_label("activation", exact=True).select_option(ODD["model.activation"][1])
            assert column(it, "activation") == [ODD["model.activation"][1]] * 2
            it.page.get_by_label("lr", exact=True).select_option("0.1")
            assert column(it, "lr") == ["0.1"]

    def test_the_picked_rows_are_what_curves_and_feature_maps_show(self, browser: Browser, odd_page: Path) -> None:
        with opened(browser, odd_page) as it:
            it.wait_for_figures()
            legend = it.page.locator(".overlaid .legendtext")
            cards = it.page.locator(".sides > .card:visible")
            assert legend.count() == cards.count() == 5
            it.page.get_by_role("button", name="Pick none").click()
            it.until("document.querySelectorAll('.overlaid .legendtext').length === 0")
            assert cards.count() == 0
            for place in (5, 1):
                it.page.locator("table.ranked .pick input").nth(place).check()
            it.until("document.querySelectorAll('.overlaid .legendtext').length === 2")
            labels = it.page.locator("table.ranked .pick input").evaluate_all(
                "boxes => boxes.filter((b) => b.checked).map((b) => b.ariaLabel.replace('Pick ', ''))"
            )
            assert cards.locator("h3").all_inner_texts() == labels
            assert {text[:30] for text in legend.all_text_contents()} == {text[:30] for text in labels}
            it.page.get_by_label("Layer", exact=True).select_option("2 Conv2d output")
            pictures = it.page.locator(".sides img:visible")
            assert pictures.count() == 2
            assert all("2 Conv2d output" in str(p.get_attribute("alt")) for p in pictures.all())

    def test_the_curves_are_those_of_the_runs(self, browser: Browser, odd: Path, odd_page: Path) -> None:
        with opened(browser, odd_page) as it:
            it.wait_for_figures()
            it.page.get_by_role("button", name="Pick none").click()
            it.page.locator("table.ranked .pick input").first.check()
            it.page.get_by_label("Metric", exact=True).select_option("train loss")
            it.until("document.querySelector('.overlaid').data?.length === 2")
            runs = column(it, "runs")[0].split(", ")
            measured = [np.genfromtxt(odd / f"{n}_job" / "metrics.csv", delimiter=",", names=True) for n in runs]
            losses = np.stack([m["train_loss"] for m in measured])
            band, line = it.page.evaluate("document.querySelector('.overlaid').data.map((t) => [t.x, t.y])")
            assert line[0] == [0, 1, 2]
            np.testing.assert_allclose(line[1], losses.mean(axis=0), rtol=1e-4)
            np.testing.assert_allclose(band[1], [*losses.max(axis=0), *losses.min(axis=0)[::-1]], rtol=1e-4)
            it.page.get_by_text("The numbers behind the curves").click()
            it.until("document.querySelectorAll('details.behind tbody tr').length === 3")

    def test_the_switch_to_dark_is_remembered(self, browser: Browser, odd_page: Path) -> None:
        with opened(browser, odd_page) as it:
            it.wait_for_figures()
            colour = "getComputedStyle(document.body).backgroundColor"
            axis = "getComputedStyle(document.querySelector('.xtick text')).fill"
            light, light_axis = it.page.evaluate(colour), it.page.evaluate(axis)
            switch = it.page.get_by_role("button", name="Dark mode")
            assert switch.get_attribute("aria-pressed") == "false"
            switch.click()
            assert switch.get_attribute("aria-pressed") == "true"
            dark = it.page.evaluate(colour)
            assert sum(map(int, re.findall(r"\d+", dark)[:3])) < 120 < sum(map(int, re.findall(r"\d+", light)[:3]))
            it.until(f"({axis}) !== '{light_axis}'")
            it.until_loaded_anew(f"{colour} === '{dark}'")

    def test_it_follows_the_system_until_it_is_told(self, browser: Browser, odd_page: Path) -> None:
        with opened(browser, odd_page, scheme="dark") as it:
            assert it.page.get_by_role("button", name="Dark mode").get_attribute("aria-pressed") == "true"

    @pytest.mark.parametrize(("scheme", "width"), [("light", 390), ("dark", 1440)])
    def test_it_is_quiet_and_whole(self, browser: Browser, odd_page: Path, scheme: str, width: int) -> None:
        with opened(browser, odd_page, width=width, scheme=scheme) as it:
            assert_whole(it, 4)

    def test_on_paper_it_is_light_and_has_every_figure(self, browser: Browser, odd_page: Path) -> None:
        with opened(browser, odd_page, scheme="dark") as it:
            it.until("'Plotly' in window")
            sheet = it.page.pdf(format="A4")
            assert sheet.startswith(b"%PDF")
            plots = it.page.locator(".plot")
            assert plots.count() == plots.locator(".main-svg:first-child").count() > 3
            assert it.page.get_by_role("button", name="Dark mode").get_attribute("aria-pressed") == "true"
            it.page.evaluate("dispatchEvent(new Event('beforeprint'))")
            assert it.page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "light"
            widths = plots.evaluate_all("all => all.map((plot) => plot.querySelector('.main-svg').clientWidth)")
            assert max(widths) <= 42 * 16
            assert it.complaints == it.asked == []

    def test_without_scripts_every_number_and_picture_is_there(self, browser: Browser, odd_page: Path) -> None:
        with opened(browser, odd_page, java_script_enabled=False) as it:
            assert it.page.locator("table.ranked tbody tr").count() == 6
            assert it.page.locator(".sides img").first.is_visible()
            assert not it.page.get_by_label("Search").is_visible()
            assert not it.page.locator(".pick").first.is_visible()


class TestARun:
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_it_is_quiet_and_whole(self, browser: Browser, single: Path, scheme: str) -> None:
        with opened(browser, single, scheme=scheme) as it:
            for heading in ("What it was", "Curves", "Classes", "Most wrong", "Feature maps", "Activations", "Timing"):
                assert it.page.get_by_role("heading", name=heading, exact=True).count() == 1
            assert_whole(it, 5)

    def test_the_scores_are_those_of_the_matrix(self, browser: Browser, single: Path) -> None:
        matrix = np.array([[8, 2, 0], [1, 9, 0], [0, 3, 7]])
        right, support, taken = matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)
        with opened(browser, single) as it:
            table = "#classes .pair table"
            assert column(it, "class", table) == ["猫", HOSTILE, "dog"]
            for name, wanted in (
                ("precision", right / taken),
                ("recall", right / support),
                ("F1", 2 * right / (support + taken)),
            ):
                assert column(it, name, table) == [f"{value:.4f}" for value in wanted]
            assert column(it, "samples", table) == ["10", "10", "10"]
            told = it.page.locator("#classes > p").inner_text()
            assert "80.0\N{NO-BREAK SPACE}% of them were right" in told
            assert f"recall {np.mean(right / support):.4f}" in told

    def test_the_pictures_are_those_of_the_folder(self, browser: Browser, single: Path) -> None:
        with opened(browser, single) as it:
            sizes = it.page.locator("#maps img").evaluate_all(
                "all => all.map((i) => [i.naturalWidth, i.naturalHeight])"
            )
            assert sizes == [[36, 274], *[[546, 274]] * 4]
            mistake = it.page.locator("#wrong img")
            assert mistake.count() == 1
            assert mistake.evaluate("(image) => [image.naturalWidth, image.naturalHeight]") == [32, 32]
            assert all(it.page.locator("img").evaluate_all("all => all.map((i) => i.alt.length > 5)"))
            drawn = (
                it.page.locator("#maps img")
                .nth(1)
                .evaluate(
                    """(image) => {
                  const canvas = document.createElement('canvas');
                  [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
                  canvas.getContext('2d').drawImage(image, 0, 0);
                  return [...canvas.getContext('2d').getImageData(2, 2, 32, 1).data].filter((_, i) => i % 4 === 0);
                }"""
                )
            )
            noise = np.random.default_rng(0)
            noise.integers(0, 255, (8, 1, 32, 32, 3), dtype=np.uint8)  # the input
            assert drawn == noise.integers(0, 255, (8, 16, 32, 32, 1), dtype=np.uint8)[0, 0, 0].ravel().tolist()

    def test_what_a_failed_run_left_is_shown(self, tmp_path: Path, browser: Browser) -> None:
        run = fake_run(
            tmp_path / HOSTILE.replace("/", "∕"), status="failed", error="the loss is nan", best=None, metrics=None
        )
        for name in ("metrics.csv", "config.yaml", "layers.txt", "model.py"):
            (run / name).unlink()
        with opened(browser, report(run)) as it:
            assert "the loss is nan" in it.page.locator("#ended").inner_text()
            it.page.get_by_text("The end of log.txt").click()
            assert "the last line" in it.page.locator("#ended pre").inner_text()
            assert it.page.locator(".plot").count() == 0
            assert it.complaints == it.asked == []


class TestFigures:
    def test_plotly_knows_every_key_of_them(self, odd_page: Path, single: Path) -> None:
        graph_objects = pytest.importorskip("plotly.graph_objects")
        for file in (odd_page, single):
            told = json.loads(re.findall(r'id="data">(.*?)</script>', file.read_text(encoding="utf-8"), re.DOTALL)[0])
            plots = [plot for figure in told["figures"].values() for plot in figure]
            assert len(plots) > 3
            for plot in plots:
                graph_objects.Figure(plot)


class TestTheFile:
    def test_300_runs_stay_below_five_megabytes_and_quick(self, tmp_path: Path, browser: Browser) -> None:
        runs = 300
        factors = {"a": [f"value {i}" for i in range(5)], "b": [f"value {i}" for i in range(runs // 10)]}
        page = report(fake_sweep(tmp_path / "sweep", factors, views=True, epochs=100))
        assert 3_000_000 < page.stat().st_size < LIMIT
        with opened(browser, page) as it:
            it.wait_for_figures()
            it.page.get_by_label("Search").fill("value 3")
            shown = column(it, "a")
            assert 0 < len(shown) < runs // 2
            assert it.complaints == it.asked == []

    def test_one_run_with_very_large_views_stays_below_five_megabytes(self, tmp_path: Path) -> None:
        run = fake_run(tmp_path / "run", epochs=3000)
        fake_views(run, layers=60)
        page = report(run)
        assert page.stat().st_size < LIMIT
        assert "are in the run’s folder only" in page.read_text(encoding="utf-8")

    def test_the_same_runs_give_the_same_bytes(self, odd: Path, odd_page: Path) -> None:
        before = odd_page.read_bytes()
        assert report(odd).read_bytes() == before

    def test_it_names_nothing_to_load(self, odd_page: Path) -> None:
        text = re.sub(
            r'<script type="(text/plain|application/json)".*?</script>', "", odd_page.read_text(), flags=re.DOTALL
        )
        assert re.findall(r"https?://[^\s\"'<]+", text) == []
        assert "default-src &#39;none&#39;" in text
        assert re.findall(r"<[^>]+\son\w+=", text) == []

    def test_no_value_turns_the_words_after_it_around(self, tmp_path: Path) -> None:
        page = report(fake_sweep(tmp_path / "s", {"model.x": ["a", "\u202eabc\u2067"]}, seeds=2))
        text = page.read_text(encoding="utf-8")
        assert not re.search("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]", text)
        assert "\\u202eabc\\u2067" in text
        told = json.loads(re.findall(r'id="data">(.*?)</script>', text, re.DOTALL)[0])
        assert "\\u202eabc" in json.dumps(told, ensure_ascii=False).replace("\\\\", "\\")

    def test_a_thousand_classes_are_readable(self, tmp_path: Path, browser: Browser) -> None:
        run = fake_run(tmp_path / "run")
        matrix = np.eye(1000, dtype=int) * 9
        matrix[3, 700] = 5
        fake_evaluation(run, matrix)
        with opened(browser, report(run)) as it:
            assert "the 60 that are confused most" in it.page.locator("#confusion figcaption").inner_text()
            assert it.page.locator("#classes .pair table").first.locator("tbody tr").count() == 1000
            assert it.page.locator("#classes .pair table").nth(1).locator("tbody tr").first.inner_text().split()[
                :3
            ] == ["3", "700", "5"]


class TestOddFolders:
    """Nothing that lies in a folder ends the command, and what is not there is not shown."""

    @pytest.mark.parametrize("odd_value", ["nan", "inf", None, "fast", [1]])
    def test_metrics_that_are_no_numbers(self, tmp_path: Path, odd_value: Any) -> None:
        fake_sweep(tmp_path / "sweep", {"a": ["1", "2"]}, value=odd_value)
        assert "has a number" in report(tmp_path / "sweep").read_text(encoding="utf-8")

    def test_all_failed(self, tmp_path: Path) -> None:
        fake_sweep(
            tmp_path / "sweep", {"a": ["1", "2"]}, status="failed", error="as it was told", best=None, metrics=None
        )
        text = report(tmp_path / "sweep").read_text(encoding="utf-8")
        assert "4 runs" in text
        assert text.count("as it was told") >= 1

    def test_broken_files_are_left_out_and_broken_records_named(self, tmp_path: Path) -> None:
        root = fake_sweep(tmp_path / "sweep", {"a": ["1", "2"]}, views=True)
        for number, name in enumerate(("metrics.csv", "views/views.json", "views/plain/0_output.png", "config.yaml")):
            (root / f"{number}_job" / name).write_bytes(b"\xff\x00{[")
        write_json(root / "0_job" / "evaluation.json", {"confusion": [[1, 2]], "wrong": 3})
        fake_run(root / "broken")
        (root / "broken" / "run.json").write_text("{")
        assert "broken/run.json" in report(root).read_text(encoding="utf-8")
        told = (root / "report.md").read_text(encoding="utf-8")
        assert "1 record cannot be read and is left out: broken/run.json." in told

    @pytest.mark.parametrize("reached", ["nan", "inf", None])
    def test_a_run_whose_metrics_are_no_numbers(self, tmp_path: Path, reached: Any) -> None:
        best, metrics = {"epoch": 1, "val_accuracy": reached}, {"test_accuracy": reached, "test_loss": 0.25}
        text = report(fake_run(tmp_path / "run", best=best, metrics=metrics)).read_text(encoding="utf-8")
        shown = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
        assert shown.count(">no number<") == 2
        assert f">{reached}<" not in shown
        assert "at the best epoch, 1 (counted from 0)" in shown

    @pytest.mark.parametrize("epochs", [1, 2])
    def test_the_axis_of_a_single_epoch_has_no_other_one(self, tmp_path: Path, browser: Browser, epochs: int) -> None:
        for name, of in (("run", [0]), ("sweep", [0, 1])):
            for i in of:
                fake_run(tmp_path / name / f"{i}_job", i, {"x": str(i)}, epochs=epochs)
            with opened(browser, report(tmp_path / name)) as it:
                it.wait_for_figures()
                plot = ".overlaid" if name == "sweep" else "#curves .plot"
                ticks = it.page.locator(plot).first.locator(".xtick text").all_text_contents()
                assert ticks == [str(epoch) for epoch in range(epochs)]
                assert it.page.locator(plot).first.locator(".xtitle").text_content() == "epoch, from 0"

    @pytest.mark.parametrize(
        "config", [f"a: {'[' * n}{']' * n}" for n in (900, 2000, 50_000)] + ["a: &a [*a]", "a: [{? [b] : 1}]"]
    )
    def test_a_config_that_cannot_be_compared(self, tmp_path: Path, config: str) -> None:
        for name in "ab":
            fake_run(tmp_path / "all" / name / "run")
        (tmp_path / "all" / "a" / "run" / "config.yaml").write_text(config)
        assert "<h1" in report(tmp_path / "all").read_text(encoding="utf-8")

    def test_links_to_themselves(self, tmp_path: Path) -> None:
        run = fake_run(tmp_path / "run")
        fake_views(run, layers=1)
        for file in (*(run / "views" / "plain").iterdir(), run / "metrics.csv", run / "config.yaml", run / "log.txt"):
            file.unlink()
            file.symlink_to(file.name)
        assert "data:image" not in report(run).read_text(encoding="utf-8")

    def test_a_picture_outside_the_run_is_not_shown(self, tmp_path: Path, single: Path) -> None:
        run = fake_run(tmp_path / "run")
        fake_views(run, layers=1)
        secret = tmp_path / "secret.png"
        shutil.copy(run / "views" / "plain" / "0_output.png", secret)
        told = json.loads((run / "views" / "views.json").read_text())
        told["images"][0]["plain"] = "../secret.png"
        told["images"][1]["plain"] = str(secret)
        write_json(run / "views" / "views.json", told)
        assert "data:image" not in report(run).read_text(encoding="utf-8")

    @pytest.mark.parametrize("box", [[0, 0, 10**400, 5], [-1, 0, 5, 5], [5, 0, 5, 5], [0.5, 0, 5, 5], "all", [1]])
    def test_a_box_that_is_no_part_of_its_picture(self, tmp_path: Path, box: Any) -> None:
        run = fake_run(tmp_path / "run")
        fake_evaluation(run, [[8, 2], [1, 9]])
        told = json.loads((run / "evaluation.json").read_text())
        told["wrong"][0]["box"] = box
        write_json(run / "evaluation.json", told)
        assert '<h2 id="wrong-title"' in report(run).read_text(encoding="utf-8")

    @pytest.mark.parametrize("count", [10**400, -(10**400), -7])
    def test_counts_that_are_none(self, tmp_path: Path, count: int) -> None:
        fake_sweep(tmp_path / "sweep", {"a": ["1", "2"]}, parameters=count, multiply_adds=count, seconds=-5)
        fake_run(tmp_path / "sweep" / "4_job", 4, {"a": "3"}, parameters=2000)
        text = report(tmp_path / "sweep").read_text(encoding="utf-8")
        assert '<td class="number" data-key="2000">2,000</td>' in text
        assert str(abs(count)) not in re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL) or count == -7
        assert "times the parameters" not in text

    @pytest.mark.parametrize(
        ("status", "heading", "said"),
        [
            ("running", "How far it is", "Its record says:"),
            ("failed", "How it ended", "The run failed:"),
            ("interrupted", "How it ended", "The run was interrupted:"),
        ],
    )
    def test_a_run_that_did_not_complete(self, tmp_path: Path, status: str, heading: str, said: str) -> None:
        text = report(fake_run(tmp_path / "run", status=status, error="why")).read_text(encoding="utf-8")
        assert f">{heading}</h2>" in text
        assert f"<strong>{said}</strong> why" in text

    def test_pairs_that_have_no_room_are_told(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        fake_sweep(tmp_path / "few", {"a": list("123456")})
        assert "<summary>All other pairs (10)</summary>" in report(tmp_path / "few").read_text(encoding="utf-8")
        fake_sweep(tmp_path / "many", {"a": [str(i) for i in range(32)]}, seeds=1)
        text = report(tmp_path / "many").read_text(encoding="utf-8")
        assert "<summary>Each against the next in rank (30)</summary>" in text
        monkeypatch.setattr("cnnexp.report.page.pairs._MOST", 4)
        text = report(tmp_path / "few").read_text(encoding="utf-8")
        assert "<summary>All other pairs: the first 4 of 10 (4)</summary>" in text

    def test_long_values_that_begin_alike_are_drawn_apart(self, tmp_path: Path) -> None:
        pools = [f"{{type: AvgPool2d, kernel_size: {k}, stride: 1}}" for k in (2, 3, 4)]
        fake_sweep(tmp_path / "sweep", {"model.pool": pools, "x": ["1", "2"]})
        text = report(tmp_path / "sweep").read_text(encoding="utf-8")
        figures = json.loads(re.findall(r'id="data">(.*?)</script>', text)[0])["figures"]
        assert len({y for trace in figures["r0-effects"][0]["data"] for y in trace["y"]}) == 5
        (together,) = figures["r0-interaction-0"]
        assert {len(set(trace["x"])) for trace in together["data"]} == {3}

    def test_filters_offer_numbers_in_their_order(self, tmp_path: Path) -> None:
        fake_sweep(tmp_path / "sweep", {"a": ["10", "9", "0.5", "x"]})
        text = report(tmp_path / "sweep").read_text(encoding="utf-8")
        assert re.findall(r'<option value="=([^"]*)">', text) == ["0.5", "9", "10", "x"]

    def test_runs_of_several_sweeps_are_named_after_them(self, tmp_path: Path) -> None:
        for name in ("one", "two"):
            run = fake_run(tmp_path / "all" / name / "0_job", changed={"x": name}, seed=int(name == "two"))
            (run / "config.yaml").write_text(f"model: {{x: {name}}}\n")
        text = report(tmp_path / "all").read_text(encoding="utf-8")
        assert text.count(">one/0_job</") == text.count(">two/0_job</") == 2

    def test_one_class(self, tmp_path: Path) -> None:
        run = fake_run(tmp_path / "run")
        fake_evaluation(run, [[5]])
        assert "100.0\N{NO-BREAK SPACE}% of them were right" in report(run).read_text(encoding="utf-8")

    def test_runs_of_two_metrics_are_kept_apart(self, tmp_path: Path) -> None:
        fake_sweep(tmp_path / "all" / "a", {"x": ["1", "2"]})
        fake_sweep(tmp_path / "all" / "b", {"x": ["1", "2"]}, monitor="val_loss", mode="min", best={"val_loss": 0.5})
        text = report(tmp_path / "all").read_text(encoding="utf-8")
        assert ">Val accuracy</h2>" in text
        assert ">Val loss</h2>" in text
        fake_sweep(tmp_path / "all" / "c", {"x": ["1", "2"]}, mode="min")
        text = report(tmp_path / "all").read_text(encoding="utf-8")
        assert ">Val accuracy, more is better</h2>" in text
        assert ">Val accuracy, less is better</h2>" in text


class TestTheCommand:
    def test_it_says_what_it_wrote(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        run = fake_run(tmp_path / "run")
        assert main(["report", str(run)]) == 0
        assert capsys.readouterr().out.splitlines() == [str(run / f"report.{end}") for end in ("html", "csv", "md")]
        assert main(["report", str(run), "--output", str(tmp_path / "mine.html")]) == 0
        assert all((tmp_path / f"mine.{end}").is_file() for end in ("html", "csv", "md"))

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (["{}/empty"], "error: no runs in {}/empty\n1 problem; nothing was run\n"),
            (["{}/absent"], "error: there is no folder '{}/absent'\n1 problem; nothing was run\n"),
            (["{}/file"], "error: '{}/file' is no folder\n1 problem; nothing was run\n"),
            (
                ["{}/run", "--output", "page.pdf"],
                "error: --output must name an .html file, not 'page.pdf'\n1 problem; nothing was run\n",
            ),
            (
                ["{}/run", "--output", "{}/page.html"],
                "error: '{}/page.md' cannot be written: is a directory\n"
                "  hint: choose another place with --output FILE.html\n1 problem; nothing was run\n",
            ),
            (
                ["{}/run", "--output", "{}/absent/page.html"],
                "error: '{}/absent/page.html' cannot be written: no such file or directory\n"
                "  hint: choose another place with --output FILE.html\n1 problem; nothing was run\n",
            ),
        ],
    )
    def test_what_it_cannot_do_is_one_problem(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], told: str
    ) -> None:
        (tmp_path / "empty").mkdir()
        (tmp_path / "file").touch()
        (tmp_path / "page.md").mkdir()
        fake_run(tmp_path / "run")
        before = sorted(tmp_path.rglob("*"))
        assert main(["report", *(word.format(tmp_path) for word in words)]) == 2
        assert capsys.readouterr().err == told.format(tmp_path, tmp_path)
        assert sorted(tmp_path.rglob("*")) == before

    def test_a_missing_extra_is_named(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = fake_run(tmp_path / "run")
        monkeypatch.setattr("cnnexp.cli.report.find_spec", lambda name: None if name == "plotly" else object())
        assert main(["report", str(run)]) == 2
        assert capsys.readouterr().err == (
            "error: a report needs plotly\n  hint: pip install 'cnnexp[report]'\n1 problem; nothing was run\n"
        )


@pytest.fixture(scope="session")
def real_sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve jobs as a person runs them: two activations, three ways to pad, two seeds."""
    work = tmp_path_factory.mktemp("real")
    (work / "conf" / "model").mkdir(parents=True)
    (work / "conf" / "model" / "small.yaml").write_text(SMALL)
    words = ("model=small", "model.activation=relu,tanh", "model.padding_mode=zeros,circular,reflect", "sweep.seeds=2")
    quick = ("trainer.max_epochs=2", "data.batch_size=256", "sweep.threads=1")
    assert sweeping.cnnexp(work, "--multirun", *words, *quick, "logger=none").code == 0
    return sweeping.sweep_folder(work)


class TestARealSweep:
    """Twelve jobs on the digits, in the page that a person would open."""

    def test_it_is_quiet_at_both_widths_and_in_both_schemes(self, browser: Browser, real_sweep: Path) -> None:
        page = report(real_sweep)
        for scheme in ("light", "dark"):
            with opened(browser, page, scheme=scheme) as it:
                for width in (1440, 390):
                    it.page.set_viewport_size({"width": width, "height": 900})
                    assert_whole(it, 4)
                    assert it.page.locator(".sides img:visible").count() == 5

    def test_means_and_deviations_are_those_of_the_records(self, browser: Browser, real_sweep: Path) -> None:
        reached: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for told in sweeping.records(real_sweep).values():
            changed = told["changed"]
            reached.setdefault((changed["model.activation"], changed["model.padding_mode"]), []).append(told)
        with opened(browser, report(real_sweep)) as it:
            columns = ("activation", "padding_mode", "val accuracy", "n", "test accuracy", "test loss")
            shown = list(zip(*(column(it, name) for name in columns), strict=True))
            assert len(shown) == len(reached) == 6
            for activation, padding, value, n, accuracy, loss in shown:
                runs = reached[activation, padding]
                assert n == str(len(runs)) == "2"
                assert value == f"{statistics.mean(r['best']['val_accuracy'] for r in runs):.4f}"
                assert accuracy == f"{statistics.mean(r['metrics']['test_accuracy'] for r in runs):.4f}"
                assert loss == f"{statistics.mean(r['metrics']['test_loss'] for r in runs):.4f}"
            deviations = column(it, "± sd")
            for (activation, padding, *_), sd in zip(shown, deviations, strict=True):
                values = [r["best"]["val_accuracy"] for r in reached[activation, padding]]
                assert sd == f"± {np.std(values, ddof=1):.4f}"
            assert [row[2] for row in shown] == sorted((row[2] for row in shown), reverse=True)

    def test_effects_are_those_of_the_records(self, browser: Browser, real_sweep: Path) -> None:
        told = list(sweeping.records(real_sweep).values())
        y = np.array([r["best"]["val_accuracy"] for r in told])
        names = [(r["changed"]["model.activation"], r["changed"]["model.padding_mode"]) for r in told]
        seeds = [r["seed"] for r in told]
        # Both seeds saw every combination, so that the seed is a block.
        rows = zip(names, seeds, strict=True)
        design = np.array([[1, a == "relu", p == "circular", p == "zeros", s == 1] for (a, p), s in rows], float)
        rest = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
        error = np.sqrt(rest @ rest / 7)
        quantile = 2.3646  # of t with 12 - 5 degrees of freedom, 97.5 %
        means = {
            (choice, value): y[[name[place] == value for name in names]].mean()
            for place, choice in enumerate(("activation", "padding_mode"))
            for value in {name[place] for name in names}
        }
        with opened(browser, report(real_sweep)) as it:
            it.page.get_by_text("The numbers behind “What each choice does by itself”").click()
            headings = ("choice", "value", "runs", "mean", "to the best", "95 % interval of that")
            shown = list(zip(*(column(it, name, "#r0-effects table") for name in headings), strict=True))
            assert {(row[0], row[1]) for row in shown} == means.keys()
            for choice, value, n, mean, behind, bounds in shown:
                own, best = means[choice, value], max(m for (c, _), m in means.items() if c == choice)
                count = 6 if choice == "activation" else 4
                assert (n, mean) == (str(count), f"{own:.4f}")
                if behind != "best":
                    half = quantile * error * np.sqrt(2 / count)
                    low, high = (float(text.replace("−", "-")) for text in bounds.split(" to "))
                    assert float(behind.replace("−", "-")) == pytest.approx(own - best, abs=6e-5)
                    assert (low, high) == pytest.approx((own - best - half, own - best + half), abs=2e-4)
