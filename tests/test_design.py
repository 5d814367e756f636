"""The shape of the code: imports run downwards only, the ground floors stand alone, loops and pickles stay out."""

import ast
from pathlib import Path

import pytest

from tests.forks import ROOT

# From the ground up. A module imports from its own layer or from those above it in this list.
LAYERS = [
    ["protocols", "estimators"],
    ["xkd_bench", "xkd_bench.errors", "xkd_bench.seeds", "xkd_bench.catalogue", "xkd_bench.registry"],
    ["xkd_bench.processes"],
    ["xkd_bench.losses", "xkd_bench.models", "xkd_bench.distributed", "xkd_bench.whole_batch", "xkd_bench.machine"],
    ["xkd_bench.tasks"],
    ["xkd_bench.methods", "xkd_bench.sampling", "xkd_bench.augment", "xkd_bench.raw_features"],
    ["xkd_bench.batches", "xkd_bench.dense_batches", "xkd_bench.probes", "xkd_bench.training"],
    ["xkd_bench.tracking", "xkd_bench.profiling"],
    ["xkd_bench.evaluation", "xkd_bench.segmentation"],
    ["xkd_bench.spec", "xkd_bench.store", "xkd_bench.shared_store", "xkd_bench.recall"],
    ["xkd_bench.stages"],
    ["xkd_bench.runner"],
    ["xkd_bench.suite", "xkd_bench.recall", "xkd_bench.progress", "xkd_bench.analysis", "xkd_bench.report"],
    ["xkd_bench.benchmarks", "xkd_bench.cli", "xkd_bench.__main__"],
]
ROOMS = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}
TOP = ("protocols", "estimators", "xkd_bench")
FILES = sorted(
    f for top in TOP for f in (ROOT / top).rglob("*.py") if "embedded" not in f.parts and "__pycache__" not in f.parts
)


def module_of(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def room_of(module: str) -> str:
    """The room that a module is in: the package itself, or the file or folder below it."""
    parts = module.split(".")
    return parts[0] if parts[0] != "xkd_bench" else ".".join(parts[:2])


def is_module(name: str) -> bool:
    path = ROOT / name.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").is_file()


def absolute(file: Path, node: ast.ImportFrom) -> str:
    """The module that `from ... import` names, where it is relative too."""
    if not node.level:
        return node.module or ""
    above = file.relative_to(ROOT).parts[: -node.level]
    return ".".join([*above, *([node.module] if node.module else [])])


def imports(file: Path, only_at_import: bool = False) -> set[str]:
    """Modules that a file imports; only_at_import leaves out what waits in functions or is for type checkers."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if only_at_import and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            return
        if only_at_import and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = absolute(file, node)
            found.update(f"{package}.{a.name}" if is_module(f"{package}.{a.name}") else package for a in node.names)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(file.read_text(encoding="utf-8")))
    return found


def ours(file: Path) -> set[str]:
    return {module for module in imports(file) if module.split(".")[0] in TOP}


def third_party(room: str) -> set[str]:
    """Top-level names that a room's files import when they are imported."""
    files = [f for f in FILES if room_of(module_of(f)) == room]
    assert files, room
    return {module.split(".")[0] for f in files for module in imports(f, only_at_import=True)}


def test_every_room_has_its_place():
    assert {room_of(module_of(f)) for f in FILES} <= set(ROOMS), "a new room belongs in LAYERS"


@pytest.mark.parametrize("file", FILES, ids=[module_of(f) for f in FILES])
def test_imports_run_downwards(file):
    level = ROOMS[room_of(module_of(file))]
    upwards = sorted(module for module in ours(file) if ROOMS[room_of(module)] > level)
    assert not upwards, f"{module_of(file)} imports from above: {upwards}"


def test_this_test_sees_imports_wherever_they_are(tmp_path):
    file = tmp_path / "x.py"
    file.write_text("import a.b\ndef f():\n    from xkd_bench import cli\n    from xkd_bench.store import Store\n")
    assert imports(file) == {"a.b", "xkd_bench.cli", "xkd_bench.store"}
    assert imports(file, only_at_import=True) == {"a.b"}


@pytest.mark.parametrize("top", ["protocols", "estimators"])
def test_the_ground_floors_import_nothing_of_the_project(top):
    for file in FILES:
        if module_of(file).split(".")[0] == top:
            assert {module.split(".")[0] for module in ours(file)} <= {top}, file


@pytest.mark.parametrize("room", ["xkd_bench.analysis", "xkd_bench.report"])
def test_analysis_and_report_know_nothing_of_training(room):
    for file in FILES:
        if room_of(module_of(file)) == room:
            door = {"xkd_bench.store"} if module_of(file) == "xkd_bench.analysis.results" else set()
            known = {room_of(module) for module in ours(file)} - door
            assert known <= {"xkd_bench", "xkd_bench.analysis", "xkd_bench.report", "xkd_bench.errors", "estimators"}
            assert not {m.split(".")[0] for m in imports(file)} & {"torch", "timm", "kornia", "lightning_fabric"}


@pytest.mark.parametrize("room", ["xkd_bench.cli", "xkd_bench.registry", "xkd_bench.catalogue", "xkd_bench.store"])
def test_what_listings_and_help_need_imports_nothing_heavy(room):
    assert not third_party(room) & {"torch", "timm", "kornia", "numpy", "pandas", "scipy", "sklearn", "matplotlib"}


def calls(file: Path) -> set[str]:
    """Dotted names of what a file calls."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}


def test_there_is_one_training_loop():
    trainers = {module_of(f) for f in FILES if any(name.endswith(".backward") for name in calls(f))}
    assert {m for m in trainers if not m.startswith(("estimators", "xkd_bench.benchmarks"))} == {"xkd_bench.training"}


def test_nothing_is_unpickled():
    for file in FILES:
        assert "pickle" not in {m.split(".")[0] for m in imports(file)}, file
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                safe = [k for k in node.keywords if k.arg == "weights_only" and ast.unparse(k.value) == "True"]
                assert safe, f"{file}:{node.lineno}: torch.load without weights_only=True"
            if isinstance(node, ast.keyword):
                assert not (node.arg == "allow_pickle" and ast.unparse(node.value) == "True"), file


@pytest.mark.parametrize("group", ["methods", "tasks"])
def test_a_method_or_task_is_one_file(group):
    # No file outside the room names a method or task by its module: adding one touches nothing else.
    for file in FILES:
        module = module_of(file)
        if module.startswith(f"xkd_bench.{group}") or module.startswith("xkd_bench.benchmarks"):
            continue
        contracts = (f"xkd_bench.{group}.base", f"xkd_bench.{group}.dense")
        named = {m for m in ours(file) if m.startswith(f"xkd_bench.{group}.") and m not in contracts}
        assert not named, f"{module} imports {named}"
