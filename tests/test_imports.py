"""The house's rules that can be read from the source: who imports whom, and what lives where."""

import ast
import functools
import pathlib
from collections.abc import Iterator

from hparse_jax.models.build import NETWORKS

PACKAGE = pathlib.Path(__file__).parents[1] / "hparse_jax"
# DESIGN part 2: a file imports only from files above it, and from its own room (folder).
ORDER = (
    "_xla",
    "errors",
    "storage",
    "lock",
    "selfcheck",
    "processors",
    "integrity",
    "packed",
    "config",
    "hierarchy",
    "config_files",
    "metrics",
    "joints",
    "render",
    "coco",
    "data",
    "models",
    "engines",
    "losses",
    "sharding",
    "workdir",
    "checkpoint",
    "summary",
    "known_network",
    "doctor",
    "inference",
    "training",
    "interop",
    "serving",
    "benchmark",
    "commands",
    "__init__",
    "__main__",
)
BESIDE = {"hierarchy": {"config"}}  # above it in the list, yet not imported either
# Backends are known to the array functions, and chosen once when a network or a predictor is made.
KNOW_BACKENDS = {"models/ops.py", "models/build.py", "inference/predictor.py", "selfcheck.py"}
# Printing and flags belong to commands/ and __main__; the training loop prints its progress.
PRINT = {"training/train.py"}
KNOW_NETWORKS = {"models/build.py", "config.py"}

FILES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))


@functools.cache
def tree(file: str) -> ast.Module:
    return ast.parse((PACKAGE / file).read_text())


def room(file: str) -> str:
    """models/cnif.py -> models, config.py -> config."""
    return file.partition("/")[0].removesuffix(".py")


def imported_rooms(file: str) -> set[str]:
    """The rooms that a file imports, inside of functions too."""
    modules = set()
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: imports are absolute"
            modules |= {f"{node.module}.{alias.name}" for alias in node.names}
    rooms = set()
    for module in modules:
        package, _, rest = module.partition(".")
        if package == "hparse_jax":
            first = rest.partition(".")[0]
            rooms.add(first if first in ORDER else "__init__")
    return rooms - {room(file)}


def nodes(kinds: type | tuple, without: set[str]) -> Iterator[tuple[str, ast.AST]]:
    """(file:line, node) of these kinds in the files of the package but `without`."""
    for file in sorted(set(FILES) - without):
        for node in ast.walk(tree(file)):
            if isinstance(node, kinds):
                yield f"{file}:{getattr(node, 'lineno', '')}", node


def test_the_order_names_every_room():
    assert {room(file) for file in FILES} == set(ORDER)


def test_imports_go_one_way():
    upward = {}
    for file in FILES:
        above = set(ORDER[: ORDER.index(room(file))]) - BESIDE.get(room(file), set())
        if imported_rooms(file) - above:
            upward[file] = imported_rooms(file) - above
    assert upward == {}


def test_imports_are_seen_wherever_they_stand():
    """The reader of imports itself: in the body of a condition or of a function, too."""
    assert imported_rooms("__init__.py") >= {"_xla", "hierarchy", "inference"}
    assert imported_rooms("__main__.py") >= {"errors", "__init__"}
    assert imported_rooms("errors.py") == set()


def test_only_the_table_of_networks_compares_their_names():
    """Everything else asks the table what a network can do."""
    found = []
    for where, node in nodes((ast.Compare, ast.match_case), KNOW_NETWORKS):
        compared = node.pattern if isinstance(node, ast.match_case) else node
        values = {n.value for n in ast.walk(compared) if isinstance(n, ast.Constant)}
        found += [where] * bool(values & set(NETWORKS))
    assert found == []


def test_few_files_ask_for_the_backend():
    found = [w for w, n in nodes(ast.Attribute, KNOW_BACKENDS) if n.attr == "default_backend"]
    found += [w for w, n in nodes(ast.alias, KNOW_BACKENDS) if n.name == "default_backend"]
    assert found == []


def test_flags_and_printing_stay_in_the_commands():
    commands = {file for file in FILES if room(file) in ("commands", "__main__")}
    found = []
    for where, node in nodes((ast.Import, ast.ImportFrom), commands):
        prefix = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
        names = [prefix + alias.name for alias in node.names]
        found += [where for name in names if name.startswith(("absl.flags", "ml_collections"))]
    for where, node in nodes(ast.Call, commands | PRINT):
        found += [where] * (getattr(node.func, "id", "") == "print")
    assert found == []


def test_no_file_is_longer_than_400_lines():
    lines = {file: len((PACKAGE / file).read_text().splitlines()) for file in FILES}
    assert {file: count for file, count in lines.items() if count > 400} == {}
