"""The Python on the pages of the site runs as it stands."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
PAGES = {page.stem: re.findall(r"^```python\n(.*?)^```", page.read_text(), re.M | re.S) for page in DOCS.glob("*.md")}


@pytest.mark.slow
@pytest.mark.parametrize("page", sorted(name for name, blocks in PAGES.items() if blocks))
def test_blocks_of_a_page_run_in_order(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # some of them write files
    names: dict[str, object] = {}
    for number, block in enumerate(PAGES[page], start=1):
        exec(compile(block, f"docs/{page}.md, block {number}", "exec"), names)
    assert names["result"]
