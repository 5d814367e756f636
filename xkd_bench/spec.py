"""RunSpec: what a run is. Checked before anything is read or written, frozen, hashable."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from protocols import CHANGEABLE, Budget, Protocol, budget_names, load_budget, load_protocol, protocol_names
from xkd_bench.catalogue import DEFAULT_TEACHER, SUPERVISED_TEACHER, fresh
from xkd_bench.errors import UsageError, nearest

if TYPE_CHECKING:
    from xkd_bench.methods.base import Method
    from xkd_bench.tasks.base import Card

FORMAT = 1
"""Part of every key. Raised when a change of code changes results, so that old artefacts are not taken for new ones."""


def digest(fields: Any) -> str:
    """A short sha256 of any JSON-able value, the same whatever the order of its keys."""
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


class RunSpec(BaseModel):
    """One method on one task under one protocol, with one seed.

    Make it with `RunSpec.make`, which fills in defaults and refuses what cannot run with one line (UsageError).
    `options` are the method's, all of them, defaults included. `init`: where the student starts, before distillation
    or, for sup-ft, before the labels: fresh, or with weights of its network that know the source modality.
    `teacher_weights` is a file on this machine; `teacher_digest`, its sha256, is what identifies the run. So it is with
    files of a backbone, from which a dense task's student or its teacher's training starts. `recipe`: what of the
    budget is otherwise here, by names such as `distil.ema` (`protocols.CHANGEABLE`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str
    method: str
    options: dict[str, Any]
    protocol: str
    budget: str
    teacher: str
    pairs: Literal["true", "shuffled"]
    student: str
    seed: Annotated[int, Field(ge=0)]
    precision: Literal["32", "bf16", "16"]
    batch: Annotated[int, Field(gt=1)] | None = None
    init: Literal["random", "source"] = "random"
    teacher_digest: str | None = None
    teacher_weights: Annotated[Path | None, Field(exclude=True)] = None
    student_backbone_digest: str | None = None
    student_backbone: Annotated[Path | None, Field(exclude=True)] = None
    teacher_backbone_digest: str | None = None
    teacher_backbone: Annotated[Path | None, Field(exclude=True)] = None
    recipe: dict[str, Any] = {}

    @classmethod
    def make(
        cls,
        *,
        task: str = "emoji-sketch",
        method: str = "cmc",
        options: dict[str, Any] | None = None,
        protocol: str = "few-shot",
        budget: str = "laptop",
        teacher: str | None = None,
        pairs: str = "true",
        student: str | None = None,
        seed: int = 0,
        precision: str = "32",
        batch: int | None = None,
        init: str = "random",
        teacher_weights: Path | str | None = None,
        student_backbone: Path | str | None = None,
        teacher_backbone: Path | str | None = None,
        recipe: dict[str, Any] | None = None,
    ) -> "RunSpec":
        """A checked spec. `student` defaults to the budget's, `batch` (of distillation) to its recipe's."""
        from xkd_bench import methods, tasks

        _check_names(protocol=protocol, budget=budget, pairs=pairs, precision=precision, init=init)
        _check_numbers(seed, batch)
        card, cls_method = tasks.get(task).card, methods.get(method)
        student = student or load_budget(budget, card.budget_kind).student
        # A file's backbone takes the place of ImageNet's.
        student = fresh(student) if student_backbone is not None else student
        teacher = fresh(teacher) if teacher is not None and teacher_backbone is not None else teacher
        _check_fit(task, card, method, cls_method, protocol, student, init)
        given = Path(teacher_weights) if teacher_weights is not None else None
        if given is not None and teacher is None:
            raise UsageError(f"--teacher-weights {given}: say with --teacher which network these are weights of")
        # A method that is shown no pairs is the same run whatever the teacher, unless its student starts from it.
        starts_there = (cls_method.init or init) == "source" and given is not None and teacher == student
        taught = cls_method.uses_pairs or starts_there
        teacher, given = (teacher or _default_teacher(card), given) if taught else ("none", None)
        if taught:
            _check_teacher(task, card, teacher, given)
        _check_backbones(card, student_backbone, teacher_backbone, given)
        # An untrained teacher starts nowhere, and where the teacher is scored there is no student.
        starts = {
            "student": student_backbone if getattr(cls_method, "trains_student", True) else None,
            "teacher": teacher_backbone if taught and not teacher.startswith("random") else None,
        }
        return cls.model_validate({
            "task": task, "method": method, "protocol": protocol, "budget": budget, "student": student, "seed": seed,
            "options": cls_method.parse_options(method, options or {}).model_dump(mode="json"),
            "teacher": teacher, "pairs": pairs if cls_method.uses_pairs else "true", "precision": precision,
            "batch": batch, "init": init, "teacher_weights": given, "teacher_digest": _digest_of(card, teacher, given),
            **_backbones(starts), "recipe": _differences(budget, card, recipe or {}),
        })  # fmt: skip

    def __hash__(self) -> int:
        return hash(self.model_dump_json())

    def fields(self) -> dict[str, Any]:
        """What identifies the run, for keys: fields that came later are left out where they say what was so before."""
        later: dict[str, Any] = {"init": "random", "recipe": {}, **dict.fromkeys(
            ("teacher_digest", "student_backbone_digest", "teacher_backbone_digest")
        )}  # fmt: skip
        fields = {k: v for k, v in self.model_dump().items() if k not in later or v != later[k]}
        return fields | {"pairs": self.pairing}

    @property
    def pairing(self) -> str:
        """What keys say of the pairs. Shuffled ones once went from concept to concept: those runs are not these."""
        return "shuffled by item" if self.pairs == "shuffled" else self.pairs

    def load_protocol(self) -> Protocol:
        """The protocol by this name."""
        return load_protocol(self.protocol)

    def load_budget(self) -> Budget:
        """The budget for the kind of this task's target modality, with `recipe` and, of distillation, `batch` in it."""
        from xkd_bench import tasks

        plan = changed_budget(self.budget, tasks.get(self.task).card.budget_kind, self.recipe)
        if self.batch is None:
            return plan
        return plan.model_copy(update={"distil": plan.distil.model_copy(update={"batch": self.batch})})

    def label(self) -> str:
        """A short name for progress and messages."""
        kind = {"simclr": "SimCLR"}.get(self.teacher, self.teacher.replace(":", " "))
        control = "" if self.teacher in ("none", DEFAULT_TEACHER, SUPERVISED_TEACHER) else f" · {kind} teacher"
        return f"{self.method}{control}{' · shuffled pairs' if self.pairs == 'shuffled' else ''} · seed {self.seed}"


def changed_budget(name: str, target_kind: str, recipe: Mapping[str, Any]) -> Budget:
    """A budget with changes (`protocols.CHANGEABLE`). UsageError at the first that cannot be."""
    plan = load_budget(name, target_kind)
    for field in recipe:
        check_change(field)
    try:
        return plan.changed(recipe) if recipe else plan
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        about = [field for field in recipe if place.startswith(field)] or list(recipe)
        given = ", ".join(f"{field}={recipe[field]}" for field in about)
        what = first["msg"].removeprefix("Value error, ")
        raise UsageError(f"recipe {given}: {what[0].lower()}{what[1:]}") from error


def check_change(field: str) -> None:
    """Raise UsageError if a run cannot change this of its budget."""
    if field == "distil.batch":
        raise UsageError("recipe distil.batch: the batch of distillation has an option of its own, --batch")
    if field not in CHANGEABLE:
        part = field.rpartition(".")[0] + "."
        alike = [name for name in CHANGEABLE if name.startswith(part)]
        raise nearest(
            "field of a recipe", field, alike or [n for n in CHANGEABLE if not n.startswith(("pre", "head."))]
        )


def _differences(budget: str, card: "Card", recipe: Mapping[str, Any]) -> dict[str, Any]:
    """What of a recipe is not the budget's anyway, as the budget would say it."""
    plan, changed = load_budget(budget, card.budget_kind), changed_budget(budget, card.budget_kind, recipe)
    moves = ("none", "dense", "dense-steps") if card.kind == "segmentation" else ("none", "light", "simclr")
    for field in recipe:
        if field.endswith(".augmentation") and changed.value(field) not in moves:
            raise UsageError(f"recipe {field}={recipe[field]}: for {card.kind} there is {', '.join(moves)}")
    return {field: changed.value(field) for field in sorted(recipe) if changed.value(field) != plan.value(field)}


def _default_teacher(card: "Card") -> str:
    """Who teaches where no teacher is named."""
    if card.kind == "segmentation":
        return SUPERVISED_TEACHER
    return "simclr" if card.source_kind == "vector" else DEFAULT_TEACHER


def _check_names(**given: str) -> None:
    """Raise UsageError at the first that has no such value."""
    known = {
        "protocol": ("protocol", protocol_names()),
        "budget": ("budget", budget_names()),
        "pairs": ("kind of pairs", ("true", "shuffled")),
        "precision": ("precision", ("32", "bf16", "16")),
        "init": ("start of the student (--init)", ("random", "source")),
    }
    for field, name in given.items():
        kind, names = known[field]
        if name not in names:
            raise nearest(kind, name, list(names))


def _check_numbers(seed: int, batch: int | None) -> None:
    if seed < 0:
        raise UsageError(f"a seed is 0 or more, got {seed}")
    if batch is not None and batch < 2:
        raise UsageError(f"a batch has 2 items or more, got {batch}")


def _check_fit(
    task: str, card: "Card", method: str, cls_method: "type[Method]", protocol: str, student: str, init: str
) -> None:
    """Raise UsageError where task, method, protocol, student and its start do not go together."""
    from xkd_bench.models.backbones import check_network
    from xkd_bench.models.encoders import check_student

    if card.kind not in cls_method.kinds:
        raise UsageError(f"task '{task}' is for {card.kind}, and method '{method}' is not")
    if cls_method.protocols is not None and protocol not in cls_method.protocols:
        raise UsageError(f"method '{method}' is scored by protocol {', '.join(cls_method.protocols)} only")
    if cls_method.sees != "features" and "vector" in (card.source_kind, card.target_kind):
        raise UsageError(f"method '{method}' compares feature maps, and vectors, of which '{task}' is, have none")
    if card.kind != "segmentation":
        check_student(student)
        return
    check_network(student)
    if init == "source":
        raise UsageError("--init source is for classification: a dense student starts fresh")


def _check_teacher(task: str, card: "Card", name: str, weights: Path | None) -> None:
    """Raise UsageError if no teacher has this name, its weights cannot be had, or it cannot take the task's source."""
    from xkd_bench.models.backbones import check_network
    from xkd_bench.models.conversion import check_file
    from xkd_bench.models.teachers import RANDOM, check_teacher, takes_vectors

    if card.kind == "segmentation":
        if name not in ("random", SUPERVISED_TEACHER):
            check_network(fresh(name.removeprefix(RANDOM)) if name.startswith(RANDOM) or weights else name)
        if weights is not None:
            check_file(weights)
        return
    check_teacher(name, weights)
    if takes_vectors(name) not in (None, card.source_kind == "vector"):
        what = ("images", "vectors") if card.source_kind == "vector" else ("vectors", "images")
        raise UsageError(f"teacher '{name}' takes {what[0]}, and the source of '{task}' is {what[1]}")


def _check_backbones(
    card: "Card", student: Path | str | None, teacher: Path | str | None, weights: Path | None
) -> None:
    """Raise UsageError where a file of a backbone is not there or there is nothing that could start from it."""
    from xkd_bench.models.conversion import check_file

    for who, path in (("student", student), ("teacher", teacher)):
        if path is None:
            continue
        if card.kind != "segmentation":
            raise UsageError(
                f"--{who}-backbone is for dense tasks: of classification, --teacher-weights are whole networks' and "
                "--init source is where students start from them"
            )
        check_file(Path(path))
    if teacher is not None and weights is not None:
        raise UsageError("--teacher-weights are of a teacher that is not trained here: it has no --teacher-backbone")


def _backbones(files: dict[str, Path | str | None]) -> dict[str, Any]:
    """The fields of these files of backbones: path and digest."""
    from xkd_bench.models.conversion import file_digest

    given = {f"{who}_backbone": Path(path) for who, path in files.items() if path is not None}
    return given | {f"{name}_digest": file_digest(path) for name, path in given.items()}


def _digest_of(card: "Card", teacher: str, weights: Path | None) -> str | None:
    """What a file of weights is known by."""
    from xkd_bench.models.conversion import file_digest
    from xkd_bench.models.teachers import weights_digest

    if weights is None:
        return None
    return file_digest(weights) if card.kind == "segmentation" else weights_digest(teacher, weights)
