"""The pages in a real browser, on a screen as wide as a phone's."""

import html
import os
import re
import shutil
import subprocess

import pytest

from pasm_aug.report.comparison import write_comparison
from pasm_aug.report.outcome import stage_seconds
from pasm_aug.report.run_report import write_report
from pasm_aug.rounds.folder import PARTITION
from tests.made_runs import made_record, made_run
from tests.shapes import Shapes

BROWSER = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)
pytestmark = pytest.mark.skipif(not BROWSER, reason="needs chromium or google-chrome on the PATH")

# The page in a frame of 360 pixels, since the browser's own window is no narrower than 500; the title tells what was
# measured.
PHONE = """<!doctype html><title>not loaded</title>
<iframe width="360" height="800" style="border: 0" srcdoc="{}"></iframe>
<script>addEventListener("load", () => {{
  const inside = frames[0], page = inside.document, root = page.documentElement;
  const images = [...page.images], links = [...page.querySelectorAll("nav a")];
  document.title = [inside.innerWidth, root.scrollWidth, images.length,
    images.filter(image => image.naturalWidth > 0).length,
    images.filter(image => image.getBoundingClientRect().right <= inside.innerWidth).length,
    links.filter(link => page.querySelector(link.getAttribute("href"))).length, links.length,
    [...page.querySelectorAll(".card")].filter(card => card.scrollWidth > card.clientWidth).length].join(" ");
}})</script>"""


def browse(page, folder, *options, part=""):
    """What the browser prints when it opens a page, or a part of it."""
    command = [BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    command += [f"--user-data-dir={folder}/profile", "--disable-background-networking", "--virtual-time-budget=3000"]
    done = subprocess.run(
        [*command, *options, f"{page.as_uri()}{part}"],
        capture_output=True,
        text=True,
        timeout=100,
        env=os.environ | {"HOME": str(folder)},
        check=True,
    )
    return done.stdout


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser")
    data = Shapes(30)
    classes = ["a class of a long name", *(f"class {n}" for n in range(1, 12))]
    data.classes, data.labels = classes, data.labels.copy()
    runs = [
        made_run(folder / name, data, rounds=2, baselines=("none", "shuffled-class"), config={"note": "x" * 300})
        for name in ("a-run-with-a-rather-long-name-for-a-folder", "b")
    ]
    asm = made_run(folder / "asm", data, arm="asm", rounds=1, baselines=("plain",), config={"method": "asm"})
    for result in asm.main:
        record = made_record(data.labels, len(classes), flipped=data.labels == 1)
        record.save(asm.folder / f"round-{result.round}" / PARTITION)
    sorted_labels = write_report(asm.folder, asm.arms, data, config=asm.config, seconds={}, size=5)
    report = write_report(
        runs[0].folder, runs[0].arms, data, config=runs[0].config, seconds=stage_seconds(runs[0].arms), size=5
    )
    return {"report": report, "asm": sorted_labels, "comparison": write_comparison(folder / "comparison.html", runs)}


@pytest.mark.parametrize("name", ["report", "asm", "comparison"])
def test_on_a_phone_every_image_is_shown_and_nothing_is_wider_than_the_screen(pages, tmp_path, name):
    text = pages[name].read_text()
    assert "<script" not in text
    assert not re.search(r"https?://", text)
    measured = tmp_path / "page.html"
    measured.write_text(PHONE.format(html.escape(text)))
    title = re.search(r"<title>([\d ]+)</title>", browse(measured, tmp_path, "--dump-dom"))
    assert title, "the page was not loaded"
    width, wide, images, decoded, inside, resolved, links, cut = map(int, title[1].split())
    assert width == 360
    assert wide <= width
    assert images == decoded == inside == text.count("<img")
    assert images >= 2
    assert resolved == links >= 4
    assert cut == 0


def test_a_report_prints_on_pages_of_paper(pages, tmp_path):
    paper = tmp_path / "report.pdf"
    browse(pages["report"], tmp_path, f"--print-to-pdf={paper}")
    sheets = len(re.findall(rb"/Type\s*/Page\b", paper.read_bytes()))
    assert 2 <= sheets <= 20


def test_a_link_to_a_folded_part_unfolds_it(pages, tmp_path):
    shown = browse(pages["report"], tmp_path, "--dump-dom", part="#costs")
    opened = re.findall(r'<details open[^>]*><summary><h2>[^<]*</h2></summary><div id="(\w+)"', shown)
    assert "costs" in opened
    assert not {"training", "settings"} & set(opened)
