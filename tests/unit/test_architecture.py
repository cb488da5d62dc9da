"""The house rules that a linter does not know: where banned calls live, and how small and flat everything is."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest

from prosa.adapters.metrics import METRICS, Kind

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "prosa"
FILES = sorted(SOURCE.rglob("*.py"))
TREES = {path: ast.parse(path.read_text("utf-8")) for path in FILES}
TESTS = sorted((ROOT / "tests").rglob("*.py"))
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))

BANNED = {
    "asyncio.create_task": None,
    "asyncio.ensure_future": None,
    "asyncio.gather": None,
    "datetime.now": SOURCE / "adapters" / "clock.py",
    "datetime.utcnow": None,
    "loop.create_task": None,
    "os.environ": SOURCE / "settings.py",
    "os.getenv": None,
    "time.monotonic": SOURCE / "adapters" / "clock.py",
    "time.time": SOURCE / "adapters" / "clock.py",
    "mock.patch": None,
    "unittest.mock.patch": None,
}
"""What may be named only in its one home, or nowhere (None)."""

Function = ast.FunctionDef | ast.AsyncFunctionDef
BLOCKS = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.Match)


def functions() -> Iterator[tuple[str, Function]]:
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, Function):
                yield f"{path.relative_to(SOURCE)}:{node.lineno} {node.name}", node


def lines(node: Function) -> int:
    """Lines of code: a docstring is no burden."""
    first = node.body[0]
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    docstring = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
    return (node.end_lineno or 0) - node.lineno + 1 - docstring


def nesting(node: ast.AST, depth: int = 0) -> int:
    deepest = depth
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function | ast.ClassDef):
            continue
        deeper = depth + (isinstance(child, BLOCKS) and not _continues(node, child))
        deepest = max(deepest, nesting(child, deeper))
    return deepest


def _continues(node: ast.AST, child: ast.AST) -> bool:
    """An ``elif`` stands as deep as its ``if``."""
    return isinstance(node, ast.If) and isinstance(child, ast.If) and node.orelse == [child]


def dotted(node: ast.AST) -> str:
    match node:
        case ast.Attribute(value=value, attr=attr):
            return f"{dotted(value)}.{attr}"
        case ast.Name(id=name):
            return name
        case _:
            return ""


def names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every dotted name that is used, and every name that is imported from a module, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.lineno, dotted(node)
        if isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


@pytest.mark.parametrize(("banned", "home"), BANNED.items())
def test_a_banned_call_is_named_only_in_its_one_home(banned: str, home: Path | None) -> None:
    found = [
        f"{path.relative_to(SOURCE)}:{line}"
        for path, tree in TREES.items()
        for line, name in names(tree)
        if f".{name}".endswith(f".{banned}") and path != home
    ]
    assert found == []


def test_functions_are_short() -> None:
    lengths = sorted(lines(node) for _, node in functions())
    assert median(lengths) <= 8
    assert lengths[len(lengths) * 9 // 10] <= 30
    assert [name for name, node in functions() if lines(node) > 60] == []


def test_functions_are_flat() -> None:
    assert [name for name, node in functions() if nesting(node) > 3] == []


def test_functions_take_five_arguments_by_position_at_most() -> None:
    def positional(node: Function) -> int:
        given = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
        return len([name for name in given if name not in ("self", "cls")])

    assert [name for name, node in functions() if positional(node) > 5] == []


def test_files_are_short() -> None:
    long = {path.relative_to(ROOT): len(path.read_text("utf-8").splitlines()) for path in (*FILES, *TESTS)}
    assert {path: count for path, count in long.items() if count > (400 if path.parts[0] == "src" else 600)} == {}


def test_our_own_modules_are_imported_at_the_top() -> None:
    late = [
        f"{name} imports {dotted_module(inner)}"
        for name, node in functions()
        for inner in ast.walk(node)
        if isinstance(inner, ast.Import | ast.ImportFrom) and dotted_module(inner).startswith("prosa")
    ]
    assert late == []


def dotted_module(node: ast.Import | ast.ImportFrom) -> str:
    return (node.module or "") if isinstance(node, ast.ImportFrom) else node.names[0].name


def test_all_seams_stand_on_one_page_with_six_methods_at_most() -> None:
    page = SOURCE / "ports.py"
    assert len(page.read_text("utf-8").splitlines()) < 400
    seams = [node for node in TREES[page].body if isinstance(node, ast.ClassDef)]
    assert seams
    assert [seam.name for seam in seams if sum(isinstance(part, Function) for part in seam.body) > 6] == []
    assert [seam.name for seam in seams if ast.get_docstring(seam) is None] == []


def test_protocols_are_defined_nowhere_but_on_that_page_and_where_a_room_states_what_it_needs() -> None:
    """A gateway may say what a part of itself must offer; an adapter or the core may not open a second page."""
    found = [
        f"{path.relative_to(SOURCE)} {node.name}"
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and any(dotted(base) == "Protocol" for base in node.bases)
    ]
    assert [name for name in found if not name.startswith(("ports.py", "gateway/", "worker/", "app/"))] == []


def test_every_module_says_what_it_is_for() -> None:
    silent = [path for path, tree in TREES.items() if tree.body and ast.get_docstring(tree) is None]
    assert silent == []


def test_nothing_is_left_for_later() -> None:
    marker = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK")) + r")\b")
    assert [path for path in (*FILES, *TESTS) if marker.search(path.read_text("utf-8"))] == []


# ── metrics ──

METHODS = {kind.value for kind in Kind}


def measured() -> Iterator[tuple[str, str, frozenset[str]]]:
    """Every call like ``self._metrics.count("name", label=…)``: method, name, labels."""
    for tree in TREES.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in METHODS:
                owner = dotted(node.func.value)
                if owner.endswith("metrics") and node.args and isinstance(node.args[0], ast.Constant):
                    given = frozenset(word.arg or "**" for word in node.keywords)
                    yield node.func.attr, str(node.args[0].value), given - {"amount", "value"}


def test_the_table_of_metrics_has_what_is_measured_and_nothing_else() -> None:
    table = {(metric.kind.value, metric.name, frozenset(metric.labels)) for metric in METRICS}
    table -= {("count", "undeclared_total", frozenset({"metric"}))}
    assert set(measured()) == table


def test_names_of_metrics_follow_the_customs_of_prometheus() -> None:
    counts = [metric.name for metric in METRICS if metric.kind is Kind.COUNT]
    assert [name for name in counts if not name.endswith("_total")] == []
    assert [metric.name for metric in METRICS if not re.fullmatch(r"[a-z]+(_[a-z]+)*", metric.name)] == []


# ── locks ──


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: str(path.name))
def test_a_lock_pins_every_package_by_hash_and_names_no_host(lock: Path) -> None:
    text = lock.read_text("utf-8")
    assert "//" not in text
    assert not re.search(r"^\s*--(?!hash=)", text, re.MULTILINE)
    pins = [row for row in text.splitlines() if row and not row.startswith((" ", "#"))]
    assert pins
    assert [row for row in pins if not re.match(r"[a-z0-9.-]+==[\w.!+]+( ; .*)? \\$", row)] == []
    assert text.count("--hash=sha256:") >= len(pins)


def test_what_runs_is_what_was_tested() -> None:
    def pins(name: str) -> set[str]:
        text = (ROOT / "requirements" / name).read_text("utf-8")
        return {row for row in text.splitlines() if row and not row.startswith((" ", "#"))}

    assert pins("run.txt") - pins("dev.txt") == set()


def test_the_pages_lock_is_whole_and_names_no_host() -> None:
    """npm leaves out what its registry does not serve, and then refuses to install from such a lock."""
    text = (ROOT / "web" / "package-lock.json").read_text("utf-8")
    packages = json.loads(text)["packages"]
    wanted = {name for package in packages.values() for name in package.get("optionalDependencies", ())}
    assert {name for name in wanted if f"node_modules/{name}" not in packages} == set()
    assert '"resolved"' not in text
