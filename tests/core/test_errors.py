"""Mistakes are the caller's, and every one that the package raises says so."""

import ast
from pathlib import Path

import pasm_aug
from pasm_aug import CacheError, CacheMiss
from pasm_aug.core.errors import UserError
from pasm_aug.core.file_lock import LockedError
from pasm_aug.data.files import ImageError


def test_own_exceptions_are_user_errors_and_these_are_value_errors():
    for kind in (CacheError, CacheMiss, LockedError, ImageError):
        assert issubclass(kind, UserError)
    assert issubclass(UserError, ValueError)


def test_no_file_raises_a_bare_value_error():
    """It would be told as a defect."""
    for path in Path(pasm_aug.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name):
                assert node.exc.func.id != "ValueError", f"{path}, line {node.lineno}"
