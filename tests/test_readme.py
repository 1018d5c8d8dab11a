"""Every README: its Python runs, its examples are the files, and what it links to exists."""

import inspect
import re
from pathlib import Path

import numpy as np
import pytest

import relu_ext

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
TEXTS = {
    path: path.read_text(encoding="utf-8")
    for path in [README, *sorted(ROOT.glob("[!.]*/README.md"))]  # pytest's cache has one, too
}
BLOCKS = [
    block
    for text in TEXTS.values()
    for block in re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
]
LINKS = [
    (path, link) for path, text in TEXTS.items() for link in re.findall(r"\]\(([^)\s]+)\)", text)
]
EXAMPLES = [path for path in sorted((ROOT / "tests" / "embedding").iterdir()) if path.is_file()]
NAMES = TEXTS[README].partition("## All names")[2].partition("\n##")[0]


def test_each_folder_for_people_has_a_readme():
    """Else the rest would pass on the few that are found."""
    folders = {path.parent.relative_to(ROOT).as_posix() for path in TEXTS}
    assert folders == {".", "bench", "csrc", "relu_ext", "tests"}


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.splitlines()[0])
def test_code(block):
    for package in re.findall(r"^(?:import|from) ([\w.]+)", block, re.MULTILINE):
        if not package.startswith("relu_ext"):
            pytest.importorskip(package)
    exec(compile(block, "README.md", "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_are_the_files(path):
    assert path.read_text(encoding="utf-8").rstrip() in TEXTS[ROOT / "csrc" / "README.md"]


def test_all_names_are_in_the_table():
    public = [name for name in relu_ext.__all__ if not name.startswith("_")]
    assert sorted(re.findall(r"^\| `(\w+)[^`]*` \|", NAMES, re.MULTILINE)) == public


def test_ufuncs_are_told_from_the_others():
    (ufuncs,) = re.findall(r"^- \*\*Ufuncs:\*\* ([^.]*)\.", TEXTS[README], re.MULTILINE)
    (others,) = re.findall(r"^- \*\*Not ufuncs:\*\* ([^.]*)\.", TEXTS[README], re.MULTILINE)
    public = {name: getattr(relu_ext, name) for name in relu_ext.__all__}
    wanted = {name for name, value in public.items() if isinstance(value, np.ufunc)}
    assert {*re.findall(r"`(\w+)`", ufuncs)} == wanted
    functions = {name: value for name, value in public.items() if inspect.isfunction(value)}
    take_arrays = {
        name
        for name, function in functions.items()
        if {"x", "y", "dy"} & {*inspect.signature(function).parameters}
    }
    # Those in place return what they were given.
    assert {*re.findall(r"`(\w+)`", others)} == take_arrays - {"relu_", "relu_grad_"}


def anchors(text):
    """What GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    "path, link", LINKS, ids=[f"{path.relative_to(ROOT)}: {link}" for path, link in LINKS]
)
def test_links(path, link):
    if "://" in link:
        return
    target, _, anchor = link.partition("#")
    target = (path.parent / target).resolve() if target else path
    assert target.exists()
    if anchor:
        assert anchor in anchors(TEXTS[target])
