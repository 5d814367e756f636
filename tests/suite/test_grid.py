"""Sweeps from TOML: what is crossed with what, what overrides what, and what is refused in which words."""

from pathlib import Path

import pytest

from protocols import budget_names, load_budget
from xkd_bench import methods, registry
from xkd_bench.errors import UsageError
from xkd_bench.suite.grid import load_sweep, sweep_names

HEAD = 'summary = "a test"\n[shared]\ntask = "toy"\nprotocol = "linear-eval"\n'


@pytest.fixture
def sweep(toy, tmp_path):
    """Makes a sweep of a text."""

    def make(text: str, head: str = HEAD):
        (tmp_path / "mine.toml").write_text(head + text, encoding="utf-8")
        return load_sweep(str(tmp_path / "mine.toml"))

    return make


def what(specs, *names):
    return [tuple(getattr(spec, name) for name in names) for spec in specs]


def test_lists_of_a_block_are_crossed_and_blocks_are_not(sweep):
    grid = sweep("""
[[grid]]
method = ["ssl", "sup-ft"]
student = ["conv4-w8", "conv4-w16"]
[[grid]]
method = "pressl"
protocol = "fine-tune"
""")
    specs = grid.specs("smoke")
    assert what(specs, "method", "student", "protocol") == [
        ("ssl", "conv4-w8", "linear-eval"),
        ("ssl", "conv4-w16", "linear-eval"),
        ("sup-ft", "conv4-w8", "linear-eval"),
        ("sup-ft", "conv4-w16", "linear-eval"),
        ("pressl", "conv4-w8", "fine-tune"),
    ]
    assert {s.budget for s in specs} == {"smoke"}


def test_options_are_crossed_too_and_a_list_in_a_list_is_one_value(sweep):
    specs = sweep('[[grid]]\nmethod = "cmd"\noptions = { form = ["seed", "intra"], tau_t = [0.1, 0.2], tau_s = 0.3 }\n')
    specs = specs.specs("smoke", alone=True)
    assert [(s.options["form"], s.options["tau_t"], s.options["tau_s"]) for s in specs] == [
        ("seed", 0.1, 0.3), ("seed", 0.2, 0.3), ("intra", 0.1, 0.3), ("intra", 0.2, 0.3),
    ]  # fmt: skip
    with pytest.raises(UsageError, match=r"sweep 'mine', \[\[grid\]\] 1: option tau_t=\[0.1, 0.2\] of method 'cmd'"):
        sweep('[[grid]]\nmethod = "cmd"\noptions.tau_t = [[0.1, 0.2]]\n').specs("smoke")


def test_controls_come_with_methods_that_are_shown_pairs(sweep):
    text = '[[grid]]\nmethod = ["cmc", "ssl"]\n'
    with_them = [
        ("cmc", "efficientnet-lite0", "true"),
        ("cmc", "random", "true"),
        ("cmc", "efficientnet-lite0", "shuffled"),
        ("ssl", "none", "true"),
    ]
    asked = ("method", "teacher", "pairs")
    alone = [with_them[0], with_them[3]]
    assert what(sweep(text).specs("smoke"), *asked) == with_them
    assert what(sweep(text).specs("smoke", alone=True), *asked) == alone
    assert what(sweep(text, "controls = false\n" + HEAD).specs("smoke"), *asked) == alone
    assert what(sweep(text + "controls = false\n").specs("smoke"), *asked) == alone
    assert what(sweep(text + "controls = true\n", "controls = false\n" + HEAD).specs("smoke"), *asked) == with_them


def test_seeds_are_the_budgets_the_files_or_those_asked_for_and_go_outermost(sweep):
    text = '[[grid]]\nmethod = ["ssl", "sup-ft"]\n'
    assert [s.seed for s in sweep(text).specs("laptop")] == [
        s for s in range(load_budget("laptop").seeds) for _ in "ab"
    ]
    assert what(sweep(text, "seeds = 2\n" + HEAD).specs("laptop"), "method", "seed") == [
        ("ssl", 0), ("sup-ft", 0), ("ssl", 1), ("sup-ft", 1),
    ]  # fmt: skip
    assert {s.seed for s in sweep(text, "seeds = [3, 5]\n" + HEAD).specs("laptop")} == {3, 5}
    assert {s.seed for s in sweep(text, "seeds = [3, 5]\n" + HEAD).specs("laptop", [7])} == {7}


def test_the_narrower_wins_overrides_over_blocks_over_budgets_over_what_is_shared(sweep):
    grid = sweep("""
student = "conv4-w8"
[under.paper]
student = "conv4-w16"
[[grid]]
method = "ssl"
[[grid]]
method = "ssl"
student = "conv4-w24"
""")
    assert [s.student for s in grid.specs("smoke")] == ["conv4-w8", "conv4-w24"]
    assert [s.student for s in grid.specs("paper", [0])] == ["conv4-w16", "conv4-w24"]
    assert [s.student for s in grid.specs("paper", [0], student="conv4-w32")] == ["conv4-w32", "conv4-w32"]
    both = grid.specs("smoke", protocol=["linear-eval", "fine-tune"])
    assert [s.protocol for s in both] == ["linear-eval", "fine-tune"] * 2


def test_blocks_may_be_for_some_budgets_only(sweep):
    grid = sweep('[[grid]]\nbudgets = ["paper", "laptop"]\nmethod = "ssl"\n')
    assert grid.specs("laptop")
    with pytest.raises(UsageError, match=r"sweep 'mine' has no \[\[grid\]\] for budget 'smoke'"):
        grid.specs("smoke")


BLOCK = '[[grid]]\nmethod = "ssl"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "grid: field required"),
        ("grid = []", "shared grid"),  # a key of [shared], where it stands
        (BLOCK + "studnt = 3", "[[grid]] 1: unknown field 'studnt': did you mean 'student'?"),
        (BLOCK + "seed = 3", "[[grid]] 1: seed is no field of a run: seeds are the whole sweep's: seeds = 3"),
        ('budget = "smoke"\n' + BLOCK, "[shared]: budget is no field of a run: the budget is the whole sweep's"),
        ('budget = "smoke"\n' + BLOCK, "budget = NAME at the top of the file, or --budget NAME"),
        (BLOCK + '[under.paper]\nprecision = "16"', "[under.paper]: precision is no field of a run"),
        (BLOCK + "student = 3", "[[grid]] 1: student = 3: input should be a valid string"),
        (BLOCK + 'batch = [32, "x"]', "[[grid]] 1: batch = 'x': input should be a valid integer"),
        (BLOCK + "student = []", "[[grid]] 1: student = []: a list names one value or more"),
        (BLOCK + "options.tau = []", "[[grid]] 1: options.tau = []: a list names one value or more"),
        (BLOCK + BLOCK + "controls = 1", "[[grid]] 2: controls: input should be a valid boolean"),
        (BLOCK + 'budgets = ["huge"]', "[[grid]] 1: budgets: unknown budget 'huge'"),
        (BLOCK + "[under.huge]\nbatch = 3", "[under.huge]: unknown budget 'huge'"),
        (BLOCK + "[under.paper]\nbatsh = 3", "[under.paper]: unknown field 'batsh': did you mean 'batch'?"),
        (BLOCK + "options = 3", "[[grid]] 1: options: input should be a valid dictionary"),
        (BLOCK + "oops", "is no TOML"),
    ],
)
def test_what_is_wrong_is_one_line_with_file_and_field(sweep, text, said):
    with pytest.raises(UsageError) as caught:
        sweep(text)
    if said != "shared grid":
        assert said in str(caught.value)
    assert "mine.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ("seeds = 0\n", "seeds = 0: seeds are 0 or more, at least one"),
        ("seeds = [1, 1]\n", "without repeats"),
        ('seeds = "three"\n', "seeds: input should be a valid"),
        ("seeds = [true]\n", "seeds"),
        ('budget = "huge"\n', "budget: unknown budget 'huge'"),
        ("budgte = 3\n", "budgte: unknown field 'budgte': did you mean 'budget'?"),
        ('budgets = ["smoke"]\n', "budgets: unknown field 'budgets': did you mean 'budget'?"),
    ],
)
def test_what_is_wrong_at_the_top_is_one_line_too(sweep, head, said):
    with pytest.raises(UsageError, match=r"mine\.toml") as caught:
        sweep(BLOCK, head + HEAD)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tabel5", "unknown sweep 'tabel5': did you mean 'table5'?"),
        ("nowhere/mine.toml", "cannot read nowhere/mine.toml: No such file or directory"),
    ],
)
def test_a_sweep_that_is_not_there(name, said):
    with pytest.raises(UsageError) as caught:
        load_sweep(name)
    assert said in str(caught.value)


def test_what_no_run_can_be_names_its_block(sweep):
    with pytest.raises(UsageError, match=r"sweep 'mine', \[\[grid\]\] 2: unknown method 'cmcc': did you mean 'cmc"):
        sweep(BLOCK + '[[grid]]\nmethod = "cmcc"\n').specs("smoke")


def test_changes_of_the_budget_are_crossed_and_the_narrower_table_wins_field_by_field(sweep):
    grid = sweep("""
recipe.all = { lr = 0.5, ema = 0.9 }
[under.smoke]
recipe.all.lr = 0.25
[[grid]]
method = "ssl"
recipe.distil.lr = [0.1, 0.2]
""")
    assert [s.recipe for s in grid.specs("smoke")] == [
        {"all.ema": 0.9, "all.lr": 0.25, "distil.lr": lr} for lr in (0.1, 0.2)
    ]
    (one,) = grid.specs("smoke", **{"recipe.all.ema": 0.8, "recipe.distil.lr": 0.3})
    assert one.recipe == {"all.ema": 0.8, "all.lr": 0.25, "distil.lr": 0.3}
    with pytest.raises(UsageError, match=r"mine.toml: \[shared\]: unknown field of a recipe 'all.eam': did you mean"):
        sweep("recipe.all.eam = 0.9\n" + BLOCK)
    with pytest.raises(UsageError, match=r"sweep 'mine', \[\[grid\]\] 1: recipe all.ema=2: input should be less"):
        sweep(BLOCK + "recipe.all.ema = 2\n").specs("smoke")


# --- those that are shipped -----------------------------------------------------------------------------------------


PAPERS = ["dense", "figure1", "table1", "table3", "table4", "table5"]


def test_the_designs_of_the_papers_tables_are_shipped():
    assert set(PAPERS) <= set(sweep_names())
    for name in PAPERS:
        assert load_sweep(name).source.startswith("[PAPER]")


@pytest.fixture
def given_weights(monkeypatch, tmp_path):
    """Files in the place where the shipped sweeps look for weights, which are not read."""
    from xkd_bench.models.brought import SimCLR

    monkeypatch.setattr(SimCLR, "check", lambda self: None)
    (tmp_path / "weights").mkdir()
    for k in (1, 2, 4):
        (tmp_path / "weights" / f"resnet50-{k}x.pth").touch()
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("budget", budget_names())
@pytest.mark.parametrize("name", [name for name in PAPERS if name != "dense"])
def test_every_shipped_sweep_can_be_made_under_every_budget(toy, given_weights, name, budget):
    specs = load_sweep(name).specs(budget, [0], task="toy")
    assert {s.budget for s in specs} == {budget}
    taught = {s.teacher.removeprefix("random:") for s in specs if s.teacher not in ("none", "random")}
    assert all(t.startswith("simclr-resnet50-") for t in taught) == (budget == "paper")


def of(name, budget="laptop", **overrides):
    return load_sweep(name).specs(budget, [0], True, task="toy", **overrides)


def test_table_1_has_every_method_of_the_paper_and_all_of_ours(toy):
    specs = of("table1")
    ours = {e.name for e in registry.entries("methods").values() if e.origin == "xkd-bench"}
    assert {s.method for s in specs} == {name for name in ours if "classification" in methods.get(name).kinds}
    assert {s.protocol for s in specs} == {"linear-eval", "fine-tune"}


@pytest.mark.parametrize("budget", budget_names())
def test_the_dense_sweep_has_every_dense_method_and_its_ablations(toy_dense, budget):
    specs = load_sweep("dense").specs(budget, [0], task=toy_dense)
    assert {s.budget for s in specs} == {budget}
    ours = {e.name for e in registry.entries("methods").values() if e.origin == "xkd-bench"}
    dense = {name for name in ours if "segmentation" in methods.get(name).kinds}
    assert {s.method for s in specs} == dense
    ablated = {m: sum(s.method == m for s in specs) for m in ("af-dcd", "lix", "csk-net", "kd")}
    assert ablated == {"af-dcd": 4, "lix": 4, "csk-net": 6, "kd": 3}  # kd: with its two controls


def test_table_3_crosses_three_teachers_with_students(toy, given_weights):
    for budget, students in (("laptop", 3), ("paper", 2)):
        taught = [s for s in of("table3", budget) if s.method == "cmc"]
        assert len({s.teacher for s in taught}) == 3
        assert len(taught) == 3 * students == len({(s.teacher, s.student) for s in taught})
    weights = {s.teacher: s.teacher_weights for s in taught}
    assert weights == {f"simclr-resnet50-{k}x": Path(f"weights/resnet50-{k}x.pth") for k in (1, 2, 4)}
    assert {s.student for s in taught} == {"resnet18", "resnet50"}


def test_table_5_is_the_papers_grid_of_alpha(toy):
    for protocol in ("linear-eval", "fine-tune"):
        alphas = [s.options["alpha"] for s in of("table5") if s.method == "cmcd" and s.protocol == protocol]
        assert alphas == [0, 0.25, 0.5, 0.75, 1]


def test_figure_1_takes_pairs_away(toy):
    assert {s.protocol for s in of("figure1")} == {"reduced-pair"}
    assert {"cmc", "cmd", "cmkd", "pressl"} <= {s.method for s in of("figure1")}
