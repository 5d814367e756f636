"""Methods and tasks by name: found without an import, extended by other packages, never silently replaced."""

from importlib.metadata import EntryPoint

import pytest

from xkd_bench import methods, registry, tasks
from xkd_bench.errors import UsageError
from xkd_bench.methods.base import Method
from xkd_bench.tasks.base import Task


@pytest.mark.parametrize(
    ("group", "contract", "some"),
    [("methods", Method, {"cmc", "cmd", "ssl", "sup-ft"}), ("tasks", Task, {"emoji-sketch", "doodle"})],
)
def test_every_file_is_an_entry_with_a_summary_and_a_class(group, contract, some):
    entries = registry.entries(group)
    assert some <= set(entries)
    for name, entry in entries.items():
        assert entry.name == name
        assert entry.summary.strip().endswith(".") or entry.origin != "xkd-bench", name
        assert issubclass(entry.load(), contract)
    assert not {"base", "--init--", "__init__"} & set(entries)
    assert not any(name.startswith(("_", "-")) for name in entries)


def test_names_are_found_without_importing_what_they_name(bare):
    (done,) = bare.run("""
import sys
for name in [m for m in sys.modules if m.split(".")[0] == "torch"]:
    sys.modules[name] = None  # an import of torch would fail from here on
from xkd_bench import registry
from xkd_bench.spec import digest
from xkd_bench import catalogue
import protocols
names = [*registry.entries("methods"), *registry.entries("tasks"), *catalogue.TEACHERS, *protocols.protocol_names()]
heavy = [m for m in sys.modules if m.startswith(("xkd_bench.methods.", "xkd_bench.tasks.", "timm", "kornia"))]
print(heavy, "cmc" in names, "emoji-sketch" in names, "random" in names, "few-shot" in names)
""")
    assert done.out.strip() == "[] True True True True", done.err


@pytest.mark.parametrize(("name", "near"), [("cmcdd", "cmcd"), ("CMC", "cmc"), ("sup_ft", "sup-ft"), ("simssl", "ssl")])
def test_an_unknown_method_names_the_near_match_and_all_that_are_known(name, near):
    with pytest.raises(UsageError) as caught:
        methods.get(name)
    message = str(caught.value)
    assert message.startswith(f"unknown method '{name}': ")
    assert "known: " in message
    assert "cmc, cmcd, cmd, cmkd, cmst, crd" in message
    assert "\n" not in message
    if name != "CMC":  # nothing is near in another case
        assert f"did you mean '{near}'?" in message


def test_an_unknown_task_is_refused_before_its_argument_is_read():
    with pytest.raises(UsageError, match="unknown task 'foldr'"):
        tasks.get("foldr:/nowhere")


def test_a_task_without_argument_takes_none(toy):
    with pytest.raises(UsageError, match="task 'toy' takes no argument, got 'here'"):
        tasks.get("toy:here")
    assert tasks.get("toy").card.name == "toy"


@pytest.fixture
def points(monkeypatch):
    """Other packages' entry points; the registry forgets them afterwards."""
    offered: list[EntryPoint] = []
    monkeypatch.setattr(registry, "entry_points", lambda group: [p for p in offered if p.group == group])
    registry.entries.cache_clear()
    yield offered
    registry.entries.cache_clear()


def test_other_packages_add_entries(points):
    points.append(EntryPoint("shapes", "tests.toy:ToyTask", "xkd_bench.tasks"))
    assert tasks.get("shapes").card.title == "Coloured shapes to outlines"
    assert "shapes" not in registry.entries("methods")


def test_other_packages_cannot_take_a_name_of_ours(points):
    points.append(EntryPoint("cmc", "somewhere:Better", "xkd_bench.methods"))
    with pytest.raises(UsageError, match="offers methods 'cmc', which xkd-bench has"):
        registry.entries("methods")


def test_two_packages_cannot_have_one_name(points):
    points += [EntryPoint("new", f"{where}:Method", "xkd_bench.methods") for where in ("one", "two")]
    with pytest.raises(UsageError, match="offers methods 'new', which one:Method has"):
        registry.entries("methods")


@pytest.mark.parametrize("value", ["no_such_module:Method", "tests.toy:NoSuchClass"])
def test_a_package_that_does_not_load_is_one_line_and_harms_no_other(points, value):
    points.append(EntryPoint("broken", value, "xkd_bench.methods"))
    with pytest.raises(UsageError, match=r"method 'broken' of package .* does not load") as caught:
        methods.get("broken")
    assert "\n" not in str(caught.value)
    assert methods.get("cmc").uses_pairs
