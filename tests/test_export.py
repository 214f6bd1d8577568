"""Models as files for other run times; what needs ONNX, ONNX Runtime or OpenVINO skips without them."""

import importlib.util
import json
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import amge
from amge.cli import app
from amge.export import frames as sidecar
from amge.export import write
from amge.export.graph import EndToEnd, centre_square, movement_square, resized
from amge.inputs import joint_sizes
from amge.results import Seen
from amge.video.preprocess import still_view, to_clip
from amge.video.view import pixel
from amge.video.windows import windows

ROOT = Path(__file__).parents[1]


@pytest.fixture
def small(tiny_spec):
    """A model that torch records in a second."""
    torch.manual_seed(0)
    plain = {"banks": (), "fusion": None, "distill": None, "head": "mean", "head_args": {}, "threshold": 0.3}
    return amge.assemble(tiny_spec.replace(temperature=2.0, licence="MIT", **plain)).eval()


def scene(height, width, frames=4, seed=0):
    """Noise that moves somewhere on a still ground."""
    rng = np.random.default_rng(seed)
    video = np.full((frames, height, width, 3), 90, np.uint8)
    top, left = rng.integers(0, height // 2), rng.integers(0, width // 2)
    part = video[:, top : top + height // 3, left : left + width // 4]
    part[:] = rng.integers(0, 255, part.shape)
    return video


def module_at(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("crop, square", [("movement", movement_square), ("centre", centre_square)])
@pytest.mark.parametrize("height, width", [(120, 161), (203, 90), (64, 64), (333, 250)])
def test_the_graph_sees_the_square_that_the_library_cuts(crop, square, height, width):
    for seed in range(4):
        frames = scene(height, width, seed=seed) if seed else np.full((4, height, width, 3), 7, np.uint8)
        view = still_view(frames, crop)
        edges = (view.left * width, view.top * height)
        far = ((view.left + view.width) * width, (view.top + view.height) * height)
        box = square(torch.from_numpy(frames))
        assert [int(each) for each in box] == [pixel(each) for each in (*edges, *far)]
        clip = to_clip(frames, 32, (0.0,) * 3, (1 / 255,) * 3, crop)
        seen = resized(torch.from_numpy(frames), *box, 32).transpose(0, 1)
        torch.testing.assert_close(seen, clip, atol=1e-2, rtol=0)  # of 255


@pytest.mark.parametrize("fields", [{}, {"crop": "centre", "modality": "rgb_diff"}])
def test_end_to_end_gives_the_probabilities_of_predict(small, fields):
    frames = scene(90, 120)
    model = amge.assemble(small.spec.replace(**fields)).eval() if fields else small
    with pytest.warns(UserWarning, match="untrained"):
        expected = list(next(model.predict_windows(frames)).probabilities.values())
    with torch.no_grad():
        assert EndToEnd(model)(torch.from_numpy(frames)).tolist() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("fps, count", [(24, 20), (60, 40), (30, 3)])
@pytest.mark.parametrize("sampling", ["even", "spread"])
def test_the_file_beside_it_chooses_the_frames_that_the_library_does(tmp_path, tiny_spec, sampling, fps, count):
    (tmp_path / "chooser.py").write_text(sidecar.source(tiny_spec.replace(sampling=sampling, frames=8)))
    frames = np.random.default_rng(0).integers(0, 255, (count, 60, 90, 3), dtype=np.uint8)
    expected = next(windows(frames, 8, tiny_spec.seconds, fps=fps, spread=sampling == "spread")).frames
    assert np.array_equal(module_at(tmp_path / "chooser.py").choose_frames(frames, fps), expected)


@pytest.mark.slow
def test_a_program_of_torch_carries_its_metadata(small, tmp_path):
    done = write.export(small, tmp_path / "m.pt2")
    assert [path.name for path in tmp_path.iterdir()] == ["m.pt2"] and done.difference < 1e-4
    extra = {"metadata.json": ""}
    program = torch.export.load(done.files[0], extra_files=extra).module()
    clip = small.input_spec.example(3)
    torch.testing.assert_close(program(clip), small(clip), atol=1e-4, rtol=1e-4)
    about = json.loads(extra["metadata.json"])
    assert json.loads(about["labels"]) == list(small.spec.labels) and about["licence"] == "MIT"
    assert json.loads(about["thresholds"]) == [0.3] * 20 and json.loads(about["temperature"]) == 2


@pytest.mark.slow
def test_a_model_of_joints_is_an_onnx_file_for_any_batch(tmp_path):
    pytest.importorskip("onnxscript")
    ort = pytest.importorskip("onnxruntime")
    model = amge.build("st-gcn", pretrained="open-exercise")
    done = amge.export(model, tmp_path / "m.onnx")
    skeletons = torch.rand_like(model.input_spec.example(5))
    (logits,) = ort.InferenceSession(done.files[0]).run(None, {"skeletons": skeletons.numpy()})
    torch.testing.assert_close(torch.from_numpy(logits), model(skeletons), atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_a_model_of_pictures_and_joints_is_a_program_for_any_batch(tmp_path):
    model = amge.build("transm3e-lite-pose", size=64).eval()
    done = write.export(model, tmp_path / "m.pt2")
    slots, joints, axes = joint_sizes(model.skeleton.backbone)
    seen = Seen(model.input_spec.example(5), torch.rand(5, slots, model.spec.frames, joints, axes))
    program = torch.export.load(done.files[0]).module()
    torch.testing.assert_close(program(*seen), model(seen), atol=1e-4, rtol=1e-4)


def test_a_file_that_answers_otherwise_is_not_left(small, tmp_path, monkeypatch):
    def other(path):
        return lambda clip: small(torch.from_numpy(clip)).numpy() + 0.01

    made = write.FORMATS["pt2"]._replace(write=lambda _, path, *rest: path.touch(), load=other)
    monkeypatch.setitem(write.FORMATS, "pt2", made)
    monkeypatch.setattr(write, "trace", lambda *_: None)
    with pytest.raises(ValueError, match=r"other answers than PyTorch, 0\.01 apart"):
        write.export(small, tmp_path / "m.pt2")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["onnx", "xml"])
def test_files_run_without_torch_and_carry_their_metadata(small, tmp_path, suffix, capsys):
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime" if suffix == "onnx" else "openvino")
    done = write.export(small, tmp_path / f"my-m.{suffix}", end_to_end=True)
    assert done.difference < 1e-5 and done.output == "probabilities"
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in done.files}
    assert (tmp_path / "my_m_frames.py").exists()
    assert str(Path(amge.__file__).parent) not in done.files[0].read_bytes().decode("latin1")
    if suffix == "onnx":
        about = __import__("onnxruntime").InferenceSession(done.files[0]).get_modelmeta().custom_metadata_map
        labels = about["labels"]
    else:
        labels = __import__("openvino").Core().read_model(done.files[0]).get_rt_info(["model_info", "labels"]).value
    assert json.loads(labels) == list(small.spec.labels)
    example = ROOT / "examples" / f"run_{'onnx' if suffix == 'onnx' else 'openvino'}.py"
    runpy.run_path(str(example))["main"](str(done.files[0]), str(ROOT / "examples" / "squat.mp4"))
    shown = dict(line.split() for line in capsys.readouterr().out.splitlines())
    assert shown and all(small.spec.labels.count(name) and 0.3 <= float(p) <= 1 for name, p in shown.items())


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["m.bin"], "does not say which format"),
        (["m.onnx", "--format", "pt2"], "a file of pt2 ends in .pt2"),
        (["m.pt2", "--format", "onxn"], "did you mean 'onnx'"),
        (["m.pt2", "--quantize", "int8"], "int8 is for onnx and openvino"),
        (["m.pt2", "--calibrate-on", "."], "videos to calibrate on are for int8"),
        (["m.pt2", "--calibrate-on", "gone.mp4"], "gone.mp4 does not exist"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(arguments, said):
    done = CliRunner().invoke(app, ["export", "transm3e-lite", *arguments])
    assert done.exit_code == 2 and said in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize("name, said", [("st-gcn-tiny", "sees joints"), ("flow", "sees optical flow")])
def test_end_to_end_is_for_what_a_graph_can_see(small, name, said):
    model = amge.assemble(small.spec.replace(modality="flow")) if name == "flow" else amge.build(name)
    with pytest.raises(ValueError, match=said):
        EndToEnd(model)


def test_a_package_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(ImportError, match=r"needs onnx: pip install 'amge\[export\]'"):
        write.require("onnx")


@pytest.mark.parametrize("calibrated", [False, True])
def test_int8_takes_products_and_calibrated_convolutions(tmp_path, calibrated):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from amge.export.int8 import quantized

    make, rng = onnx.helper, np.random.default_rng(0)
    shapes = {"kernel": (4, 3, 1, 1), "single": (4, 1, 1, 1), "weight": (64, 5)}
    weights = [
        onnx.numpy_helper.from_array(rng.normal(size=size).astype(np.float32), name) for name, size in shapes.items()
    ]
    nodes = [
        make.make_node("Conv", ["x", "kernel"], ["a"], "full"),
        make.make_node("Conv", ["a", "single"], ["b"], "depthwise", group=4),
        make.make_node("Flatten", ["b"], ["c"]),
        make.make_node("MatMul", ["c", "weight"], ["y"], "product"),
    ]
    ports = [make.make_tensor_value_info(name, 1, size) for name, size in (("x", ["n", 3, 4, 4]), ("y", ["n", 5]))]
    graph = make.make_graph(nodes, "small", ports[:1], ports[1:], weights)
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 18)], ir_version=10)
    inputs = [(rng.normal(size=(1, 3, 4, 4)).astype(np.float32),)] if calibrated else []
    found = quantized(model, tmp_path / "m.onnx", ["x"], inputs)
    assert "MatMulInteger" in {node.op_type for node in found.graph.node} and list(tmp_path.iterdir()) == []
    given = {node.name: node.input[1] for node in found.graph.node if node.op_type == "Conv"}
    assert given == {"full": "kernel_DequantizeLinear_Output" if calibrated else "kernel", "depthwise": "single"}
