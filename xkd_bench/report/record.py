"""One record, for the terminal."""

from statistics import mean
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from xkd_bench.report.networks import used_words


def record_view(record: dict[str, Any]) -> RenderableType:
    """What was run, on what and with what; then accuracy in points for each setting, with every draw."""
    spec, task, environment = record["spec"], record["task"], record["environment"]
    options = ", ".join(f"{k}={v}" for k, v in spec["options"].items()) or "none"
    facts = {
        "record": record["key"],
        "task": f"{spec['task']}: {task['title']} ({task['origin']}, pairs by {task['pairing']}, {task['licence']})",
        "data": f"{record['data_digest'][:12]}; " + ", ".join(f"{n} {k}" for k, n in record["split"].items()),
        "method": f"{spec['method']} ({options}) {record['provenance']}",
        "teacher": f"{spec['teacher']}{_start(spec, 'teacher')}, pairs {spec['pairs']}",
        "student": f"{spec['student']}{_start(spec, 'student')}, batch {record['batch']}, seed {spec['seed']}",
        **{f"network {i}": used_words(used) for i, used in enumerate(record.get("networks", []), 1)},
        "protocol": f"{spec['protocol']} version {record['protocol']['version']}, budget {spec['budget']}",
        "took": f"{record['seconds']:.0f} s on {environment['device']}, {environment['threads']} threads",
        "with": "Python "
        + environment["python"]
        + ", "
        + ", ".join(f"{k} {v}" for k, v in environment["packages"].items()),
    }
    head = Table.grid(padding=(0, 2))
    head.add_column(style="dim", no_wrap=True)
    head.add_column()
    for name, text in facts.items():
        head.add_row(name, Text(text))
    parts: list[RenderableType] = [head, Text(), _scores(record["scores"])]
    exchanged = [s["details"]["exchanged"] for s in record["scores"] if "exchanged" in s.get("details", {})]
    if exchanged:  # of several draws of the labels, the first
        parts += [Text(), _exchanged(exchanged[0])]
    return Group(*parts)


def _start(spec: dict[str, Any], who: str) -> str:
    digest = spec.get(f"{who}_backbone_digest")
    return f" from the backbone {digest[:6]}" if digest else ""


def record_list(records: list[dict[str, Any]]) -> Table:
    """A line a record: its key, what was run, and the mean of its scores in points."""
    table = Table("record", "task", "protocol", "budget", "method", "teacher", "pairs", "seed", "mean", box=None)
    for record in records:
        spec = record["spec"]
        changed = ", ".join(f"{k}={v}" for k, v in record["option_changes"].items())
        method = f"{spec['method']} ({changed})" if changed else spec["method"]
        first = record["scores"][0].get("inputs")  # of a network that was scored with several, what stands first
        score = f"{100 * mean(s['value'] for s in record['scores'] if s.get('inputs') == first):.1f}"
        names = (spec["task"], spec["protocol"], spec["budget"], method, spec["teacher"], spec["pairs"])
        table.add_row(record["key"][:8], *names, str(spec["seed"]), score)
    return table


def _exchanged(shares: dict[str, list[float]]) -> Table:
    """Of a network whose branches exchange channels, what share of them each layer replaces by the other's."""
    table = Table("channels exchanged after", "in the source", "in the target", box=None, header_style="bold")
    for layer, (source, target) in shares.items():
        table.add_row(layer, f"{source:.1%}", f"{target:.1%}")
    return table


def _scores(scores: list[dict[str, Any]]) -> Table:
    table = Table("trained", "labels a class", "pairs", "n test", "mean", "each draw", box=None, header_style="bold")
    settings: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for score in scores:
        inputs = {"both": ", both inputs", "source": ", source input"}.get(score.get("inputs", ""), "")
        setting = (score["trained"] + inputs, score["labels_per_class"], score["pair_fraction"])
        settings.setdefault(setting, []).append(score)
    for (trained, labels, fraction), found in settings.items():
        values = [100 * score["value"] for score in found]
        each = " ".join(f"{value:.1f}" for value in values)
        table.add_row(
            trained, str(labels or "all"), f"{fraction:.0%}", str(found[0]["n_test"]), f"{mean(values):.1f}", each
        )
    return table
