"""Tables and plots of the coverage and power studies."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from xkd_bench.report.style import COLOURS, INK, MARKERS, QUIET, WIDTH, heading, plain

COMMAND = "python -m xkd_bench.benchmarks.estimator_coverage"
_DEPENDENCE = {"paired": COLOURS[0], "unpaired": COLOURS[1], "grouped": COLOURS[2]}
_DIGITS = 4
_LARGE_N = ("modality_gap", "mmd2", "cka")  # these claim their level for large n only; all others at every n


def write(coverage: pd.DataFrame, power: pd.DataFrame, folder: Path, missing: Sequence[str] = ()) -> list[Path]:
    """Write coverage.{csv,md,png,svg} and power.{csv,md,png,svg}; return their paths. Each file is written whole.

    A study without any finished case is left out; `missing` names the coverage cases that are not finished.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # Timings change from run to run: they are left out, so that the same study gives the same bytes.
    coverage = coverage.drop(columns=["ms_per_call"], errors="ignore")
    paths = []
    for name, table, words, draw in (
        ("coverage", coverage, lambda table: coverage_markdown(table, missing), coverage_figure),
        ("power", power, power_markdown, power_figure),
    ):
        if table.empty:
            continue
        text, figure = words(table), draw(table)
        paths.append(_write(folder / f"{name}.csv", table.to_csv(index=False, float_format="%.5g").encode()))
        paths.append(_write(folder / f"{name}.md", text.encode()))
        paths += [_write(folder / f"{name}.{ending}", rendered(figure, ending)) for ending in ("png", "svg")]
    return paths


def rendered(figure: Figure, ending: str) -> bytes:
    """The figure as PNG or SVG, without the date, so that equal figures give equal bytes."""
    buffer = io.BytesIO()
    with plain():
        metadata = {"Date": None} if ending == "svg" else {"Software": None}
        figure.savefig(buffer, format=ending, dpi=200, metadata=metadata)
    return buffer.getvalue()


def _write(path: Path, content: bytes) -> Path:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def summary(coverage: pd.DataFrame) -> pd.DataFrame:
    """One row for each estimator: cases, the smallest coverage and where, and cases that fail."""
    rows = []
    for name, part in coverage.groupby("estimator", sort=False):
        judged = part[part["holds"].notna()]
        worst = judged.sort_values("coverage").iloc[0]
        fails = judged[~judged["holds"].astype(bool)]
        rows.append(
            {
                "estimator": name,
                "kind": part["kind"].iloc[0],
                "claims": "large n" if name in _LARGE_N else "every n",
                "cases": len(judged),
                "mean coverage": judged["coverage"].mean(),
                "lowest coverage": worst["coverage"],
                "95% interval": f"{worst['coverage_low']:.3f} to {worst['coverage_high']:.3f}",
                "where": f"{worst['law']}, d {worst['d']}, TV {worst['tv']:g}, {worst['dependence']}",
                "fails": len(fails),
            }
        )
    return pd.DataFrame(rows)


def coverage_markdown(coverage: pd.DataFrame, missing: Sequence[str] = ()) -> str:
    """The summary in words and a table, then coverage by estimator and TV."""
    unfinished = f" **Not finished yet, and not in this page: {'; '.join(missing)}.**" if missing else ""
    table = summary(coverage)
    replicates, n = int(coverage["replicates"].min()), int(coverage["n"].min())
    failing = table[table["fails"] > 0]["estimator"].tolist()
    verdict = "None fails." if not failing else f"Below nominal somewhere: {', '.join(failing)}."
    exact = table[table["claims"] == "every n"]
    by_tv = coverage.pivot_table(index="estimator", columns="tv", values="coverage", aggfunc="min", sort=False)
    by_tv.columns = pd.Index([f"TV {tv:g}" for tv in by_tv.columns])
    return "\n".join(
        [
            "# Do the ranges of `estimators` cover the truth?",
            "",
            f"![Coverage of every estimator in every case](coverage.png)\n\n`{COMMAND}` writes this page.{unfinished}",
            "",
            f"{replicates} replicates or more of every case, {n} rows a side (pairs; groups of 5 rows in the grouped "
            "cases), nominal level 95%. Gaussian pairs correlate by 0.9; pairs of other laws share their rank with "
            "chance 0.8; `student` has 2 degrees of freedom. Learned scores are ridge classifiers, except where all "
            "families are named: the guarantee does not depend on the family, the power does.",
            "",
            "A case fails where so few covered replicates would have a chance below 0.001 if the level held. Ranges "
            "that claim their level for large n only are not judged where their statistic is degenerate. "
            f"**{verdict}** Of the {int(exact['cases'].sum())} cases of ranges that claim their level at every n, the "
            f"lowest coverage is {exact['lowest coverage'].min():.3f}; by chance alone some exact ones come out below "
            "0.95, and conservative ones far above it.",
            "",
            _markdown(table),
            "",
            "## Lowest coverage at each distance",
            "",
            _markdown(by_tv.reset_index()),
            "",
            "`coverage.csv` has every case.",
            "",
        ]
    )


def power_markdown(power: pd.DataFrame) -> str:
    """For each d and n the smallest TV that is told from 0 in 80% of replicates."""
    table = power.pivot_table(index="estimator", columns=["d", "n"], values="smallest_tv", sort=False, dropna=False)
    table.columns = pd.Index([f"d {column[0]}, n {column[1]}" for column in table.columns.to_list()])
    replicates = int(power["replicates"].min())
    return "\n".join(
        [
            "# How small a gap can each bound tell from zero?",
            "",
            f"![Smallest gap against n](power.png)\n\n`{COMMAND}` writes this page.",
            "",
            "The smallest TV of a Gaussian shift, on the grid of the study, whose lower bound is above 0 in at least "
            f"80% of {replicates} replicates, as are those of all larger ones. n rows a side, independent sides, level "
            "95%, ridge scores. A dash: not even 0.8. Sizes that are not in the table have not been run.",
            "",
            _markdown(table.reset_index()),
            "",
        ]
    )


def _markdown(table: pd.DataFrame) -> str:
    def text(value: object) -> str:
        if not isinstance(value, float):
            return str(value)
        if np.isnan(value):
            return "–"
        return f"{value:.{_DIGITS - 1}g}" if value < 0.1 else f"{value:.3f}".rstrip("0").rstrip(".")

    lines = ["| " + " | ".join(map(str, table.columns)) + " |", "|" + " --- |" * table.shape[1]]
    lines += ["| " + " | ".join(text(v) for v in row) + " |" for row in table.itertuples(index=False)]
    return "\n".join(lines)


def coverage_figure(coverage: pd.DataFrame) -> Figure:
    """A row for each estimator, a dot for each case, with the nominal level as a line."""
    names = list(dict.fromkeys(coverage["estimator"]))
    with plain():
        row, head, foot, left = 0.27, 0.62, 0.75, 1.95
        height = head + row * len(names) + foot
        fig = Figure(figsize=(WIDTH, height))
        ax = fig.add_axes((left / WIDTH, foot / height, 1 - (left + 0.15) / WIDTH, row * len(names) / height))
        heading(fig, "How often each range covers the truth", _words(coverage), 0.12)
        floor = min(0.9, float(coverage["coverage"].min()) - 0.01)
        ax.axvspan(floor, 0.95, color="#fbeee6", zorder=0)
        ax.axvline(0.95, color=INK, linewidth=1, zorder=1)
        rng = np.random.default_rng(0)
        for place, name in enumerate(names):
            _dots(ax, coverage[coverage["estimator"] == name], place, rng)
        ax.set_yticks(range(len(names)), labels=[f"{n}*" if n in _LARGE_N else n for n in names])
        ax.set_ylim(len(names) - 0.4, -0.6)
        ax.set_xlim(floor, 1.003)
        ax.set_xlabel("share of replicates whose range covers the truth; nominal 0.95")
        ax.spines["left"].set_visible(False)
        for dependence, colour in _DEPENDENCE.items():
            ax.plot([], [], "o", color=colour, markersize=4, label=dependence)
        ax.plot([], [], "x", color=QUIET, markersize=4, label="not judged (degenerate)")
        fig.legend(loc="lower left", bbox_to_anchor=(left / WIDTH - 0.02, 0.0), ncols=4, fontsize=7.5)
    return fig


def _words(coverage: pd.DataFrame) -> str:
    cases = coverage.groupby(["law", "d", "tv", "dependence"]).ngroups
    judged = coverage[coverage["holds"].notna()]
    fails = int((~judged["holds"].astype(bool)).sum())
    told = "none fails (p < 0.001)" if not fails else f"{fails} fail (p < 0.001)"
    replicates = int(coverage["replicates"].min())
    return (
        f"{cases} cases of {replicates} replicates, level 95%: {told}. A dot is a case. *: level claimed for large n."
    )


def _dots(ax: Axes, part: pd.DataFrame, place: int, rng: np.random.Generator) -> None:
    for dependence, colour in _DEPENDENCE.items():
        for judged, marker in ((True, "o"), (False, "x")):
            rows = part[(part["dependence"] == dependence) & (part["holds"].notna() == judged)]
            heights = place + rng.uniform(-0.24, 0.24, len(rows))
            ax.plot(rows["coverage"], heights, marker, color=colour, markersize=3.4, alpha=0.8, linestyle="", zorder=3)


def power_figure(power: pd.DataFrame) -> Figure:
    """A panel for each d: smallest gap against n, one line for each estimator."""
    names = list(dict.fromkeys(power["estimator"]))
    widths = sorted(power["d"].unique())
    with plain():
        fig = Figure(figsize=(WIDTH, 3.5))
        heading(
            fig,
            "The smallest gap that each bound tells from zero",
            "Gaussian shift, TV seen in 80% of replicates; lower is better. Lines that stop saw nothing at smaller n.",
            0.12,
        )
        axes = fig.subplots(1, len(widths), sharey=True, squeeze=False)[0]
        fig.subplots_adjust(left=0.085, right=0.985, top=0.79, bottom=0.30, wspace=0.08)
        ticks = [0.02, 0.05, 0.1, 0.2, 0.4, 0.8]
        for ax, d in zip(axes, widths, strict=True):
            for i, name in enumerate(names):
                part = power[(power["d"] == d) & (power["estimator"] == name)].sort_values("n")
                # A little to the side, so that lines on the same grid value stay apart.
                n = part["n"] * (1 + 0.025 * (i - len(names) / 2))
                ax.plot(n, part["smallest_tv"], color=COLOURS[i], marker=MARKERS[i], markersize=4.5, lw=1.4, label=name)
            ax.set_xscale("log")
            ax.set_yscale("log")
            ax.set_yticks(ticks, labels=[f"{t:g}" for t in ticks])
            sizes = sorted(power["n"].unique())
            ax.set_xticks(sizes, labels=[f"{s:,}" for s in sizes])
            ax.minorticks_off()
            ax.set_ylim(0.018, 0.95)
            ax.set_title(f"d = {d}")
            ax.set_xlabel("rows a side")
        axes[0].set_ylabel("total variation")
        handles, labels = axes[0].get_legend_handles_labels()
        fig.legend(handles, labels, loc="lower center", ncols=4, fontsize=7.5)
    return fig
