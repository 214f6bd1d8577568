import inspect
import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import get_type_hints

import pytest
from torch import nn

import amge
from amge.layers.module import Module
from amge.model import LoadOptions
from amge.spec import SpecFields

ROOT = Path(__file__).parent.parent
CALLS = ROOT / "tests" / "typed_calls.py"
REFUSED = {n for n, line in enumerate(CALLS.read_text().splitlines(), 1) if line.endswith("# refused")}


def check(*command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command, str(CALLS)], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_mypy_knows_calls():
    said = check("mypy", "--follow-imports=silent")
    assert {int(line) for line in re.findall(r"typed_calls\.py:(\d+): error:", said)} == REFUSED, said


@pytest.mark.slow
@pytest.mark.skipif(not find_spec("pyright"), reason="pyright is not installed")
def test_pyright_knows_calls():
    said = json.loads(check("pyright", "--outputjson", "--pythonpath", sys.executable))["generalDiagnostics"]
    assert {each["range"]["start"]["line"] + 1 for each in said if each["severity"] == "error"} == REFUSED, said


def test_fields_are_those_of_the_spec():
    """Lists go where the spec makes tuples of them."""
    own = get_type_hints(amge.ModelSpec)
    for name, hint in own.items():
        if hint in (tuple[str, ...], tuple[float, ...]):
            own[name] = hint | list[hint.__args__[0]]
    assert get_type_hints(SpecFields) == own
    assert SpecFields.__required_keys__ == frozenset()


def test_options_are_those_of_from_pretrained():
    taken = inspect.signature(amge.from_pretrained).parameters.values()
    own = {each.name: each.annotation for each in taken if each.kind is each.KEYWORD_ONLY}
    assert get_type_hints(LoadOptions) == own | get_type_hints(SpecFields)


@pytest.mark.parametrize("wrong, right", [("fussion", "fusion"), ("devise", "device"), ("num_clases", "num_classes")])
@pytest.mark.parametrize("function", [amge.build, amge.from_pretrained, amge.MuscleModel.from_pretrained])
def test_misspelt_arguments_are_offered_right(function, wrong, right):
    with pytest.raises(ValueError, match=f"unknown argument '{wrong}'; did you mean '{right}'"):
        function("transm3e-lite", **{wrong: None})


def test_pretrained_is_offered():
    with pytest.raises(ValueError, match="unknown argument 'pretraind'; did you mean 'pretrained'"):
        amge.build("transm3e-lite", pretraind=True)


def test_modules_are_those_of_torch():
    """What type checkers are told changes nothing for hooks, exports and pickles."""
    assert Module is nn.Module


def test_the_package_says_that_it_is_typed():
    assert (ROOT / "amge" / "py.typed").is_file()
