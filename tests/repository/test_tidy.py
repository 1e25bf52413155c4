"""The style of the project as a test: no dead code, bounded lengths, headers that are true.

An exception stands in a list with its reason, and goes as soon as it is needed no more.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from admission.ledger.scripts import COMMON, MODULES, find_lua_directory, read_module
from tests.support.paths import ROOT

PACKAGE: Final = ROOT / "admission"
FILES: Final = sorted(PACKAGE.rglob("*.py"))
LUA: Final = sorted(Path(str(find_lua_directory())).rglob("*.lua"))

MODULE_LINES_MAX: Final = 500
FUNCTION_LINES_MAX: Final = 50
LUA_LINES_MAX: Final = 500

# What users and the command line start with.
ENTRY_POINTS: Final = {
    "admission.__main__",
    "admission.runtime.worker",
    "admission.sim.experience_portal.virtual_time",  # tests and the race run in it
}


def module_of(path: Path) -> str:
    """Its dotted name."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever it does."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                place = ROOT / inner.replace(".", "/")
                is_module = place.with_suffix(".py").exists() or place.is_dir()
                yield inner if is_module else node.module


INSIDE: Final = [path for path in FILES if path != PACKAGE / "__init__.py"]


def test_no_module_is_dead() -> None:
    used = {name for path in FILES for name in imports(path)}
    alone = {module_of(path) for path in INSIDE} - used - ENTRY_POINTS
    packages = {name for name in alone if (ROOT / name.replace(".", "/")).is_dir()}
    assert alone - packages == set()


def test_public_names_are_used_elsewhere() -> None:
    texts = {path: path.read_text("utf-8") for path in [*FILES, *(ROOT / "tests").rglob("*.py")]}
    words = {path: set(re.findall(r"\w+", text)) for path, text in texts.items()}
    public = set((PACKAGE / "client" / "__init__.py").read_text("utf-8").split())
    dead = []
    for path in FILES:
        for node in ast.parse(texts[path]).body:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                continue
            elsewhere = any(node.name in words[other] for other in words if other != path)
            here = len(re.findall(rf"\b{node.name}\b", texts[path])) > 1
            if not (elsewhere or here or node.decorator_list or node.name in public):
                dead.append(f"{module_of(path)}.{node.name}")
    assert dead == []


def lua_name(path: Path) -> str:
    """Its path below lua/, without the ending: the name by which the script loads it."""
    return path.relative_to(Path(str(find_lua_directory()))).with_suffix("").as_posix()


def long_functions(path: Path) -> Iterator[tuple[str, int]]:
    """Functions over the limit, and their lines without the docstring."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            documented = len((ast.get_docstring(node) or "").splitlines())
            lines = (node.end_lineno or 0) - node.lineno + 1 - documented
            if lines > FUNCTION_LINES_MAX:
                yield f"{module_of(path)}.{node.name}", lines


LONG_MODULES: Final[dict[str, str]] = {}
LONG_FUNCTIONS: Final[dict[str, str]] = {}
LONG_SCRIPTS: Final[dict[str, str]] = {}


def test_modules_have_at_most_500_lines() -> None:
    long = {
        module_of(p) for p in FILES if len(p.read_text("utf-8").splitlines()) > MODULE_LINES_MAX
    }
    assert long == set(LONG_MODULES)


def test_functions_have_at_most_50_lines() -> None:
    assert {name for path in FILES for name, _ in long_functions(path)} == set(LONG_FUNCTIONS)


def test_scripts_have_at_most_500_lines() -> None:
    long = {p.stem for p in LUA if len(p.read_text("utf-8").splitlines()) > LUA_LINES_MAX}
    assert long == set(LONG_SCRIPTS)


def test_every_key_of_the_script_is_in_its_schema_and_used() -> None:
    prelude = read_module("prelude")
    header = prelude[: prelude.index("\nlocal SCHEMA")]
    documented = {int(n) for n in re.findall(r"KEYS\[(\d+)\]", header)}
    used = {int(n) for n in re.findall(r"KEYS\[(\d+)\]", prelude[len(header) :])}
    assert documented == used == set(range(1, len(used) + 1))
    readme = (Path(str(find_lua_directory())) / "README.md").read_text("utf-8")
    block = readme[readme.index("KEYS  1") : readme.index("ARGV  1")]
    assert {int(n) for n in re.findall(r"^(?:KEYS)? +(\d+) ", block, re.M)} == documented


def test_keys_and_arguments_are_named_once_in_the_prelude() -> None:
    for path in LUA:
        if lua_name(path) in MODULES or path.stem == "main":
            allowed = "ARGV[1]" if path.stem == "main" else "nothing"
            text = re.sub(r"--.*", "", path.read_text("utf-8"))
            named = set(re.findall(r"(?:KEYS|ARGV)\[\d+\]", text))
            assert named <= {allowed}, path.stem


def test_only_the_unit_of_work_calls_redis() -> None:
    allowed = {"state/unit_of_work", "state/undo", "agent_sessions"}
    for path in LUA:
        if lua_name(path) not in allowed:
            text = re.sub(r"--.*", "", path.read_text("utf-8"))
            assert not re.search(r"redis\.p?call", text), path.name


def test_every_script_begins_with_its_name_and_purpose() -> None:
    for path in LUA:
        first = path.read_text("utf-8").splitlines()[0]
        assert first.startswith(f"-- {lua_name(path)}.lua: "), path.name


def test_every_script_is_loaded() -> None:
    alone = set(
        re.findall(r'load_single_file\("(\w+)"\)', "".join(p.read_text("utf-8") for p in FILES))
    )
    known = {*MODULES, *COMMON, *alone, "main", "clock_test"}
    assert {lua_name(path) for path in LUA} == known


def test_every_operation_is_in_the_protocol() -> None:
    verbs = read_module("main")
    block = verbs[verbs.index("local VERBS") : verbs.index("\n}", verbs.index("local VERBS"))]
    operations = set(re.findall(r"(?:\['(\w+)'\]|\b(\w+)) = \{", block.replace("local VERBS", "")))
    readme = (Path(str(find_lua_directory())) / "README.md").read_text("utf-8")
    for operation in {one or other for one, other in operations} - {"VERBS"}:
        assert f"`{operation}`" in readme, operation


def test_every_script_is_on_the_map_and_its_oracle_exists() -> None:
    readme = (Path(str(find_lua_directory())) / "README.md").read_text("utf-8")
    rows = readme[readme.index("| file |") : readme.index("\nWhat holds everywhere")].splitlines()
    cells = [row.strip("|").split("|") for row in rows[2:] if row]
    mapped = [name for row in cells for name in re.findall(r"`(\w+)`", row[0])]
    assert sorted(mapped) == sorted(path.stem for path in LUA)
    oracles = {name for row in cells for name in re.findall(r"`(\w+)`", row[2])}
    oracle = {path.stem for path in (ROOT / "tests" / "oracle").glob("*.py")}
    assert oracles == oracle - {"__init__"}


FACE_NAMES_MAX: Final = 10
LARGE_FACES: Final = {"admission.client": "the names that dialers import; they stay"}


def test_the_face_of_a_package_has_at_most_ten_names() -> None:
    large = set()
    for path in FILES:
        if path.name == "__init__.py":
            (names,) = [
                ast.literal_eval(node.value)
                for node in ast.parse(path.read_text("utf-8")).body
                if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
            ] or [[]]
            if len(names) > FACE_NAMES_MAX:
                large.add(module_of(path))
    assert large == set(LARGE_FACES)


def test_an_exception_has_a_reason() -> None:
    for reasons in (LONG_MODULES, LONG_FUNCTIONS, LONG_SCRIPTS):
        assert all(reason.strip() for reason in reasons.values())
