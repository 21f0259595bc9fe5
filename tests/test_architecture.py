"""The house: rooms in their order, no circles, one home for every name, files that can be read in one sitting."""

import ast
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pasm_aug

ROOT = Path(pasm_aug.__file__).parent
ORDER = [{"core"}, {"data", "models", "cache"}, {"transforms", "search"}, {"training"}, {"asm"}, {"rounds"}]
ORDER += [{"report"}, {"cli"}]
PUBLIC_BEFORE = set(  # of the version before the rooms
    """
    AffectNet CKPlus CacheError CacheMiss DifferentialEvolution ErasePoint ExpressionFolder FER2013 FERPlus FaceAligner
    IndexedDataset Manifest PairedView PointAdversarialErase PointResult PointSearch PositionCache RAFDB SampleIndex
    SyntheticExpressions build_model content_key distillation_loss erase_patch evaluate load_model mine_positions
    run_rounds save_model train
    """.split()  # noqa: SIM905
)


def name_of(path):
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module):
    return [*module.split("."), ""][1]


MODULES = {name_of(path): path for path in sorted(ROOT.rglob("*.py"))}
FACES = [name for name, path in MODULES.items() if path.name == "__init__.py"]


def imports(name, *, at_run_time):
    """(module, names) of every import from this package; ``at_run_time``: only those that loading the module runs."""
    tree = ast.parse(MODULES[name].read_text())
    nodes = list(ast.walk(tree))
    if at_run_time:
        nodes = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively"
            if (node.module or "").split(".")[0] == "pasm_aug":
                yield node.module, [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            yield from ((alias.name, []) for alias in node.names if alias.name.split(".")[0] == "pasm_aug")


def reached(module, names):
    """The modules that such an import loads, the packages above them included."""
    targets = {f"{module}.{name}" for name in names} & MODULES.keys() | {module}
    return {".".join(target.split(".")[:depth]) for target in targets for depth in range(1, target.count(".") + 2)}


def test_nothing_is_imported_in_a_circle_packages_included():
    graph = {
        name: {found for module, names in imports(name, at_run_time=True) for found in reached(module, names)}
        - {name, *(name.rsplit(".", depth)[0] for depth in range(1, name.count(".") + 1))}  # its own packages run first
        for name in MODULES
    }
    done, path = set(), []

    def walk(name):
        assert name not in path, " → ".join([*path[path.index(name) :], name])
        if name not in done:
            path.append(name)
            for found in sorted(graph[name]):
                walk(found)
            path.pop()
            done.add(name)

    for name in graph:
        walk(name)


def test_each_room_imports_only_from_rooms_above_it():
    rank = {room: number for number, rooms in enumerate(ORDER) for room in rooms}
    for name in MODULES:
        room = room_of(name)
        if room not in rank:  # the package itself and __main__
            continue
        for module, names in imports(name, at_run_time=False):
            for target in reached(module, names):
                other = room_of(target)
                assert other in ("", room) or rank[other] < rank[room], f"{name} imports {target}"


def test_no_file_imports_through_a_face():
    """Every name is taken from the file in which it lives; the faces are for users."""
    for name, path in MODULES.items():
        for module, names in imports(name, at_run_time=False):
            if module in FACES and path.name != "__init__.py" and name != "pasm_aug.__main__":
                assert all(f"{module}.{one}" in MODULES for one in names), f"{name} imports {names} from {module}"
            for one in names:
                if module in MODULES and module not in FACES and f"{module}.{one}" not in MODULES:
                    assert one in defined(module), f"{name} imports {one} from {module}, which is not its home"


def defined(module):
    """The names that a module defines at its top level, imports left out."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return found


def test_a_face_shows_checkers_and_python_the_same_names():
    for name in FACES:
        tree = ast.parse(MODULES[name].read_text())
        shown = [node for node in tree.body if isinstance(node, ast.If)]
        if not shown:
            continue
        checked = {(node.module, alias.name) for node in shown[0].body for alias in node.names}
        (table,) = (node for node in ast.walk(shown[0].orelse[0]) if isinstance(node, ast.Dict))
        lazy = {
            (f"{name}.{key.value}", one)
            for key, value in zip(table.keys, table.values, strict=True)
            for one in value.value.split()
        }
        assert checked == lazy
        face = importlib.import_module(name)
        assert sorted(one for _, one in lazy) == face.__all__
        for module, one in lazy:
            assert getattr(face, one) is getattr(importlib.import_module(module), one)
            assert one in defined(module)


def test_no_public_name_of_before_is_lost():
    assert set(pasm_aug.__all__) >= PUBLIC_BEFORE
    namespace = {}
    exec("from pasm_aug import *", namespace)
    assert namespace.keys() >= PUBLIC_BEFORE


def test_the_root_is_small_and_files_are_short():
    assert len([path for path in ROOT.iterdir() if path.name != "__pycache__"]) <= 14
    for path in MODULES.values():
        lines = path.read_text().splitlines()
        assert len(lines) <= 250 or any(line.startswith("# Long because") for line in lines), path


def test_every_module_can_be_the_first_to_be_imported():
    names = [name for name in MODULES if name.count(".") > 1]
    code = (
        "import importlib, os, sys\n"
        "import torch, torchvision, torchvision.transforms.v2, accelerate, numba, matplotlib.figure\n"
        "for name in sys.argv[1:]:\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        try:\n            importlib.import_module(name)\n"
        "        except BaseException as error:\n            print(name, repr(error), flush=True)\n"
        "        os._exit(0)\n"
        "    os.waitpid(child, 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *names],
        capture_output=True,
        text=True,
        check=True,
        timeout=280,
        env={**os.environ, "PYTHONPATH": str(ROOT.parent)},
    )
    assert done.stdout == ""
