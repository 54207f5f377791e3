"""Draws the benchmark's figures as bars, in an SVG that reads on light and on dark ground."""

from collections.abc import Sequence
from html import escape

from rules import HEADLINES, TRANSPORTS, All

#: Sizes in pixels: a panel, its parts, and the space around.
WIDTH, LABEL, BAR, GAP, MARGIN = 430, 110, 9, 24, 16
#: How much of a panel the longest bar takes.
LONGEST = WIDTH - LABEL - 90
#: Panels beside each other.
COLUMNS = 2

STYLE = """
    text { font: 12px -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328; }
    .title { font-weight: 600; font-size: 13px; }
    .label { text-anchor: end; }
    .value { font-size: 10px; }
    .http { fill: #0969da; }
    .tls { fill: #8250df; }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3; }
      .http { fill: #58a6ff; }
      .tls { fill: #bc8cff; }
    }
"""


def short(figure: float) -> str:
    """Three digits of a figure, at the least its whole part."""
    return f"{figure:.0f}" if figure >= 100 else f"{figure:.3g}"


def text(x: float, y: float, kind: str, words: str) -> str:
    return f'  <text class="{kind}" x="{x:.0f}" y="{y:.0f}">{escape(words)}</text>'


def panel(
    title: str, figures: Sequence[tuple[str, Sequence[float]]], left: int, top: int
) -> list[str]:
    """One figure of every subject, a bar for each transport."""
    most = max(figure for _, bars in figures for figure in bars)
    lines = [text(left, top + 14, "title", title)]
    y = top + 26
    for subject, bars in figures:
        lines.append(text(left + LABEL - 8, y + BAR + 4, "label", subject))
        for transport, figure in zip(TRANSPORTS, bars, strict=True):
            length = max(1.0, figure / most * LONGEST)
            x = left + LABEL
            lines.append(
                f'  <rect class="{transport}" x="{x}" y="{y}" '
                f'width="{length:.1f}" height="{BAR - 1}"/>'
            )
            lines.append(text(x + length + 5, y + BAR - 1, "value", short(figure)))
            y += BAR
        y += 8
    return lines


def chart(samples: All) -> str:
    """The whole picture."""
    subjects = list(dict.fromkeys(subject for subject, _ in samples))
    panels = [
        (title, [(s, [samples[s, t].median(name) for t in TRANSPORTS]) for s in subjects])
        for name, title in HEADLINES.items()
    ]
    panels.append(
        (
            "Peak memory, MiB",
            [(s, [samples[s, t].peak_mib() for t in TRANSPORTS]) for s in subjects],
        )
    )
    height = 26 + len(subjects) * (2 * BAR + 8) + GAP
    lines: list[str] = []
    for at, (title, figures) in enumerate(panels):
        left = MARGIN + at % COLUMNS * (WIDTH + GAP)
        lines += panel(title, figures, left, MARGIN + at // COLUMNS * height)
    left, top = MARGIN + WIDTH + GAP, MARGIN + len(panels) // COLUMNS * height
    lines.append(text(left, top + 14, "title", "Medians; less is better"))
    for at, (transport, words) in enumerate(zip(TRANSPORTS, ("plain HTTP", "TLS"), strict=True)):
        y = top + 30 + 20 * at
        lines.append(f'  <rect class="{transport}" x="{left}" y="{y}" width="24" height="{BAR}"/>')
        lines.append(text(left + 32, y + BAR, "value", f"outside systems over {words}"))
    width = 2 * MARGIN + COLUMNS * WIDTH + GAP
    full = 2 * MARGIN + -(-len(panels) // COLUMNS) * height - GAP
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {full}" role="img"',
            '     aria-label="The figures of the tables below as bars">',
            f"  <style>{STYLE}  </style>",
            *lines,
            "</svg>",
            "",
        ]
    )
