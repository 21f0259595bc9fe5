"""The page of a report: plain HTML with its images inside, readable without a network, on a phone and in print."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import takewhile

from pasm_aug.report.style import STYLE


def page(title: str, parts: Iterable[str]) -> str:
    """A whole document around ``parts`` (HTML)."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body>\n<main>\n"
        + "\n".join(parts)
        + "\n</main>\n</body></html>\n"
    )


def headline(title: str, about: str) -> str:
    """What the page is about: a title, and a line above it."""
    return f'<p class="kicker">{escape(about)}</p><h1>{escape(title)}</h1>'


def contents(sections: Mapping[str, str]) -> str:
    """Links to the sections: name → title."""
    links = "".join(f'<li><a href="#{escape(name)}">{escape(title)}</a></li>' for name, title in sections.items())
    return f'<nav aria-label="Contents"><ul>{links}</ul></nav>'


def section(name: str, title: str, parts: Iterable[str], *, folded: bool = False) -> str:
    """A part of the page that its reader can fold and unfold; one that is open at first is printed.

    A link to its name unfolds it, because the name is that of what is inside.
    """
    inside = "\n".join(parts)
    start = f"<details{'' if folded else ' open'}><summary><h2>{escape(title)}</h2></summary>"
    return f'{start}<div id="{escape(name)}">\n{inside}\n</div></details>'


def more(title: str, parts: Iterable[str]) -> str:
    """A folded part within a section."""
    return f"<details><summary><h3>{escape(title)}</h3></summary>{''.join(parts)}</details>"


def heading(text: str) -> str:
    return f"<h3>{escape(text)}</h3>"


def paragraph(text: str, kind: str = "") -> str:
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def command(text: str) -> str:
    """A line for a terminal; one click selects all of it."""
    return f"<pre><code>{escape(text)}</code></pre>"


def facts(pairs: Mapping[str, str]) -> str:
    """Names and what is known of them."""
    each = (f"<div><dt>{escape(name)}</dt><dd>{escape(text)}</dd></div>" for name, text in pairs.items())
    return f"<dl>{''.join(each)}</dl>"


def figure(image: bytes, caption: str) -> str:
    """:func:`figures` of one image."""
    return figures([image], caption)


def figures(images: Sequence[bytes], caption: str, *, alt: str = "") -> str:
    """PNG charts or JPEG photographs under one caption, held in the page itself; a dark page inverts the charts.

    Args:
        alt: what they show, for those who cannot see them; default: the caption.
    """
    shown = ""
    for number, image in enumerate(images, 1):
        data = base64.b64encode(image).decode()
        text = (alt or caption) + f" ({number} of {len(images)})" * (len(images) > 1)
        form = "jpeg" if is_jpeg(image) else "png"
        shown += f'<img alt="{escape(text)}" src="data:image/{form};base64,{data}">'
    kind = "photo" if is_jpeg(images[0]) else "chart"
    inside = f'<div class="grid">{shown}</div>' if len(images) > 1 else shown
    return f'<figure class="{kind}">{inside}<figcaption>{escape(caption)}</figcaption></figure>'


def is_jpeg(image: bytes) -> bool:
    return image.startswith(b"\xff\xd8")


def bullets(items: Iterable[str], kind: str = "") -> str:
    """Sentences below each other."""
    return f'<ul class="{kind}">' + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>"


def grid(parts: Iterable[str]) -> str:
    """Figures and tables beside each other where there is room, below each other on a phone."""
    return f'<div class="grid">{"".join(parts)}</div>'


def minus(text: str) -> str:
    """HTML of a number, with the sign that is as wide as a plus."""
    return re.sub(r"(?<![\w.])-(?=\d)", "−", escape(text))


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[str | None]],
    best: Sequence[bool] = (),
    *,
    caption: str = "",
    text: Sequence[int] = (),
    shares: Sequence[float] = (),
) -> str:
    """A table that scrolls by itself where it is too wide.

    Args:
        rows: a first cell of ``None`` is that of the row above.
        best: which rows stand out.
        text: columns of words, beside the first: set to the left, and broken.
        shares: in [0, 1], one a row; drawn as bars in a last column.
    """
    words = {0, *text}
    kinds = [" class=text" if column in text else "" for column in range(len(head))]
    body = ""
    for number, row in enumerate(rows):
        below = sum(1 for _ in takewhile(lambda row: row[0] is None, rows[number + 1 :]))
        cells = ""
        for column, (kind, cell) in enumerate(zip(kinds, row, strict=True)):
            if cell is not None:
                span = f" rowspan={below + 1}" if below and not column else ""
                cells += f"<td{kind}{span}>{(escape if column in words else minus)(cell)}</td>"
        if shares:
            cells += f'<td aria-hidden="true"><span class="bar" style="width:{100 * shares[number]:.1f}%"></span></td>'
        looks = " ".join(["best"] * bool(best and best[number]) + ["more"] * (row[0] is None))
        body += f'<tr class="{looks}">{cells}</tr>' if looks else f"<tr>{cells}</tr>"
    names = "".join(f'<th scope="col"{kind}>{escape(name)}</th>' for kind, name in zip(kinds, head, strict=True))
    names += '<th style="width:35%" aria-hidden="true"></th>' if shares else ""
    title = f"<caption><span>{escape(caption)}</span></caption>" if caption else ""
    return (
        f'<div class="scroll" tabindex="0"><table>{title}<thead><tr>{names}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )
