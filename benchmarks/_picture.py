"""Lines over one axis as a small SVG, for the figures that benchmarks leave in docs/."""

from collections.abc import Sequence

_WIDTH, _HEIGHT, _LEFT = 800, 300, 60


def picture(
    x: Sequence[float], lines: dict[str, tuple[str, Sequence[float]]], last: str, top: float
) -> str:
    """Return the SVG.

    Args:
        x: where the points stand, from 0 on.
        lines: by name, the colour and the values, as many as `x`.
        last: what the right end of the axis is called.
        top: the value at the upper edge, for all lines.
    """

    def line(colour: str, values: Sequence[float]) -> str:
        points = " ".join(
            f"{_LEFT + at / x[-1] * (_WIDTH - _LEFT - 10):.1f},"
            f"{_HEIGHT - 30 - value / top * (_HEIGHT - 50):.1f}"
            for at, value in zip(x, values, strict=True)
        )
        return f'<polyline fill="none" stroke="{colour}" stroke-width="1.5" points="{points}"/>'

    def text(left: float, y: float, words: str, colour: str = "#333") -> str:
        return f'<text x="{left}" y="{y}" font-family="sans-serif" font-size="12" fill="{colour}">{words}</text>'

    names = enumerate(lines.items())
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}">',
            f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
            *(line(*item) for item in lines.values()),
            *(text(_LEFT + 180 * number, 16, name, item[0]) for number, (name, item) in names),
            text(4, 24, f"{top:.0f}"),
            text(4, _HEIGHT - 30, "0"),
            text(_LEFT, _HEIGHT - 8, "0"),
            text(_WIDTH - 110, _HEIGHT - 8, last),
            "</svg>\n",
        ]
    )
