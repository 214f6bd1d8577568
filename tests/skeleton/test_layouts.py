"""Layouts of joints, as data."""

import numpy as np
import pytest
import torch

import amge
from amge import synthetic
from amge.errors import VideoError
from amge.skeleton.graph import Graph
from amge.skeleton.layouts import BLAZEPOSE33, COCO17, LAYOUTS, NTU25, OPENPOSE18, convert_layout, fit_layout, layout_of


@pytest.mark.parametrize("name", LAYOUTS)
def test_each_layout_is_a_tree_with_names(name):
    graph = LAYOUTS[name]
    assert len(graph.bones) == graph.joints - 1 and int(name.split("-")[1]) == graph.joints
    assert layout_of(graph.joints) is graph
    parents = graph.parents()
    assert [joint for joint, parent in enumerate(parents) if joint == parent] == [graph.centre]
    assert all((joint, parent) in graph.bones for joint, parent in enumerate(parents) if joint != graph.centre)


@pytest.mark.parametrize("name", LAYOUTS)
def test_mirroring_swaps_sides_and_keeps_bones(name):
    graph = LAYOUTS[name]
    mirrored = graph.mirrored()
    assert [mirrored[joint] for joint in mirrored] == list(range(graph.joints))
    assert {(mirrored[a], mirrored[b]) for a, b in graph.bones} == set(graph.bones)
    for joint, other in enumerate(mirrored):
        sides = {graph.names[joint].split("_")[0], graph.names[other].split("_")[0]}
        assert sides == {"left", "right"} or joint == other


def test_names_are_those_of_the_formats():
    assert COCO17.names == synthetic.COCO17
    assert BLAZEPOSE33.names[11] == "left_shoulder" and BLAZEPOSE33.names[28] == "right_ankle"
    assert (BLAZEPOSE33.names[3], BLAZEPOSE33.names[4]) == ("left_eye_outer", "right_eye_inner")
    assert (BLAZEPOSE33.names[22], BLAZEPOSE33.names[31]) == ("right_thumb", "left_foot_index")
    assert (OPENPOSE18.names[4], OPENPOSE18.names[13], OPENPOSE18.names[17]) == (
        "right_wrist",
        "left_ankle",
        "left_ear",
    )
    assert (NTU25.names[20], NTU25.names[7], NTU25.names[24]) == ("spine_shoulder", "left_hand", "right_thumb")


def test_body_19_is_the_part_of_mediapipes_that_moves():
    body = LAYOUTS["body-19"]
    assert set(body.names) < set(BLAZEPOSE33.names)
    parents = {
        graph: {graph.names[i]: graph.names[p] for i, p in enumerate(graph.parents())} for graph in LAYOUTS.values()
    }
    assert parents[body].items() < parents[BLAZEPOSE33].items()


def test_hops_and_edges_are_those_of_torch_geometric():
    utils = pytest.importorskip("torch_geometric.utils")
    for graph in LAYOUTS.values():
        edges, hops = graph.edge_index(), graph.hops()
        assert utils.is_undirected(edges, num_nodes=graph.joints)
        assert torch.equal(utils.to_dense_adj(edges, max_num_nodes=graph.joints)[0], (hops == 1).float())
        for joint in (0, graph.joints - 1):
            for distance in (1, 2, 3):
                reached = utils.k_hop_subgraph(joint, distance, edges, num_nodes=graph.joints)[0]
                assert set(reached.tolist()) == set(torch.nonzero(hops[joint] <= distance).flatten().tolist())


def test_between_layouts():
    rng = np.random.default_rng(0)
    blaze = rng.uniform(0, 100, (2, 4, 33, 3)).astype(np.float32)
    coco = convert_layout(blaze, BLAZEPOSE33, COCO17)
    np.testing.assert_array_equal(coco[..., 9, :], blaze[..., 15, :])  # left wrist
    openpose = convert_layout(coco, COCO17, OPENPOSE18)
    np.testing.assert_array_equal(openpose[..., 4, :], coco[..., 10, :])  # right wrist
    np.testing.assert_allclose(openpose[..., 1, :2], coco[..., 5:7, :2].mean(-2), rtol=1e-6)
    np.testing.assert_array_equal(openpose[..., 1, 2], coco[..., 5:7, 2].min(-1))
    np.testing.assert_array_equal(convert_layout(openpose, OPENPOSE18, COCO17), coco)
    world = rng.uniform(0, 100, (4, 33, 6)).astype(np.float32)
    body = convert_layout(world, BLAZEPOSE33, LAYOUTS["body-19"])
    np.testing.assert_array_equal(body[:, 18], world[:, 32])  # right foot
    neck = convert_layout(world, BLAZEPOSE33, OPENPOSE18)[:, 1]
    np.testing.assert_allclose(neck[:, [0, 1, 3, 4, 5]], world[:, 11:13, [0, 1, 3, 4, 5]].mean(1), rtol=1e-6)
    np.testing.assert_array_equal(neck[:, 2], world[:, 11:13, 2].min(-1))
    with pytest.raises(ValueError, match=r"joints of 17 can't be turned into the model's 33: left_eye_inner"):
        convert_layout(coco, COCO17, BLAZEPOSE33)
    with pytest.raises(ValueError, match="its joints have no names"):
        convert_layout(coco, COCO17, Graph(2, ((1, 0),), 0))


def test_graphs_that_make_no_sense():
    with pytest.raises(ValueError, match="as many distinct names"):
        Graph(2, ((1, 0),), 0, ("a", "a"))
    with pytest.raises(ValueError, match="does not know left from right"):
        Graph(2, ((1, 0),), 0).mirrored()


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("kind", ["st-gcn-tiny", "ctr-gcn-tiny", "hd-gcn-tiny"])
def test_every_graph_network_takes_every_layout(kind, name):
    arguments = {**amge.spec(kind).backbone_args, "graph": name}
    model = amge.build(kind, backbone_args=arguments, frames=4).eval()
    assert model(model.input_spec.example()).shape == (1, 20)
    assert model.input_spec.shape == ("B", 1, 4, LAYOUTS[name].joints, 3)


@pytest.mark.parametrize(
    "shape, said",
    [
        ((17, 6), r"left_heel and 3 more would be missing; a model of these joints is st-gcn\.open-exercise-2d$"),
        ((25, 6), r"joints of 25 can't be turned into the model's 19: nose[^;]* would be missing$"),
        ((17, 3), r"these are 2-D; .* take a model of 2-D joints: st-gcn\.open-exercise-2d$"),
        ((19, 3), r"these are 2-D; .* take a model of 2-D joints$"),
    ],
)
def test_joints_that_do_not_fit_name_a_model_that_they_fit(shape, said):
    with pytest.raises(VideoError, match=said):
        fit_layout(np.zeros((2, *shape)), 19, LAYOUTS["body-19"], axes=6)
