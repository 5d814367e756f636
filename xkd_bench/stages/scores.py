"""The scores of a student under a protocol, one artefact for all linear heads and one for each fine-tuning."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xkd_bench.evaluation import Score, fine_tuned_score, linear_scores, target_features
from xkd_bench.spec import FORMAT, digest
from xkd_bench.stages.context import Context
from xkd_bench.stages.dense import dense_scores
from xkd_bench.stages.kept import read_scores, write_scores
from xkd_bench.stages.student import distilled_student, student_key


def scores(run: Context) -> Iterator[tuple[float, Score]]:
    """Every score of the protocol with its fraction of the pairs, in the protocol's order."""
    if run.data.maps is not None:
        yield from dense_scores(run)
        return
    draws = min(run.protocol.draws, run.budget.max_draws)
    for fraction in run.protocol.pair_fractions:
        for trained in run.protocol.trained:
            stage = _linear if trained == "head" else _fine_tuned
            for score in stage(run, fraction, draws):
                yield fraction, score


def _linear(run: Context, fraction: float, draws: int) -> list[Score]:
    counts, recipe = run.protocol.label_counts(), run.budget.head
    key = _key(run, fraction, counts=counts, draws=draws, recipe=recipe.model_dump(mode="json"))

    def make(folder: Path) -> None:
        student = distilled_student(run, fraction)
        if not run.first:
            return
        run.report("linear evaluation", 0, len(counts), "")
        features = target_features(student, run.data, run.device)
        found = linear_scores(
            features, run.split, recipe, counts, draws, seed=run.spec.seed, fabric=run.alone,
            on_step=lambda done, total: run.report("linear evaluation", done, total, ""),
        )  # fmt: skip
        write_scores(folder, found)

    return read_scores(run.store.compute("linear-scores", key, make))


def _fine_tuned(run: Context, fraction: float, draws: int) -> Iterator[Score]:
    recipe = run.budget.all
    jobs = [(per_class, draw) for per_class in run.protocol.label_counts() for draw in range(draws)]
    for number, (per_class, draw) in enumerate(jobs):
        key = tuned_key(run, fraction, per_class, draw)

        def make(folder: Path, per_class: int | None = per_class, draw: int = draw, key: str = key) -> None:
            student = distilled_student(run, fraction)
            score = fine_tuned_score(
                student, run.data, run.split, recipe, per_class, draw, seed=run.spec.seed, fabric=run.fabric,
                flip=run.flip, on_step=run.on_step("fine-tuning") if len(jobs) == 1 else None,
                checkpoint=run.store.work_folder("tuned-scores", key) / "checkpoint.pt",
            )  # fmt: skip
            write_scores(folder, [score])

        run.report("fine-tuning", number, len(jobs), "")
        yield from read_scores(run.store.compute("tuned-scores", key, make))
        run.report("fine-tuning", number + 1, len(jobs), "")


def tuned_key(run: Context, fraction: float, per_class: int | None, draw: int) -> str:
    """What a fine-tuning on so many labels per class (None: all) depends on."""
    return _key(run, fraction, labels=per_class, draw=draw, recipe=run.budget.all.model_dump(mode="json"))


def _key(run: Context, fraction: float, **fields: Any) -> str:
    student = student_key(run, fraction)
    common = {"format": FORMAT, "student": student, "seed": run.spec.seed, "precision": run.spec.precision}
    return digest({**common, **fields})
