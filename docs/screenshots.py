"""Makes the pictures of the README from real runs: `make screenshots`.

Needs Chromium (Debian: `apt-get install chromium`) and the extra `[dev]`. Takes some minutes.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

IMAGES = Path(__file__).resolve().parent / "images"
SWEEP = ("model.activation=relu,sigmoid,tanh", "model.padding_mode=zeros,circular", "sweep.seeds=3")
WINDOW = ("kernel_size=3", "stride=2", "padding=1", "padding_mode=circular", "--input", "1,6,6")


def cnnexp(folder: Path, *words: str) -> str:
    """Run one command in a folder, and give what it printed."""
    command = [sys.executable, "-m", "cnnexp", *words]
    return subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout


def only(folder: Path, pattern: str) -> Path:
    """The one path that fits."""
    (found,) = folder.glob(pattern)
    return found


def photograph(page_file: Path, name: str, width: int, height: int, dark: bool = False) -> None:
    """A picture of a page, as Chromium shows it."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        theme = "dark" if dark else "light"
        page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=theme)
        page.goto(page_file.as_uri())
        page.locator("figure").first.scroll_into_view_if_needed()  # figures are drawn when they come into view
        page.wait_for_selector(".js-plotly-plot .main-svg", state="attached")
        page.evaluate("scrollTo(0, 0)")
        page.screenshot(path=IMAGES / name)
        browser.close()
    smaller(IMAGES / name)


def smaller(file: Path) -> None:
    """The same picture with 256 colours: a quarter of the bytes in the repository."""
    with Image.open(file) as image:
        image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(file, optimize=True)


def main() -> None:
    """Make all of them."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cnnexp(folder, "--multirun", *SWEEP)
        sweep = only(folder, "outputs/sweeps/*")
        cnnexp(folder, "report", str(sweep))
        photograph(sweep / "report.html", "report.png", 1280, 1500)
        photograph(sweep / "report.html", "report-dark.png", 390, 844, dark=True)
        cnnexp(folder, "show", "model=single_conv", "show.samples=4")
        shown = only(folder, "outputs/shows/*")
        for kind in ("output", "kernels"):
            shutil.copy(only(shown, f"**/*Conv2d_{kind}.png"), IMAGES / f"show-{kind}.png")
        cnnexp(folder, "layers", "Conv2d", "--picture", str(IMAGES / "window.gif"), *WINDOW)
        cnnexp(folder, "check", "model=resnet20_cifar", "--picture", str(IMAGES / "network.png"))
    smaller(IMAGES / "network.png")
    for file in sorted(IMAGES.iterdir()):
        print(f"{file.name:20} {file.stat().st_size / 1000:8.0f} kB")


if __name__ == "__main__":
    main()
