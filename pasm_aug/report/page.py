"""The page of a report: plain HTML with its images inside, readable without a network, on a phone and in print."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --bar: #c2410c }
* { box-sizing: border-box }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 62rem; margin: 0 auto; padding: 1rem 1rem 4rem;
  overflow-wrap: break-word }
h1 { margin: .4rem 0; line-height: 1.2 } h2, h3 { line-height: 1.3 } h2 { font-size: 1.35rem; display: inline }
h3 { font-size: 1.05rem; margin: 1.6rem 0 .4rem }
details { border-top: 1px solid var(--line); margin-top: 1.6rem; padding-top: .9rem }
summary { cursor: pointer; margin-bottom: .6rem }
nav ul { list-style: none; display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; margin: .8rem 0; padding: 0 }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1rem; margin: .8rem 0 }
dt { font-weight: 600 } dd { margin: 0; min-width: 0 }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .94rem }
caption { text-align: left; padding-bottom: .3rem }
caption span { position: sticky; left: 0; display: inline-block; max-width: calc(100vw - 2.2rem) }
.scroll { overflow-x: auto; margin: .8rem 0 }
th, td { text-align: right; padding: .35rem .5rem; border-bottom: 1px solid var(--line); vertical-align: top }
td { white-space: nowrap } th:first-child, td:first-child, .text { text-align: left }
td:first-child, td.text { white-space: normal; min-width: 8rem }
tr.best td { font-weight: 600; background: var(--soft) }
.bar { display: block; height: .7em; margin-top: .45em; min-width: 2px; background: var(--bar);
  print-color-adjust: exact; -webkit-print-color-adjust: exact }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 26rem), 1fr)); gap: 1rem;
  align-items: start }
figure { margin: .4rem 0; min-width: 0 }
img { display: block; max-width: 100%; height: auto; background: #fff; border-radius: 6px; margin-bottom: .3rem }
.verdict { font-size: 1.1rem; padding-left: 1.1rem } .verdict li { margin: .3rem 0 }
.note, figcaption, caption { font-size: .92rem }
.note, figcaption, caption { color: color-mix(in srgb, currentColor 72%, transparent) }
code { background: var(--soft); padding: .1rem .3rem; border-radius: 4px; overflow-wrap: anywhere }
@media (prefers-color-scheme: dark) { .chart img { filter: invert(.93) hue-rotate(180deg) } a { color: #8ab4f8 } }
@media (max-width: 30rem) { dl { grid-template-columns: 1fr; gap: 0 } dd { margin-bottom: .5rem }
  table { font-size: .8rem } th, td { padding: .3rem .25rem } td:first-child { min-width: 5.4rem }
  td.text { min-width: 4.4rem } }
@media print {
  :root { color-scheme: light } body { max-width: none; padding: 0; font-size: 11pt } nav { display: none }
  h2, h3, summary, caption { break-after: avoid } figure, tr { break-inside: avoid } .scroll { overflow: visible }
  .grid { grid-template-columns: 1fr 1fr } .chart img { filter: none } table { font-size: 9pt }
}
"""


def page(title: str, parts: Iterable[str]) -> str:
    """A whole document around ``parts`` (HTML)."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body>\n<main>\n"
        + "\n".join(parts)
        + "\n</main>\n</body></html>\n"
    )


def contents(sections: Mapping[str, str]) -> str:
    """Links to the sections: name → title."""
    links = "".join(f'<li><a href="#{escape(name)}">{escape(title)}</a></li>' for name, title in sections.items())
    return f'<nav aria-label="Contents"><ul>{links}</ul></nav>'


def section(name: str, title: str, parts: Iterable[str]) -> str:
    """A part of the page that its reader can fold; open at first, so that it is printed."""
    inside = "\n".join(parts)
    return f'<details open id="{escape(name)}"><summary><h2>{escape(title)}</h2></summary>\n{inside}\n</details>'


def heading(text: str) -> str:
    return f"<h3>{escape(text)}</h3>"


def paragraph(text: str, kind: str = "") -> str:
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def facts(pairs: Mapping[str, str]) -> str:
    """Names and what is known of them."""
    return "<dl>" + "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in pairs.items()) + "</dl>"


def figure(image: bytes, caption: str) -> str:
    """A PNG chart or a JPEG photograph, held in the page itself, with its caption as alternative text.

    A dark page inverts the charts.
    """
    data = base64.b64encode(image).decode()
    kind, form = ("photo", "jpeg") if is_jpeg(image) else ("chart", "png")
    return (
        f'<figure class="{kind}"><img alt="{escape(caption)}" src="data:image/{form};base64,{data}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def is_jpeg(image: bytes) -> bool:
    return image.startswith(b"\xff\xd8")


def bullets(items: Iterable[str], kind: str = "") -> str:
    """Sentences below each other."""
    return f'<ul class="{kind}">' + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>"


def grid(figures: Iterable[str]) -> str:
    """Figures beside each other where there is room, below each other on a phone."""
    return f'<div class="grid">{"".join(figures)}</div>'


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    best: Sequence[bool] = (),
    *,
    caption: str = "",
    text: Sequence[int] = (),
    shares: Sequence[float] = (),
) -> str:
    """A table that scrolls by itself where it is too wide.

    Args:
        best: which rows stand out.
        text: columns of words, beside the first: set to the left, and broken.
        shares: in [0, 1], one a row; drawn as bars in a last column.
    """
    kinds = [" class=text" if column in text else "" for column in range(len(head))]
    body = ""
    for number, row in enumerate(rows):
        cells = "".join(f"<td{kind}>{escape(cell)}</td>" for kind, cell in zip(kinds, row, strict=True))
        if shares:
            cells += f'<td aria-hidden="true"><span class="bar" style="width:{100 * shares[number]:.1f}%"></span></td>'
        body += f"<tr{' class=best' if best and best[number] else ''}>{cells}</tr>"
    names = "".join(f'<th scope="col"{kind}>{escape(name)}</th>' for kind, name in zip(kinds, head, strict=True))
    names += '<th style="width:35%" aria-hidden="true"></th>' if shares else ""
    title = f"<caption><span>{escape(caption)}</span></caption>" if caption else ""
    return (
        f'<div class="scroll" tabindex="0"><table>{title}<thead><tr>{names}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def settings(config: Mapping[str, object]) -> str:
    """Options as one block of code."""
    return f"<p><code>{escape(' '.join(f'{key}={value}' for key, value in config.items()))}</code></p>"
