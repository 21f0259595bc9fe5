from html.parser import HTMLParser

import pytest

from pasm_aug.report.page import (
    bullets,
    command,
    contents,
    facts,
    figure,
    figures,
    headline,
    minus,
    more,
    page,
    paragraph,
    section,
    table,
)  # fmt: skip

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
            headline(NASTY, NASTY),
            contents({"one": NASTY, "two": NASTY}),
            section(
                "one", NASTY, [paragraph(NASTY), paragraph(NASTY, "note"), bullets([NASTY]), facts({NASTY: NASTY})]
            ),
            section("two", NASTY, [more(NASTY, [paragraph(NASTY)])], folded=True),
            table((NASTY, "b", "c"), rows, [False, True], caption=NASTY, text=(2,), shares=(1.0, 0.25)),
            figure(b"\x89PNG", NASTY),
            figure(b"\xff\xd8\xff", "photograph"),
            command(NASTY),
        ],
    )


def test_the_parts_nest_and_nothing_written_into_them_becomes_a_tag():
    reader = Reader(whole())
    assert reader.count("script") == 0
    assert reader.count("li") == 3
    assert sum(NASTY in words for words in reader.words) >= 16
    assert [attrs["alt"] for tag, attrs in reader.tags if tag == "img"] == [NASTY, "photograph"]


def test_a_page_tells_its_language_its_width_and_its_sections():
    reader = Reader(whole())
    assert ("html", {"lang": "en"}) in reader.tags
    assert any(attrs.get("name") == "viewport" for _, attrs in reader.tags)
    links = [attrs["href"] for tag, attrs in reader.tags if tag == "a"]
    assert links == [f"#{attrs['id']}" for _, attrs in reader.tags if "id" in attrs]
    assert ["open" in attrs for tag, attrs in reader.tags if tag == "details"] == [True, False, False]


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


def test_images_under_one_caption_are_told_apart_by_their_alternative_texts():
    reader = Reader(figures([b"\x89PNG", b"\x89PNG"], "what", alt="whole"))
    assert [attrs["alt"] for tag, attrs in reader.tags if tag == "img"] == ["whole (1 of 2)", "whole (2 of 2)"]
    assert reader.count("figcaption") == 1
    assert Reader(figure(b"\x89PNG", "what")).tags[1][1]["alt"] == "what"


def test_a_cell_may_stand_for_several_rows():
    reader = Reader(table(("arm", "round"), [("a", "1"), (None, "2"), (None, "3"), ("b", "1")], [0, 1, 0, 0]))
    assert [attrs.get("rowspan") for tag, attrs in reader.tags if tag == "td"] == ["3", None, None, None, None, None]
    rows = [attrs.get("class") for tag, attrs in reader.tags if tag == "tr"]
    assert rows == [None, None, "best more", "more", None]


@pytest.mark.parametrize(
    ("text", "html"),
    [("-1.0 ±2.0", "−1.0 ±2.0"), ("2020-10-31", "2020-10-31"), ("1 / -3", "1 / −3"), ("a-1 <b", "a-1 &lt;b")],
)
def test_only_a_number_s_sign_becomes_a_minus(text, html):
    assert minus(text) == html
