"""The picture: CPU time per request, one panel a load, as SVG."""

from __future__ import annotations

from pathlib import Path

from bench.load.peers import FLOOR, OURS
from bench.load.results import Results

PANELS = {
    "plain-64": "64 connections",
    "pipelined-16": "64 connections, 16 pipelined",
    "plain-1000": "1,000 connections",
}
COLOURS = {OURS: "#d97a34", FLOOR: "#9aa0a6"}
OTHERS = "#2f5d8a"


def draw(results: Results, path: Path) -> bool:
    """Draw what the run has of the panels.

    Returns:
        False when matplotlib is not installed, or no panel has figures.
    """
    try:
        import matplotlib as mpl
    except ImportError:
        return False
    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "dimserver"  # the same figures give the same file
    from matplotlib import pyplot as plt

    panels = [key for key in PANELS if results.servers(key)]
    if not panels:
        return False
    figure, axes = plt.subplots(len(panels), 1, figsize=(8, 3.2 * len(panels)), squeeze=False)
    for axis, key in zip(axes[:, 0], panels, strict=True):
        bars = {name: results.median(key, name, "cpu_us") for name in results.servers(key)}
        known = sorted(((value, name) for name, value in bars.items() if value is not None), reverse=True)
        # Dots, not bars: from the floor to gunicorn is two orders of magnitude, and a bar has no true
        # length on a logarithmic axis.
        for row, (value, name) in enumerate(known):
            axis.plot(value, row, "o", color=COLOURS.get(name, OTHERS), markersize=7)
            axis.annotate(f"{value:.2f}", (value, row), (8, 0), textcoords="offset points", va="center", fontsize=8)
        axis.set_yticks(range(len(known)), [name for _, name in known])
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter("{x:g}")
        axis.grid(axis="x", which="both", linewidth=0.4, color="#d9dce1")
        axis.set_axisbelow(True)
        axis.margins(x=0.12, y=0.08)
        axis.set_title(PANELS[key], loc="left", fontsize=10)
        axis.set_xlabel("CPU µs per request, user and system, logarithmic", fontsize=8)
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, format="svg", metadata={"Date": None})
    plt.close(figure)
    return True
