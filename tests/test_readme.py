"""The README's Python runs, and the files it points to exist."""

import re
from pathlib import Path

import pytest

import relu_ext

README = Path(__file__).parent.parent / "README.md"
TEXT = README.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
NAMES = TEXT.partition("## All names")[2].partition("\n## ")[0]
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


def test_all_names_are_in_the_table():
    public = [name for name in relu_ext.__all__ if not name.startswith("_")]
    assert sorted(re.findall(r"^\| `(\w+)[^`]*` \|", NAMES, re.MULTILINE)) == public


@pytest.mark.parametrize("link", LINKS)
def test_links(link):
    assert "://" in link or (README.parent / link).exists()
