"""Reading features, the table of all estimators, and its forest plot."""

import math

import numpy as np
import pandas as pd
import pytest

from xkd_bench.analysis.gap import COLUMNS, ENTRIES, explain, features, gap_table, read_features
from xkd_bench.report.forest import forest
from xkd_bench.report.gap import write

QUICK = [key for key in ENTRIES if not key.startswith(("tv_c", "tv_t", "tv_w", "tv_j", "henze", "tv_s"))]


@pytest.fixture
def sides():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 4))
    return x, x + 0.5 * rng.normal(size=(60, 4))


def test_every_format_gives_the_same_features(tmp_path, sides):
    x, y = sides
    codes = np.arange(60) // 2
    np.savez(tmp_path / "f.npz", source=x, target=y, groups=codes)
    np.save(tmp_path / "f.npy", np.stack([x, y]))
    pd.DataFrame({"source": list(x), "target": list(y), "groups": codes}).to_parquet(tmp_path / "lists.parquet")
    wide = {f"{name}_{i}": side[:, i] for name, side in (("source", x), ("target", y)) for i in (3, 0, 2, 1)}
    pd.DataFrame(wide).to_parquet(tmp_path / "wide.parquet")
    for name in ("f.npz", "f.npy", "lists.parquet", "wide.parquet"):
        got = read_features(tmp_path / name)
        assert np.array_equal(got.source, x), name
        assert np.array_equal(got.target, y), name
        assert got.paired
        assert (got.groups is not None) == (name in ("f.npz", "lists.parquet"))


def test_unpaired_groups_and_explicit_pairing(tmp_path, sides):
    x, y = sides
    np.savez(
        tmp_path / "f.npz", source=x, target=y[:50], source_groups=np.arange(60), target_groups=np.arange(100, 150)
    )
    got = read_features(tmp_path / "f.npz")
    assert not got.paired
    assert isinstance(got.groups, tuple)
    assert not features(x, y, paired=False).paired
    assert features(x.reshape(60, 2, 2), y).source.shape == (60, 4)


def bad_files(tmp_path):
    x = np.random.default_rng(0).normal(size=(20, 3))
    with_nan = x.copy()
    with_nan[3, 1] = math.nan
    save = {
        "missing.npz": {"source": x},
        "nan.npz": {"source": x, "target": with_nan},
        "labels.npz": {"source": x, "target": x, "groups": np.arange(19)},
        "half.npz": {"source": x, "target": x, "source_groups": np.arange(20)},
        "both.npz": {"source": x, "target": x, "groups": np.arange(20), "source_groups": x, "target_groups": x},
        "pairs.npz": {"source": x, "target": x, "source_groups": np.arange(20), "target_groups": np.arange(20)},
        "few.npz": {"source": x[:7], "target": x[:7]},
        "flat.npz": {"source": x[:, 0], "target": x},
        "text.npz": {"source": x.astype(str), "target": x},
    }
    for name, arrays in save.items():
        np.savez(tmp_path / name, **arrays)
    np.savez(tmp_path / "pickle.npz", source=np.array([{}] * 20), target=x)
    np.save(tmp_path / "shape.npy", x)
    (tmp_path / "broken.npz").write_bytes(b"not a file")
    (tmp_path / "broken.parquet").write_bytes(b"not a file")
    pd.DataFrame({"a": [1.0]}).to_parquet(tmp_path / "columns.parquet")
    pd.DataFrame({"source": [[1.0], [1.0, 2.0]], "target": [[1.0], [2.0]]}).to_parquet(tmp_path / "ragged.parquet")
    return {
        "missing.npz": "no array target",
        "nan.npz": "1 of 20 rows of target hold NaN",
        "labels.npz": "groups of source have shape",
        "half.npz": "given together",
        "both.npz": "not both",
        "pairs.npz": "pairs take one array",
        "few.npz": "at least 8 are needed",
        "flat.npz": "expected \\[n, d\\]",
        "text.npz": "not numbers",
        "pickle.npz": "Object arrays cannot be loaded",
        "shape.npy": "expected \\[2, n, d\\]",
        "broken.npz": "broken.npz: ",
        "broken.parquet": "cannot be read as parquet",
        "columns.parquet": "no column source",
        "ragged.parquet": "different lengths",
        "absent.npz": "no such file",
        "image.png": "read from .npz, .npy, .parquet",
    }


def test_every_bad_input_is_one_clear_line(tmp_path):
    for name, words in bad_files(tmp_path).items():
        with pytest.raises(ValueError, match=words) as caught:
            read_features(tmp_path / name)
        assert "\n" not in str(caught.value), name
        assert str(tmp_path / name) in str(caught.value), name
    x = np.zeros((20, 3))
    with pytest.raises(ValueError, match="pairs need equal rows"):
        features(x, x[:10], paired=True)


def test_all_estimators_run_and_are_explained(sides):
    table = gap_table(features(*sides), seed=1)
    assert list(table.columns) == list(COLUMNS)
    assert list(table["estimator"]) == list(ENTRIES)
    assert table["value"].notna().all(), table[table["value"].isna()]["note"].tolist()
    assert [name.split("[")[0] for name in table["name"]] == list(ENTRIES)
    for key in ENTRIES:
        lines = explain(key).split("\n")
        assert len(lines) == 2
        assert all(20 < len(line) <= 120 and line.endswith((".", ")")) for line in lines), key
    assert (table["explain"] == [explain(k) for k in ENTRIES]).all()
    again = gap_table(features(*sides), seed=1)
    pd.testing.assert_frame_equal(table, again)


def test_only_what_applies_is_run(sides):
    x, y = sides
    table = gap_table(features(x, y[:, :2]), only=QUICK)
    assert "modality_gap" not in set(table["estimator"])
    assert "needs one space" in table.attrs["left_out"]["modality_gap"]
    assert "cka" in set(table["estimator"])
    table = gap_table(features(x, y[:50]), only=QUICK)
    assert table.attrs["left_out"]["cka"] == "needs pairs"
    assert set(table["estimator"]) >= {"modality_gap", "mmd2", "effective_rank_source"}
    with pytest.raises(ValueError, match="no estimator nonsense"):
        gap_table(features(x, y), only=["nonsense"])


def test_degenerate_features_give_rows_with_reasons():
    x = np.ones((40, 3))
    table = gap_table(features(x, x), only=["tv_smoothed", "cka", "effective_rank_source", "modality_gap"])
    by_key = table.set_index("estimator")
    assert by_key.loc["tv_smoothed", "note"].startswith("undefined: nearest neighbours coincide")
    assert by_key.loc["cka", "note"].startswith("undefined")
    assert by_key.loc["modality_gap", "value"] == pytest.approx(0)


def test_rows_are_cut_by_whole_groups(sides):
    x, y = sides
    ticks = []
    f = features(x, y, np.arange(60) // 3)
    table = gap_table(f, only=["cka", "retrieval_to_target"], max_rows=31, tick=ticks.append)
    assert ticks == ["cka", "retrieval_to_target"]
    assert set(table["n"]) == {10}  # ten groups of three
    assert "of 30" in table.set_index("estimator").loc["retrieval_to_target", "name"]
    unpaired = features(x, y, source_groups=np.arange(60), target_groups=np.arange(60) // 2, paired=False)
    assert gap_table(unpaired, only=["modality_gap"], max_rows=20)["n"].tolist() == [10]


def test_forest_shows_every_row_and_writes_whole_files(tmp_path, sides):
    table = gap_table(features(*sides), only=[*QUICK, "tv_witness"])
    table.loc[0, ["value", "low", "high"]] = math.nan
    figure = forest(table, "Modality gap", "60 pairs")
    labels = [t.get_text() for ax in figure.axes for t in ax.get_yticklabels()]
    assert len(labels) == len(table)
    assert any(label.startswith("tv_gibbs_normalised (intra") for label in labels)
    assert len(figure.axes) == 3
    texts = [t.get_text() for ax in figure.axes for t in ax.texts]
    assert "undefined" in texts
    first, second = (write(table, tmp_path / where, "gap", "Modality gap", "60 pairs", "x") for where in ("a", "b"))
    assert [p.name for p in first] == ["gap.md", "gap.csv", "gap.png", "gap.svg"]
    assert first[2].read_bytes()[:4] == b"\x89PNG"
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == sorted(p.name for p in first)


def test_forest_of_nothing_is_refused(sides):
    x, y = sides
    table = gap_table(features(x, y[:50]), only=["cka"])
    assert table.empty
    with pytest.raises(ValueError, match="no estimates"):
        forest(table, "t")


@pytest.mark.parametrize("kind", ["lower bound", "upper bound", "interval", "plug-in", "proxy"])
def test_forest_numbers_say_what_is_certified(kind):
    row = {"panel": "distance", "name": "x[a]", "value": 0.5, "low": 0.25, "high": 0.75, "kind": kind}
    figure = forest(pd.DataFrame([row]), "t")
    shown = [t.get_text() for t in figure.axes[0].texts]
    expected = {"lower bound": "≥ 0.25", "upper bound": "≤ 0.75"}.get(kind, "0.50  [0.25, 0.75]")
    assert shown == [expected]
