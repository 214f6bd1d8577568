import numpy as np
import pytest

from amge.muscles import REGION_IDS, REGIONS, decode, encode, majority_vote, region

PAPER = {  # appendix D.1, in its order and its words
    "neck_head": "occipitofrontalis, temporoparietalis, levator labii superioris, masticatorii, sternocleidomastoideus",
    "chest": "pectoralis major",
    "shoulder": "deltoideus",
    "biceps": "biceps brachii",
    "triceps": "triceps brachii",
    "forearms": "flexor carpi radialis, palmaris longus, abductor pollicis longus",
    "upper_back": "trapezius",
    "latissimus": "latissimus dorsi",
    "obliques": "external oblique, serratus anterior",
    "upper_abdominis": "rectus abdominis, quadratus lumborum",
    "lower_abdominis": "transversus abdominis, pyramidalis",
    "lower_back": "erector spinae",
    "hamstring": "biceps femoris, semimembranosus, semitendinosus",
    "quadriceps": "rectus femoris, vastus medialis",
    "calves": "gastrocnemius, soleus",
    "inner_thigh": "adductor longus, sartorius, gracilis",
    "outer_thigh": "iliotibial tract",
    "gluteus": "gluteus maximus",
    "feet_ankles": "peroneus longus, peroneus brevis, extensor digitorum longus, flexor hallucis longus, "
    "flexor digitorum longus, peroneus tertius, tibialis posterior",
    "wrists": "extensor pollicis, first dorsal interosseous, pronator quadratus",
}


def test_the_regions_are_those_of_the_paper_in_its_order():
    assert len(REGION_IDS) == 20
    assert tuple(PAPER) == REGION_IDS
    assert {r.id: ", ".join(r.muscles) for r in REGIONS} == PAPER
    assert len({r.name for r in REGIONS}) == 20


def test_region_by_id():
    assert region("calves").muscles == ("gastrocnemius", "soleus")
    with pytest.raises(ValueError, match="did you mean 'biceps'"):
        region("bicep")


def test_encode_puts_a_one_at_the_place_of_each_region():
    target = encode(["wrists", "chest"])
    assert target.dtype == np.float32
    assert np.flatnonzero(target).tolist() == [1, 19]
    assert target.sum() == 2
    assert encode(name for name in ("chest",)).sum() == 1
    assert encode(["b"], labels=["a", "b"]).tolist() == [0, 1]
    assert encode([]).tolist() == [0] * 20


@pytest.mark.parametrize(
    "regions, message",
    [
        (["chst"], "did you mean 'chest'"),
        (["chest", "chest"], "'chest' is given twice"),
        ("chest", r"write \['chest'\]"),
        ([1], "unknown muscle region 1"),
    ],
)
def test_encode_refuses(regions, message):
    with pytest.raises(ValueError, match=message):
        encode(regions)


def test_decode_inverts_encode_in_the_order_of_the_labels():
    for name in REGION_IDS:
        assert decode(encode([name])) == (name,)
    assert decode(encode(reversed(REGION_IDS))) == REGION_IDS
    assert decode([True, False], labels=["a", "b"]) == ("a",)


@pytest.mark.parametrize(
    "target, message",
    [
        (np.zeros(19), r"shape \(20,\), got \(19,\)"),
        (np.zeros((1, 20)), r"got \(1, 20\)"),
        (np.full(20, 0.5), "threshold probabilities first"),
        (np.full(20, np.nan), "only 0 and 1"),
    ],
)
def test_decode_refuses(target, message):
    with pytest.raises(ValueError, match=message):
        decode(target)


@pytest.mark.parametrize(
    "sources, kept",
    [
        ([["chest"]], ("chest",)),
        ([["chest"], []], ("chest",)),  # int(2 / 2) = 1
        ([["chest"], [], []], ("chest",)),  # int(3 / 2) = 1
        ([["chest", "calves"], ["chest"], [], []], ("chest",)),  # a tie of 2 of 4 is kept, 1 of 4 is not
        ([["chest"], ["chest"], ["calves"], [], []], ("chest",)),  # int(5 / 2) = 2
        ([["chest", "chest", "calves"], ["calves"], [], []], ("calves",)),  # a source votes once
        ([["wrists", "chest"], ["neck_head"]], ("neck_head", "chest", "wrists")),  # in the order of REGION_IDS
        ([[]], ()),
        ([[], []], ()),
    ],
)
def test_majority_vote(sources, kept):
    assert majority_vote(sources) == kept


@pytest.mark.parametrize(
    "sources, message",
    [
        ([], "at least one source"),
        ([["chest"], ["chst"]], "did you mean 'chest'"),
        (["chest"], r"write \['chest'\]"),
    ],
)
def test_majority_vote_refuses(sources, message):
    with pytest.raises(ValueError, match=message):
        majority_vote(sources)
