from html.parser import HTMLParser

import pytest

from pasm_aug.report.page import bullets, contents, facts, figure, page, paragraph, section, settings, table

NASTY = "<script>alert('&\"')</script>"
VOID = {"meta", "img", "br", "hr", "link"}


class Reader(HTMLParser):
    """Checks that tags nest, and keeps the text and the tags."""

    def __init__(self, text):
        super().__init__()
        self.open, self.words, self.tags = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.words.append(data)

    def count(self, tag):
        return sum(name == tag for name, _ in self.tags)


def whole():
    rows = [(NASTY, "1.0", "word"), ("b", "2.0", "more")]
    return page(
        NASTY,
        [
            contents({"one": NASTY}),
            section(
                "one", NASTY, [paragraph(NASTY), paragraph(NASTY, "note"), bullets([NASTY]), facts({NASTY: NASTY})]
            ),
            table((NASTY, "b", "c"), rows, [False, True], caption=NASTY, text=(2,), shares=(1.0, 0.25)),
            figure(b"\x89PNG", NASTY),
            figure(b"\xff\xd8\xff", "photograph"),
            settings({NASTY: NASTY}),
        ],
    )


def test_the_parts_nest_and_nothing_written_into_them_becomes_a_tag():
    reader = Reader(whole())
    assert reader.count("script") == 0
    assert reader.count("li") == 2
    assert sum(NASTY in words for words in reader.words) >= 11
    assert [attrs["alt"] for tag, attrs in reader.tags if tag == "img"] == [NASTY, "photograph"]


def test_a_page_tells_its_language_its_width_and_its_sections():
    reader = Reader(whole())
    assert ("html", {"lang": "en"}) in reader.tags
    assert any(attrs.get("name") == "viewport" for _, attrs in reader.tags)
    links = [attrs["href"] for tag, attrs in reader.tags if tag == "a"]
    assert links == [f"#{attrs['id']}" for _, attrs in reader.tags if "id" in attrs]
    assert all("open" in attrs for tag, attrs in reader.tags if tag == "details")


def test_a_table_has_a_caption_heads_and_bars_as_long_as_its_shares():
    reader = Reader(table(("a", "b"), [("x", "1"), ("y", "2")], caption="what", shares=(1.0, 0.25)))
    assert reader.count("caption") == 1
    assert [attrs.get("scope") for tag, attrs in reader.tags if tag == "th"][:2] == ["col", "col"]
    assert [attrs["style"] for tag, attrs in reader.tags if tag == "span" and "style" in attrs] == [
        "width:100.0%",
        "width:25.0%",
    ]


def test_a_row_must_fit_its_head():
    with pytest.raises(ValueError, match="zip"):
        table(("a", "b"), [("x",)])


def test_only_charts_are_inverted_on_a_dark_page():
    kinds = [attrs["class"] for tag, attrs in Reader(whole()).tags if tag == "figure"]
    assert kinds == ["chart", "photo"]
    assert ".chart img { filter: invert" in whole()
