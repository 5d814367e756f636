"""Scores of one network with several inputs are variants of their own, and do not compete with the target alone."""

from tests.report.frames import frame, row
from xkd_bench.analysis.compare import distinguish, gains, summarise
from xkd_bench.report.tables import markdown


def scores():
    runs = {"csk-net": (0.5, 0.9, 0.7), "kd": (0.6, None, None), "sup-ft": (0.4, None, None)}
    return frame(
        row(
            {"method": name},
            value + 0.003 * seed * (1 + len(name)),
            inputs=inputs,
            seed=seed,
            trained="all",
            metric="mIoU",
        )
        for name, values in runs.items()
        for inputs, value in zip(("target", "both", "source"), values, strict=True)
        for seed in range(3)
        if value is not None
    )


def test_inputs_name_variants_and_only_the_target_alone_can_be_best():
    found = distinguish(scores()).set_index("variant")["status"].to_dict()
    assert found["kd"] == "best"
    assert found["csk-net · both inputs"] == found["csk-net · source input"] == "other inputs"
    assert "other inputs" not in (found["csk-net"], found["sup-ft"])
    assert len(summarise(scores())) == 5
    text = markdown(scores())
    assert "do not compete" in text
    assert "**" in text.split("| kd |")[1].split("\n")[0]


def test_gains_of_a_dense_task_are_over_sup_ft():
    gained = gains(scores()).set_index("variant")
    assert set(gained["subtrahend"]) == {"sup-ft"}
    assert gained.loc["csk-net · both inputs", "difference"] > gained.loc["csk-net", "difference"]


def test_where_nothing_saw_the_target_alone_all_compete():
    others = scores()
    others = others[others["inputs"] != "target"]
    status = distinguish(others).set_index("variant")["status"]
    assert status["csk-net · both inputs"] == "best"


def test_a_table_without_the_column_is_of_the_target():
    df = scores()
    df = df[df["inputs"] == "target"].drop(columns="inputs")
    assert set(distinguish(df)["variant"]) == {"csk-net", "kd", "sup-ft"}
