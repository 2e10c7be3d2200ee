"""What the documentation shows works as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
import yaml

import cnnexp

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
YAMLS = [
    pytest.param(text, id=f"{page}-{index}")
    for page in ("docs/language.md", "README.md")
    for index, text in enumerate(re.findall(r"```yaml\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL))
    if "layers:" in text
]


@pytest.mark.parametrize("text", YAMLS)
def test_a_network_in_the_documentation_fits(text: str, tmp_path: Path) -> None:
    file = tmp_path / "shown.yaml"
    file.write_text(text)
    model = cnnexp.plan(file, input_shape=(3, 32, 32)).build(seed=0)
    assert model(torch.randn(2, 3, 32, 32)).shape == (2, 10)
    assert "layers" in yaml.safe_load(text)


def test_links_between_pages_lead_somewhere() -> None:
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
