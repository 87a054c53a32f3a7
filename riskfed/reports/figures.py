"""How riskfed's pictures look: twice as wide as high, large type, colours that colour-blind readers tell apart (Okabe and Ito 2008)."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE = "#0072B2"
ORANGE = "#D55E00"
GREEN = "#009E73"
GREY = "#6E6E6E"
_INCHES = (6.8, 3.4)
_DOTS_PER_INCH = 180

_STYLE: dict[Any, Any] = {
    "font.size": 15,
    "axes.labelsize": 15,
    "xtick.labelsize": 14,
    "ytick.labelsize": 14,
    "legend.fontsize": 14,
    "legend.frameon": False,
    "lines.linewidth": 2.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#DDDDDD",
    "axes.axisbelow": True,
}


def picture(x_label: str, y_label: str) -> tuple[Figure, Axes]:
    """An empty picture with labelled axes, 2:1, which a card of MLflow's page can show.

    It belongs to no window system and no global state, so threads may draw.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=_INCHES, dpi=_DOTS_PER_INCH, layout=ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06))
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
    return figure, axes


def whole_numbers(axes: Axes) -> None:
    """Tick the horizontal axis at whole numbers only."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))


def legend(axes: Axes, place: Any) -> None:
    """A legend in the pictures' type."""
    axes.legend(loc=place, frameon=False, fontsize=14, labelspacing=0.3)


def png(figure: Figure) -> bytes:
    """The picture as a PNG of 1224 x 612 pixels."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
