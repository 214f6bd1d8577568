"""What an answer rests on, and what is made of it."""

from functools import partial

import numpy as np
import pytest
import torch

import amge
from amge.evidence import LIMITS, Evidence, is_unsure, judge, with_detector, with_joints, with_persons, with_pictures
from amge.heads.person import PARTS, PersonHead, PersonMaps, strongest

RNG = np.random.default_rng(0)
GOOD = Evidence(
    seconds=4.0,
    movement=30.0,
    light=0.7,
    sharpness=0.45,
    side=360,
    detail=40.0,
    person=0.99,
    seen=1.0,
    size=0.8,
    parts=dict.fromkeys(PARTS, 0.99),
    persons=1,
    sideways=0.01,
)


def changed(**values):
    from dataclasses import replace

    return replace(GOOD, **values)


def without(*parts):
    return {part: 0.1 if part in parts else 0.99 for part in PARTS}


@pytest.mark.parametrize(
    "evidence, verdict, reasons",
    [
        (GOOD, "ok", ()),
        (Evidence(), "ok", ()),
        (changed(person=0.2), "nobody", ("nobody is seen",)),
        (Evidence(detail=0.5), "nobody", ("there is nothing in the picture",)),
        (changed(detail=0.5), "ok", ()),  # the person head sees somebody in the dark
        (changed(person=0.6), "doubtful", ("it is not sure that somebody is there",)),
        (changed(seen=0.25), "doubtful", ("somebody is seen in 25 % of the frames only",)),
        (changed(persons=2), "doubtful", ("more than one person is seen",)),
        (changed(size=0.1), "doubtful", ("the person is small in the picture",)),
        (changed(parts=without("knees", "ankles")), "doubtful", ("only the upper body is in the picture",)),
        (changed(parts=without("hips", "knees", "ankles")), "doubtful", ("only the upper body is in the picture",)),
        (changed(parts=without("head", "shoulders")), "doubtful", ("only the lower body is in the picture",)),
        (changed(parts=without("head")), "doubtful", ("the head is not in the picture",)),
        (changed(parts=without("ankles")), "doubtful", ("the ankles are not in the picture",)),
        (changed(parts=without(*PARTS)), "doubtful", ("little of the body is in the picture",)),
        (changed(sideways=0.99), "doubtful", ("the picture lies on its side",)),
        (changed(movement=0.5), "doubtful", ("nothing moves",)),
        (changed(seconds=0.2), "doubtful", ("there is only 0.2 s of video",)),
        (changed(light=0.05), "doubtful", ("the picture is dark",)),
        (changed(sharpness=0.26), "doubtful", ("the picture is blurred",)),
        (changed(side=120), "doubtful", ("the picture is small, 120 pixels",)),
        (changed(side=120, movement=0.0), "doubtful", ("nothing moves", "the picture is small, 120 pixels")),
    ],
)
def test_verdicts(evidence, verdict, reasons):
    assert judge(evidence) == (verdict, reasons)


def test_a_model_has_limits_of_its_own():
    assert judge(changed(person=0.2), {"person": 0.1, "sure": 0.2})[0] == "ok"
    assert judge(GOOD, {"seconds": 5.0})[1] == ("there is only 4.0 s of video",)
    assert set(LIMITS) - {"part", "sure"} <= set(Evidence.__dataclass_fields__)


def test_plain_values_go_into_json():
    import json

    assert json.loads(json.dumps(GOOD.to_dict()))["parts"]["knees"] == 0.99


# Pictures


def scene(height=240, width=320):
    return RNG.integers(0, 256, (24, 32, 3)).repeat(height // 24, 0).repeat(width // 32, 1).astype(np.uint8)


def looked_at(frames):
    return with_pictures(Evidence(seconds=4.0), frames)


def test_what_pictures_tell():
    still = np.stack([scene()] * 12)
    moving = np.stack([np.roll(still[0], 10 * step, axis=1) for step in range(12)])
    one, other = looked_at(still), looked_at(moving)
    assert (one.seconds, one.side, one.movement) == (4.0, 240, 0.0) and other.movement > 20
    grain = (still + RNG.normal(0, 8, still.shape)).clip(0, 255).astype(np.uint8)
    assert looked_at(grain).movement < LIMITS["movement"]  # the noise of a sensor is no movement
    assert looked_at(still // 10).light < LIMITS["light"] < one.light
    plain = looked_at(np.full_like(still, 90))
    assert plain.detail == pytest.approx(0, abs=1e-3) and one.detail > LIMITS["detail"]


def test_blur_is_seen():
    from PIL import Image, ImageFilter

    picture = Image.fromarray(scene())
    blurred = np.stack([np.asarray(picture.filter(ImageFilter.GaussianBlur(12)))] * 4)
    sharp = np.stack([np.asarray(picture)] * 4)
    assert looked_at(blurred).sharpness < 0.5 * looked_at(sharp).sharpness


@pytest.mark.parametrize("size", [(16, 16), (17, 300), (300, 17), (720, 1280)])
def test_pictures_of_any_size(size):
    evidence = looked_at(RNG.integers(0, 256, (3, *size, 3), dtype=np.uint8))
    assert evidence.side == min(size) and np.isfinite([evidence.movement, evidence.light, evidence.sharpness]).all()


# The person head


def maps(person=-5.0, parts=-5.0, sideways=-5.0):
    return PersonMaps(
        torch.full((1, 3, 7, 7), person), torch.full((1, 3, 7, 7, len(PARTS)), parts), torch.full((1, 3), sideways)
    )


def test_maps_become_evidence():
    nobody = with_persons(Evidence(), maps())
    assert nobody.person < 0.01 and nobody.seen == 0 and nobody.persons == 0
    found = maps()
    found.person[:, :2, 1:6, 3:5] = 5.0  # in two of three frames, five cells high
    found.parts[:, :, 1, 3, 0] = 5.0
    one = with_persons(Evidence(seconds=2.0), found)
    assert one.seconds == 2.0 and one.seen == pytest.approx(2 / 3) and one.size == pytest.approx(5 / 7)
    assert one.parts["head"] > 0.9 > 0.1 > one.parts["ankles"] and one.persons == 1 and one.sideways < 0.01
    found.parts[:, :, 1, 6, 0] = 4.0
    assert with_persons(Evidence(), found).persons == 2


def test_the_head_reads_the_grid_of_any_backbone():
    head = PersonHead(12, hidden=8)
    out = head(torch.randn(2, 3 * 5 * 4, 12), (3, 5, 4))
    assert out.person.shape == (2, 3, 5, 4) and out.parts.shape == (2, 3, 5, 4, len(PARTS))
    assert out.sideways.shape == (2, 3) and strongest(out.person).shape == (2, 3)


def test_a_model_with_a_person_head_keeps_it(tiny_spec, tmp_path):
    spec = tiny_spec.replace(person_head=True, evidence={"person": 0.0})
    model = amge.assemble(spec)
    assert isinstance(model.person, PersonHead) and not any(p.requires_grad for p in model.person.parameters())
    again = amge.from_pretrained(model.save_pretrained(tmp_path / "model"))
    assert again.spec.evidence == spec.evidence
    assert torch.equal(again.person.cells.weight, model.person.cells.weight)
    video = RNG.integers(0, 256, (8, 64, 64, 3), dtype=np.uint8)
    evidence = again.predict(video).windows[0].evidence
    assert 0 < evidence.person < 1 and set(evidence.parts) == set(PARTS)
    with torch.no_grad():
        again.person.cells.bias[0] = -50.0
        again.person.cells.weight.zero_()
    again.spec = spec.replace(evidence={"person": 0.5})
    assert again.spec.evidence["sure"] == 0.0  # limits are added to those that are there
    assert again.predict(video).verdict == "nobody"


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"evidence": {"persn": 0.5}}, "unknown limit of evidence 'persn'; did you mean 'person'"),
        ({"evidence": {"person": "much"}}, "evidence must hold numbers"),
        ({"evidence": 3}, "evidence must map names to values"),
        ({"sampling": "evn"}, "unknown sampling 'evn'; did you mean 'even'"),
    ],
)
def test_specs_refuse_what_is_no_limit(tiny_spec, fields, message):
    with pytest.raises(ValueError, match=message):
        tiny_spec.replace(**fields)


def test_a_skeleton_model_has_no_person_head():
    with pytest.raises(ValueError, match="a skeleton model has no person_head"):
        amge.spec("st-gcn-tiny").replace(person_head=True)


# Joints and the detector


def of_a_person(keypoints):
    frames = RNG.integers(0, 256, (8, 240, 320, 3), dtype=np.uint8)
    return with_joints(with_pictures(Evidence(seconds=2.0), frames), keypoints, frames)


def test_what_joints_tell():
    person = np.zeros((8, 17, 3), np.float32)
    person[..., 0], person[..., 1] = np.linspace(10, 60, 17), np.linspace(10, 200, 17)
    person[..., 2] = 0.9
    still = with_joints(Evidence(), person)
    assert still.movement == 0 and still.person == pytest.approx(0.9) and still.seen == 1 and still.light is None
    person[:, 9, 1] += np.linspace(0, 80, 8)
    person[4:, 13:, 2] = 0.0
    person[:2] = 0
    moving = of_a_person(person)
    assert moving.movement > LIMITS["movement"] and moving.seen == 0.75 and moving.side == 240
    assert moving.parts["head"] > moving.parts["knees"] > 0
    outside = person.copy()
    outside[..., 13:, 1] += 500
    assert judge(of_a_person(outside))[1] == ("only the upper body is in the picture",)


def test_a_pose_estimator_is_asked_in_a_close_call(monkeypatch):
    assert is_unsure(Evidence()) and is_unsure(Evidence(person=0.6)) and is_unsure(Evidence(person=0.4))
    assert not is_unsure(Evidence(person=0.95)) and not is_unsure(Evidence(person=0.01))
    assert not is_unsure(Evidence(), {"sure": 0.0})
    frames = np.zeros((12, 40, 40, 3), np.uint8)
    asked = []

    def estimate(given):
        asked.append(len(given))
        return [np.ones((1, 33, 3))] * len(given)

    monkeypatch.setattr("amge.evidence.detector", lambda: estimate)
    assert with_detector(Evidence(), frames) == Evidence(person=0.8, seen=1.0, persons=1) and asked[0] <= 4
    assert with_detector(Evidence(person=0.6, persons=2), frames) == Evidence(person=0.8, seen=1.0, persons=2)
    assert judge(with_detector(Evidence(person=0.3), frames))[0] == "ok"
    monkeypatch.setattr("amge.evidence.detector", lambda: lambda given: [np.zeros((0, 33, 3))] * len(given))
    assert judge(with_detector(Evidence(), frames)) == ("doubtful", ("it is not sure that somebody is there",))
    assert with_detector(Evidence(person=0.6), frames) == Evidence(person=0.6)
    assert judge(with_detector(Evidence(person=0.3), frames))[0] == "nobody"
    monkeypatch.setattr("amge.evidence.detector", lambda: None)
    assert with_detector(Evidence(), frames) == Evidence()


def test_a_detector_that_breaks_later_spoils_no_answer(monkeypatch):
    def estimate(given):
        raise RuntimeError("graph\n" + "x" * 3_000_000)

    monkeypatch.setattr("amge.evidence.detector", lambda: estimate)
    with pytest.warns(UserWarning, match="could not be asked if somebody is there: graph x") as caught:
        assert with_detector(Evidence(person=0.6), np.zeros((4, 8, 8, 3), np.uint8)) == Evidence(person=0.6)
    assert len(str(caught[0].message)) < 400


@pytest.mark.detector
def test_a_broken_mediapipe_breaks_nothing(monkeypatch):
    from amge.evidence import detector
    from amge.skeleton.pose import estimators

    def broken():
        raise ImportError("libGL.so.1: cannot open shared object file")

    monkeypatch.setitem(estimators.ESTIMATORS, "mediapipe", broken)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    detector.cache_clear()
    try:
        with pytest.warns(UserWarning, match="MediaPipe is installed, but can't be asked"):
            assert detector() is None
    finally:
        detector.cache_clear()


# The shipped model: the rows that users reported, and their kind


@pytest.fixture(scope="module")
def lite():
    return amge.build("transm3e-lite", pretrained=True)


def nobody_in_it():
    shape = 16, 240, 320, 3
    noise, coarse = (RNG.integers(0, 256, each, dtype=np.uint8) for each in (shape, (16, 24, 32, 3)))
    yield "black", lambda: np.zeros(shape, np.uint8)
    yield "blue", lambda: np.full(shape, (20, 40, 200), np.uint8)
    yield "noise", lambda: noise
    yield "coarse noise", lambda: coarse.repeat(10, 1).repeat(10, 2)
    yield "a ramp", lambda: np.broadcast_to(np.linspace(0, 255, 320).astype(np.uint8)[:, None], shape).copy()
    things = (), ("table", "lamp"), ("beast",), ("bird", "plant"), ("car",)
    for seed, scene_ in enumerate(("room", "room", "landscape", "landscape", "landscape")):
        empty = partial(amge.synthetic.render_empty, scene_, things[seed], 16, (240, 320), seed)
        yield f"{scene_} with {things[seed]}", empty


@pytest.mark.parametrize("make", [pytest.param(make, id=name) for name, make in nobody_in_it()])
def test_nobody_is_nobody(lite, make):
    prediction = lite.predict(make())
    assert prediction.verdict == "nobody" and prediction.active == [] and set(prediction.values()) == {None}


@pytest.fixture(scope="module")
def squat():
    from amge.video.read import read_frames

    return np.stack([shown.image() for shown in read_frames("examples/squat.mp4", 30.0, 640)])


def test_somebody_is_somebody(lite, squat):
    prediction = lite.predict(squat, fps=24)
    assert prediction.verdict == "ok" and prediction.reasons == ()
    assert {"quadriceps", "gluteus", "hamstring"} <= {*prediction.active}


@pytest.mark.parametrize(
    "change, reason",
    [
        (lambda video: np.repeat(video[:1], 60, axis=0), "nothing moves"),
        (lambda video: video[:5], "there is only 0.2 s of video"),
        (lambda video: video[:, :150], "only the upper body is in the picture"),
        (lambda video: video[:, ::3, ::3] // 6, "the picture is dark"),
        (lambda video: video[:, ::3, ::3], "the picture is small, 120 pixels"),
        (lambda video: np.rot90(video, 1, (1, 2)).copy(), "the picture lies on its side"),
        (lambda video: np.rot90(video, 3, (1, 2)).copy(), "the picture lies on its side"),
        (lambda video: np.concatenate([video, video[:, :, ::-1]], axis=2), "more than one person is seen"),
    ],
)
def test_doubt_has_a_name(lite, squat, change, reason):
    prediction = lite.predict(change(squat), fps=24)
    assert prediction.verdict == "doubtful" and reason in prediction.reasons
