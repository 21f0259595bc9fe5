"""What the documents say is there: files that they link to, anchors, names in code, commands with their options."""

import re
import shlex
from pathlib import Path

import pytest

import pasm_aug
from pasm_aug.cli.entry import build_parser

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "benchmarks" / "README.md", *sorted((ROOT / "pasm_aug").rglob("README.md"))]
each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


def anchors(document):
    """The anchors that GitHub gives to a document's headings."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_document
def test_links_lead_somewhere(document):
    links = [link for link in re.findall(r"\]\(([^)]+)\)", document.read_text()) if not link.startswith("http")]
    assert links or document != DOCUMENTS[0]
    for link in links:
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        assert target.exists(), f"{document.name} links to {link}"
        assert not anchor or anchor in anchors(target), f"{document.name} links to {link}"


@each_document
def test_python_files_named_in_code_exist(document):
    for name in re.findall(r"`([\w/]+\.py)`", document.read_text()):
        assert any(ROOT.rglob(f"pasm_aug/**/{Path(name).name}")) if "/" not in name else (ROOT / name).exists(), name


@each_document
def test_commands_have_the_options_that_they_are_shown_with(document):
    text = document.read_text()
    blocks = (
        "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL)) + "\n" + "\n".join(re.findall(r"`([^`\n]+)`", text))
    )
    calls = re.findall(r"(?:^|\s|&& )(?:pasm-aug|-m pasm_aug) ([a-z-]+ .*)$", blocks, re.MULTILINE)
    assert len(calls) > 5 or document != DOCUMENTS[0]
    for call in calls:
        words = shlex.split(call.replace("…", ""), comments=True)
        build_parser().parse_args(words)  # exits where an option is unknown


def test_python_blocks_import_what_exists():
    for document in DOCUMENTS:
        for names in re.findall(r"from pasm_aug import ([\w, ]+)", document.read_text()):
            for name in names.split(", "):
                assert hasattr(pasm_aug, name), name
