"""What tables say, in every form, and that they say it the same way each time."""

import io
import re

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from tests.report.frames import METHODS, cells, frame, row, study
from xkd_bench.analysis.compare import distinguish, gains, summarise
from xkd_bench.report import tables
from xkd_bench.report.latex import escape
from xkd_bench.report.sheet import sheet

RULE = "hyper-parameters chosen on validation data only"


def terminal(df: pd.DataFrame, width: int = 90) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(tables.terminal(df, RULE))
    return console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("make", [tables.markdown, tables.latex, tables.csv, lambda df, rule: terminal(df)])
def test_the_same_scores_in_any_order_give_the_same_text(make) -> None:
    df = study()
    assert make(df, RULE) == make(df.sample(frac=1, random_state=3), RULE)


@pytest.mark.parametrize("make", [tables.markdown, tables.latex, lambda df, rule: terminal(df, 300)])
def test_the_head_says_what_was_done(make) -> None:
    text = make(study(), RULE)
    facts = ["Emoji to sketch", "rendered", "colour drawing", "line drawing", "paired by instance"]
    facts += ["few-shot, version 1", "budget laptop", "imagenet", "resnet18", "0, 1, 2; 4 label draws per seed"]
    facts += ["accuracy in percent", "Student t interval over seeds", "splits, initial weights and label draws"]
    for fact in [*facts, RULE, "d" * 12, "eq. (3)"]:
        assert fact in text
    assert "d" * 13 not in text


def test_cells_are_the_summary_in_points_with_the_best_bold_and_the_undistinguished_marked() -> None:
    x = [[0.5, 0.52], [0.6, 0.61], [0.55, 0.57]]
    near = [[0.5, 0.53], [0.59, 0.60], [0.56, 0.56]]
    far = [[0.2, 0.22], [0.3, 0.31], [0.25, 0.29]]
    df = cells({"cmc": x, "cmd": near, "cmst": far})
    half = (summarise(df)["high"] - summarise(df)["mean"]) * 100
    assert distinguish(df)["status"].tolist() == ["best", "not distinguishable", "distinguishable"]
    lines = tables.markdown(df, RULE).splitlines()
    assert f"| cmc | **55.8** ± {half[0]:.1f} |" in lines
    assert f"| cmd | 55.7 ± {half[1]:.1f} † |" in lines
    assert f"| cmst | 26.2 ± {half[2]:.1f} |" in lines
    assert "±" in terminal(df)
    assert f"55.7 ± {half[1]:.1f} †" in terminal(df)
    latex = tables.latex(df, RULE)
    assert rf"cmc & \textbf{{55.8}} $\pm$ {half[0]:.1f} \\" in latex
    assert rf"cmd & 55.7 $\pm$ {half[1]:.1f}$^{{\dagger}}$ \\" in latex
    for text in (tables.markdown(df, RULE), " ".join(terminal(df, 200).split())):
        assert "bold: highest mean of its column; †: not distinguishable from it" in text


def test_single_scores_show_no_interval_and_claim_nothing() -> None:
    text = tables.markdown(study(seeds=1, draws=1), RULE)
    assert re.search(r"\| cmc \| \*\*\d\d\.\d\*\* ± — \|", text)
    assert "one score in each cell: no interval" in text
    assert "‡: too few scores to decide" in text
    assert "too few to decide |" in text
    assert "†" not in text
    assert "gain |" in text
    assert not re.search(r"\| (gain|loss)( on this split)? \|$", text, flags=re.M)


def test_one_seed_speaks_of_its_split_only() -> None:
    text = tables.markdown(study(("cmc", "ssl", "sup-ft"), seeds=1, draws=12), RULE)
    assert "label draws only; one split" in text
    assert "so of this one split" in text
    assert "gain on this split" in text


def test_missing_cells_are_dashes_and_fewer_seeds_are_named() -> None:
    df = study()
    ssl = df["method"] == "ssl"
    df = df[~(ssl & (df["labels_per_class"] == 5)) & ~(ssl & (df["seed"] == 2))]
    text = tables.markdown(df, RULE)
    assert re.search(r"\| ssl \| \d\d\.\d ± \d+\.\d(?: †)? \| — \| \d\d\.\d", text)
    assert "compared on the draws in common only: ssl (2 seeds, 8 scores, in 4 columns)." in text


def test_gains_are_split_by_the_controls_and_called_by_their_name() -> None:
    text = tables.markdown(study(seeds=5), RULE)
    assert "| cmc over ssl | gain | knowledge | pairing | objective | verdict |" in text
    assert re.search(r"\| linear, 1 label \| \+\d\.\d ± \d\.\d \|.*\| gain \|", text)
    assert "gain = knowledge + pairing + objective" in text
    without = tables.markdown(study(("cmc", "cmc · random teacher", "ssl")), RULE)
    assert "| cmc over ssl | gain | knowledge | verdict |" in without
    assert "gain = knowledge" not in without
    assert "pairing" not in without
    assert "verdict" not in tables.markdown(study(("cmc", "sup-ft")), RULE)


def test_a_gain_stands_under_the_reference_of_its_own_student() -> None:
    runs = [{**METHODS[name], "student": f"conv4-w{width}"} for name in ("cmc", "cmd", "ssl") for width in (8, 16)]
    df = frame([row(run, 0.5 + 0.01 * i + 0.02 * s * i, seed=s) for s in range(3) for i, run in enumerate(runs)])
    text = tables.markdown(df, RULE)
    for width in (8, 16):
        _, part = text.split(f"over ssl · conv4-w{width} student |")
        of = [line.split(" |")[0] for line in part.split("\n\n")[0].splitlines()[2:]]
        assert of == [f"| cmc · conv4-w{width} student", f"| cmd · conv4-w{width} student"]


def test_a_difference_of_chance_is_undecided() -> None:
    same = [[0.5, 0.52], [0.6, 0.61], [0.55, 0.57]]
    other = [[0.51, 0.52], [0.59, 0.61], [0.56, 0.56]]
    text = tables.markdown(cells({"cmc": same, "ssl": other}), RULE)
    assert re.search(r"\| 0\.0 ± \d\.\d ° \| undecided \|", text)
    assert "°: not told from zero" in text
    loss = tables.markdown(cells({"cmc": [[0.3], [0.41], [0.35]], "ssl": [[0.5], [0.6], [0.55]]}), RULE)
    assert re.search(r"\| −19\.7 ± \d\.\d \| loss \|", loss)


def test_a_gain_that_only_holds_without_correction_is_undecided() -> None:
    z = 0.01 * np.array([[-1.0], [-0.3], [0.3], [1.0]])
    base = np.full((4, 1), 0.5)
    methods = {"cmc": base + 0.017 + z, "cmd": base + z, "cmst": base - z}
    found = gains(cells(methods | {"ssl": base})).set_index("variant").loc["cmc"]
    assert found["p"] < 0.05 < found["p_holm"]
    assert re.search(r"\| \+1\.7 ± \d\.\d ° \| undecided \|", tables.markdown(cells(methods | {"ssl": base}), RULE))
    assert re.search(r"\+1\.7 ± \d\.\d \| gain \|", tables.markdown(cells({"cmc": methods["cmc"], "ssl": base}), RULE))


def test_reduced_pairs_have_a_column_for_each_fraction() -> None:
    text = tables.markdown(study(("cmc",), shots=(None,), fractions=(0.05, 0.5, 1.0), draws=1), RULE)
    assert "| Linear evaluation | 5 % of pairs | 50 % of pairs | all pairs |" in text
    assert "| Linear evaluation | all labels |" in tables.markdown(study(("cmc",), shots=(None,), draws=1), RULE)


def test_csv_has_every_number_of_the_table() -> None:
    df = study()
    long = pd.read_csv(io.StringIO(tables.csv(df, RULE)))
    scores = long[long["quantity"] == "accuracy"].reset_index(drop=True)
    for name in ("mean", "low", "high", "sd_seeds", "sd_draws", "n_seeds", "n_draws"):
        assert scores[name].to_numpy() == pytest.approx(summarise(df)[name].to_numpy(dtype=float))
    assert set(long["quantity"]) == {"accuracy", "gain", "knowledge", "pairing", "objective"}
    assert set(long["selection_rule"]) == {RULE}
    assert scores["status"].notna().all()
    all_labels = pd.read_csv(io.StringIO(tables.csv(study(("cmc", "cmd"), shots=(None,), draws=1), RULE)))
    assert all_labels["labels_per_class"].isna().all()
    assert all_labels["status"].notna().all()


def test_latex_is_ascii_balanced_and_has_as_many_cells_as_columns() -> None:
    df = study(("cmc", "cmc · random teacher", "cmd", "ssl"), seeds=2)  # cmd has fewer columns: it has no control
    text = tables.latex(df[(df["trained"] == "head") | (df["labels_per_class"] == 5)], RULE, label="few-shot")
    assert text.isascii()
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 2
    assert r"\label{tab:few-shot}" in text
    assert r"\label{tab:few-shot-gains}" in text
    assert r"\caption{" in text
    body = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    assert body.count("{") - body.count(r"\{") == body.count("}") - body.count(r"\}")
    assert "%" not in body.replace(r"\%", "")
    for table in re.findall(r"\\begin\{tabular\}.*?\\end\{tabular\}", body, flags=re.S):
        spec = re.match(r"\\begin\{tabular\}\{@\{\}([lr]+)@\{\}\}", table)
        assert spec
        rows = [line for line in table.splitlines() if line.endswith(r"\\")]
        assert len(rows) > 5
        assert {line.replace(r"\&", "").count("&") + 1 for line in rows} == {len(spec[1])}
        assert [table.count(rule) for rule in (r"\toprule", r"\bottomrule")] == [1, 1]


def test_names_that_mean_something_to_latex_or_markdown_are_escaped() -> None:
    assert escape(r"50 % of a_b & {c} #1 $x$ \y ~ ^") == (
        r"50 \% of a\_b \& \{c\} \#1 \$x\$ \textbackslash{}y \textasciitilde{} \textasciicircum{}"
    )
    assert escape("naïve τ ± 日") == r"naive $\tau$ $\pm$ ?"
    runs = [row({**METHODS["cmd"], "changes": {"cmd_form": "a|b*"}}, 0.5)]
    assert r"| cmd (cmd\_form=a\|b\*) |" in tables.markdown(frame(runs), RULE)
    assert r"cmd (cmd\_form=a\textbar{}b*) &" in tables.latex(frame(runs), RULE)


def test_terminal_fits_eighty_columns() -> None:
    assert max(map(len, terminal(study(), 80).splitlines())) <= 80
    assert "10 labels" in terminal(study(), 80)


def test_simulated_and_real_data_are_named() -> None:
    for origin, words in (("simulated", "simulated data"), ("real", "real data")):
        assert words in tables.markdown(study(origin=origin), RULE)
    assert "(simulated data)" in tables.latex(study(origin="simulated"), RULE)
    assert sheet(study(task_title="X"), RULE).title == "Few-shot evaluation on X"
