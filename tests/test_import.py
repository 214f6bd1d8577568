import json
import pydoc
import re
import subprocess
import sys

import pytest
import torch

import amge

HEAVY = ("torch", "numpy", "timm", "av", "torchvision", "lightning", "sklearn", "matplotlib", "huggingface_hub")


def test_import_is_quiet_and_light():
    """`print` in the child shows which of the heavy packages came along: none."""
    code = f"import sys, amge; print(*[name for name in {HEAVY} if name in sys.modules], end='')"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


@pytest.mark.slow
def test_models_and_recipes_start_without_pyav():
    """A machine that only trains, or takes arrays, need not decode videos."""
    code = "import sys; sys.modules['av'] = None\nimport amge, amge.recipes.__main__, numpy as np\n"
    code += "amge.build('transm3e-tiny').preprocess(np.zeros((4, 64, 64, 3), 'uint8')); print('fine', end='')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout == "fine", done.stderr


def test_public_names_are_there_and_documented_in_order():
    """`dir` sorts, so the order is that of the docstring."""
    documented = re.findall(r"\w+", " ".join(line[10:] for line in (amge.__doc__ or "").split("\n\n")[2].splitlines()))
    assert sorted(documented) == dir(amge) and documented == amge.__dir__()
    assert [name for name in documented if not hasattr(amge, name)] == []


def test_help_fits_on_a_screen():
    assert len(pydoc.render_doc(amge).splitlines()) <= 66


BEFORE = ["import amge", "import amge.{0}", "from amge.{0} import ModelSpec; import amge"]
ASKED = "{before}; from amge import {0}; print({0}.__name__, amge.{0}.__name__)\n"
FRESH = {
    **{
        before: "".join(ASKED.format(name, before=before.format(name)) for name in ("spec", "assemble"))
        for before in BEFORE
    },
    "a name": "import amge\n@amge.register_model\ndef mine(): return amge.spec('c2d-tiny').replace(arch='st-gcn')",
    "light": "import sys, amge; amge.build('transm3e-tiny', tokens=3); print('torch._dynamo' in sys.modules)",
}
"""What is run where nothing of this library is imported yet."""


@pytest.fixture(scope="module")
def said():
    """What each of `FRESH` prints, errors too: each in a child of one process that has imported torch."""
    code = f"""
import json, multiprocessing, os, tempfile, traceback, torch
context = multiprocessing.get_context("fork")

def run(code, path):
    with open(path, "w") as file:
        os.dup2(file.fileno(), 1), os.dup2(file.fileno(), 2)
    exec(code, {{}})

said = {{}}
for name, code in {FRESH}.items():
    with tempfile.NamedTemporaryFile() as file:
        child = context.Process(target=run, args=(code, file.name))
        child.start(), child.join()
        said[name] = file.read().decode()
print(json.dumps(said))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize("before", BEFORE)
def test_a_function_comes_before_the_module_of_its_name(said, before):
    assert said[before] == "spec spec\nassemble assemble\n"


def test_a_model_of_one_s_own_cannot_take_a_name_of_the_library(said):
    assert "the model name 'st-gcn' is taken" in said["a name"]


def test_other_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no attribute 'biuld'"):
        _ = amge.biuld


def test_a_sub_package_without_its_packages_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "amge.bulk", None)
    monkeypatch.delattr(amge, "bulk", raising=False)
    with pytest.raises(AttributeError, match="needs more packages"):
        _ = amge.bulk


@pytest.mark.skipif(torch.__version__ < "2.9", reason="einops and torchvision start it")
def test_building_is_light(said):
    """The rehearsal of a build must not start torch's compiler, which takes seconds and 150 MB."""
    assert said["light"] == "False\n"
