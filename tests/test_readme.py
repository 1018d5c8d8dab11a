"""The README's Python runs, and the files it points to exist."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"
TEXT = README.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
LINKS = re.findall(r"\]\(([^)]+)\)", TEXT)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.splitlines()[0])
def test_code(block):
    for package in re.findall(r"^(?:import|from) ([\w.]+)", block, re.MULTILINE):
        if not package.startswith("relu_ext"):
            pytest.importorskip(package)
    exec(compile(block, str(README), "exec"), {"__name__": "__main__"})


EXAMPLES = sorted((README.parent / "tests" / "embedding").iterdir())


@pytest.mark.parametrize("path", [p for p in EXAMPLES if p.is_file()], ids=lambda path: path.name)
def test_examples_are_the_files(path):
    assert path.read_text(encoding="utf-8").rstrip() in TEXT


@pytest.mark.parametrize("link", LINKS)
def test_links(link):
    assert "://" in link or (README.parent / link).exists()
