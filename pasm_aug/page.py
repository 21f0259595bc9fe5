"""The page of a report: plain HTML with its pictures inside, readable without a network, on a phone and in print."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881 }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1.5rem 1rem 4rem }
h1 { margin-bottom: .2rem } h2 { margin-top: 2.2rem; border-top: 1px solid var(--line); padding-top: 1rem }
table { border-collapse: collapse; width: 100% } .scroll { overflow-x: auto }
th, td { text-align: right; padding: .35rem .6rem; border-bottom: 1px solid var(--line); white-space: nowrap }
th:first-child, td:first-child, th:last-child, td:last-child { text-align: left }
tr.best td { font-weight: 600; background: var(--soft) }
img { max-width: 100%; height: auto; background: #fff; border-radius: 6px } .verdict { font-size: 1.12rem }
figcaption, .note { color: color-mix(in srgb, currentColor 70%, transparent); font-size: .92rem } figure { margin: 0 }
code { background: var(--soft); padding: .1rem .3rem; border-radius: 4px; overflow-wrap: anywhere }
@media print { h2 { break-after: avoid } figure, table { break-inside: avoid } }
"""


def page(title: str, parts: Iterable[str]) -> str:
    """A whole document around ``parts`` (HTML)."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def paragraph(text: str, kind: str = "") -> str:
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def figure(png: bytes, caption: str) -> str:
    """A picture, held in the page itself, with its caption as alternative text."""
    data = base64.b64encode(png).decode()
    return (
        f'<figure><img alt="{escape(caption)}" src="data:image/png;base64,{data}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]], best: Sequence[bool] = ()) -> str:
    """A table; rows marked ``best`` stand out."""
    marks = list(best)
    body = "".join(
        f"<tr{' class=best' if marks and marks[number] else ''}>"
        + "".join(f"<td>{escape(cell)}</td>" for cell in row)
        + "</tr>"
        for number, row in enumerate(rows)
    )
    names = "".join(f"<th>{escape(name)}</th>" for name in head)
    return f'<div class="scroll"><table><tr>{names}</tr>{body}</table></div>'


def settings(config: Mapping[str, object]) -> str:
    """Options as one block of code."""
    return f"<p><code>{escape(' '.join(f'{key}={value}' for key, value in config.items()))}</code></p>"
