"""The public names: all there, documented, and the integer floor free of torch."""

import inspect
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import intaglio

LIGHT = ["intaglio", "intaglio.ir", "intaglio.ir.ops", "intaglio.ir.encodings", "intaglio.ir.passes",
         "intaglio.ir.graph", "intaglio.hardware.design", "intaglio.hardware.emit", "intaglio.hardware.simulate",
         "intaglio.hardware.timing", "intaglio.measure", "intaglio.report", "intaglio.cli"]  # fmt: skip
PACKAGES = ["intaglio.ir", "intaglio.ir.ops", "intaglio.ir.encodings", "intaglio.ir.passes", "intaglio.methods",
            "intaglio.models", "intaglio.datasets", "intaglio.report"]  # fmt: skip


def test_all_is_what_can_be_imported():
    assert sorted(intaglio.__all__) == sorted(intaglio._HOMES) and len(intaglio.__all__) <= 20
    assert list(intaglio.__all__) == sorted(intaglio.__all__)
    for name in intaglio.__all__:
        value = getattr(intaglio, name)
        assert value.__name__ == name and value.__module__.startswith("intaglio.")
    with pytest.raises(AttributeError, match="Prunee"):
        intaglio.Prunee  # noqa: B018
    assert not hasattr(intaglio, "torch")


def test_every_method_file_is_in_the_catalogue():
    from intaglio.methods import METHODS

    folder = Path(import_module("intaglio.methods").__file__).parent
    files = {".".join(path.relative_to(folder).with_suffix("").parts) for path in folder.rglob("*.py")}
    files = {name for name in files if not name.endswith("__init__")}
    assert {kind.__module__.removeprefix("intaglio.methods.") for kind in METHODS} == files
    assert all("." in name for name in files) and len(METHODS) == len(files)
    assert import_module("intaglio.methods").Recipe is intaglio.Recipe
    with pytest.raises(AttributeError, match="Recipee"):
        import_module("intaglio.methods").Recipee  # noqa: B018


@pytest.mark.parametrize("module", PACKAGES)
def test_packages_export_what_they_list(module):
    loaded = import_module(module)
    assert all(hasattr(loaded, name) for name in getattr(loaded, "__all__", ()))


@pytest.mark.parametrize("name", intaglio.__all__)
def test_every_public_name_says_what_it_is(name):
    value = getattr(intaglio, name)
    # A dataclass without a docstring gets its signature as one; that says nothing.
    assert value.__doc__ and not value.__doc__.startswith(f"{name}(")
    if inspect.isclass(value):
        home = value.__module__
        methods = [m for n, m in vars(value).items() if n[0] != "_" and inspect.isfunction(inspect.unwrap(_bare(m)))]
        assert [m for m in methods if not inspect.getdoc(_bare(m)) and _bare(m).__module__ == home] == []


def _bare(member):
    """The function behind a property, a class method or a static method."""
    for attribute in ("fget", "func", "__func__"):
        member = getattr(member, attribute, member)
    return member


def test_integers_and_hardware_do_not_load_torch():
    code = f"import sys\nfor m in {LIGHT}:\n    __import__(m)\n    assert 'torch' not in sys.modules, m"
    code += "\nsys.modules['intaglio'].lower\nassert 'torch' in sys.modules"  # so the check above can fail
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-300:]
