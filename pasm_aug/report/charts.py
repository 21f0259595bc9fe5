"""The style of a report's charts, and their bytes: PNG for charts, JPEG for photographs.

Every chart is as wide as a phone's screen shows legibly; a page sets them beside each other where there is room.
"""

from __future__ import annotations

import io
import textwrap
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import PIL.Image
from matplotlib import rcParams
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

WIDTH, DPI = 4.4, 150  # inches; dots an inch
HEAVY = 180_000  # bytes
CJK = (  # fonts of Linux, Windows and macOS for the signs that matplotlib's own lacks
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei"),
    *("Microsoft YaHei", "Yu Gothic", "Malgun Gothic", "PingFang SC", "Hiragino Sans", "Arial Unicode MS"),
)
COLOURS = {"point": "#c2410c", "online": "#9333ea", "none": "#64748b", "random": "#2563eb", "random-matched": "#0d9488"}
OTHERS = ("#c2410c", "#2563eb", "#0d9488", "#9333ea", "#64748b", "#ca8a04", "#db2777", "#15803d")


def chart(title: str, ylabel: str, height: float) -> tuple[Figure, Any]:
    """A figure with one panel in the report's style; counts on its x axis are whole numbers."""
    figure, (panel,) = charts([title], height)
    panel.set_ylabel(ylabel)
    return figure, panel


def charts(titles: Sequence[str], height: float) -> tuple[Figure, list[Any]]:
    """Such panels below each other, with one x axis, ``height`` inches each."""
    figure = Figure((WIDTH, height * len(titles)), layout="constrained")
    panels = figure.subplots(len(titles), sharex=True, squeeze=False)[:, 0]
    for panel, title in zip(panels, titles, strict=True):
        panel.set_title(textwrap.fill(title, 48), fontsize=10)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.grid(alpha=0.25)
        panel.set_axisbelow(True)
        panel.spines[["top", "right"]].set_visible(False)
    return figure, list(panels)


class Mosaic:
    """Images in rows and columns with text above each, on one panel: far faster than a panel for each.

    Args:
        rows, columns: how many images.
        left: room for a word on each row, as a share of an image's width.
        below: room below, in inches.
        lines: of text above an image.
    """

    GAP, LINE, MORE = 0.03, 0.17, 0.12  # around an image, above it, for each further line: shares of its cell's width

    def __init__(self, rows: int, columns: int, *, left: float = 0.0, below: float = 0.0, lines: int = 1) -> None:
        unit = WIDTH / (columns + left)
        self.above = self.LINE + (lines - 1) * self.MORE
        high = rows * (1 + self.above)
        self.figure = Figure((WIDTH, high * unit + below))
        self.inch = 1 / (high * unit + below)
        self.panel = self.figure.add_axes((0.0, below * self.inch, 1.0, 1.0 - below * self.inch))
        self.panel.axis("off")
        self.left, self.columns, self.high = left, columns, high

    def show(
        self,
        row: int,
        column: int,
        image: np.ndarray,
        title: str = "",
        *,
        shape: tuple[int, ...] | None = None,
        **options: Any,
    ) -> Any:
        """Draw (H, W) or (H, W, 3) into a cell, as large as its sides allow.

        Args:
            shape: height and width in whose proportion it is drawn; default: its own.
            options: of matplotlib's ``imshow``.
        """
        height, width = (shape or image.shape)[:2]
        side = 1 - 2 * self.GAP
        w, h = side * min(1.0, width / height), side * min(1.0, height / width)
        x, y = column + 0.5 - w / 2, row * (1 + self.above) + self.above + (1 - h) / 2
        self.panel.text(column + 0.5, y - 0.03, title, fontsize=7.5, ha="center", va="bottom", parse_math=False)
        return self.panel.imshow(image, extent=(x, x + w, y + h, y), **options)

    def name_row(self, row: int, name: str) -> None:
        """A word beside a row."""
        y = row * (1 + self.above) + self.above + 0.5
        self.panel.text(-self.left / 2, y, name, fontsize=8, rotation=90, ha="center", va="center")

    def scale_bar(self, drawn: Any, label: str) -> None:
        """The colours of ``drawn`` and what they mean, in the room below."""
        panel = self.figure.add_axes((0.06, 0.4 * self.inch, 0.88, 0.08 * self.inch))
        self.figure.colorbar(drawn, cax=panel, orientation="horizontal")
        panel.set_xlabel(label, fontsize=8, labelpad=1)
        panel.tick_params(labelsize=8, pad=1)

    def jpeg(self) -> bytes:
        """The whole, as bytes."""
        self.panel.set_xlim(-self.left, self.columns)
        self.panel.set_ylim(self.high, 0)
        self.panel.set_aspect("auto")
        return jpeg(self.figure)


def legend(figure: Figure) -> None:
    """Names below the panel, where they hide no line."""
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", fontsize=8, frameon=False)


def colour(name: str, number: int) -> str:
    """Of an arm, or of the line with that number."""
    return COLOURS.get(name, OTHERS[number % len(OTHERS)])


def png(figure: Figure, dpi: int = DPI) -> bytes:
    """A chart, as PNG."""
    buffer = io.BytesIO()
    _drawn(figure, dpi).save(buffer, format="png")
    return buffer.getvalue()


def jpeg(figure: Figure) -> bytes:
    """A figure of photographs, as JPEG; of lower quality where it would be too heavy for a page of many."""
    image = _drawn(figure, DPI)
    for quality, subsampling in ((88, 0), (75, 2), (55, 2), (35, 2)):
        buffer = io.BytesIO()
        image.save(buffer, format="jpeg", quality=quality, subsampling=subsampling)
        if buffer.tell() <= HEAVY:
            break
    return buffer.getvalue()


def _drawn(figure: Figure, dpi: int) -> PIL.Image.Image:
    """The figure, drawn once: matplotlib's own ``savefig`` lays it out and draws it twice."""
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    installed = {font.name for font in fontManager.ttflist}  # of others matplotlib complains
    if more := [name for name in CJK if name in installed]:
        for text in figure.findobj(Text):
            text.set_fontfamily([*rcParams["font.family"], *more])
    with warnings.catch_warnings():  # a sign that all these fonts lack is drawn as a box
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        canvas.draw()
    return PIL.Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])
