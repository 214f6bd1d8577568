import copy

import pytest
import torch
from torch.nn import functional as F

import amge
import amge.backbones.mvit
from amge.backbones import MViT, mvitv2
from amge.backbones.patch_embedding import PatchEmbedding
from amge.backbones.pooling_attention import PoolingAttention
from amge.backbones.relative_position import offsets
from amge.distill import Teacher, TokenDistillation
from amge.video.modality import rgb_diff

TRUNK = {"embed_dim": 16, "depth": 4, "double_at": (1, 2)}
TINY = {"backbone_args": TRUNK, "frames": 4, "size": 32, "tokens": 3, "labels": ("a", "b")}


def randomise(module):
    """Fresh norms and tables are nearly trivial, which would hide mistakes."""
    torch.manual_seed(0)
    for parameter in module.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    return module


@pytest.fixture
def trunk():
    return randomise(mvitv2(frames=4, size=32, **TRUNK)).eval()


@pytest.fixture
def student():
    return randomise(amge.build("transm3e-small", **TINY))


@pytest.fixture
def clip():
    return torch.randn(4, 3, 4, 32, 32, generator=torch.Generator().manual_seed(1))


def naive_attention(attn, x, grid):
    """As the paper writes it, token by token: pool, then a bias for every pair of positions.

    The shorter axis is stretched to the longer one; what lies between two rows of the table takes the lower.
    """
    tokens = x.shape[1] - grid[0] * grid[1] * grid[2]
    heads, width = attn.num_heads, attn.head_dim
    q, k, v = attn.qkv(x).unflatten(-1, (3, heads, width)).permute(2, 0, 3, 1, 4)

    def pool(x, conv, norm, stride):
        patches = x[:, :, tokens:].flatten(0, 1).transpose(1, 2).unflatten(2, grid)
        patches = F.conv3d(patches, conv.weight, None, stride, 1, 1, width)
        size = patches.shape[2:]
        patches = patches.flatten(2).transpose(1, 2).unflatten(0, x.shape[:2])
        return norm(torch.cat([x[:, :, :tokens], patches], dim=2)), size

    q, grid_q = pool(q, attn.pool_q, attn.norm_q, attn.stride_q)
    k, grid_k = pool(k, attn.pool_k, attn.norm_k, attn.stride_kv)
    v, _ = pool(v, attn.pool_v, attn.norm_v, attn.stride_kv)
    logits = q @ k.transpose(-1, -2) * width**-0.5
    cells_q = torch.cartesian_prod(*map(torch.arange, grid_q))
    cells_k = torch.cartesian_prod(*map(torch.arange, grid_k))
    for axis, name in enumerate("thw"):
        query, key = grid_q[axis], grid_k[axis]
        distance = cells_q[:, axis, None] * max(key / query, 1) - (cells_k[:, axis] - (key - 1)) * max(query / key, 1)
        table = getattr(attn.rel_pos, name)[distance.floor().long()]  # (N_q, N_k, d)
        logits[:, :, tokens:, tokens:] += torch.einsum("bhqd,qkd->bhqk", q[:, :, tokens:], table)
    out = logits.softmax(dim=-1) @ v
    out[:, :, tokens:] += q[:, :, tokens:]
    return attn.proj(out.transpose(1, 2).flatten(2))


@pytest.mark.parametrize("tokens", [0, 1, 5])
@pytest.mark.parametrize(
    ("grid", "q", "kv"),
    [
        ((3, 8, 8), (1, 1, 1), (1, 4, 4)),
        ((3, 8, 8), (1, 2, 2), (1, 1, 1)),
        ((3, 8, 8), (2, 2, 2), (1, 4, 2)),
        ((4, 7, 7), (1, 1, 2), (2, 2, 1)),  # 7 and 4 positions: between the rows of the table
    ],
)
def test_extended_vectors_are_attention_with_a_bias(tokens, grid, q, kv):
    attn = randomise(PoolingAttention(8, 16, 2, grid, grid, q, kv))
    for axis, size in zip("thw", grid, strict=True):  # tables of the length that is needed
        query, key = (-(-size // s) for s in (q["thw".index(axis)], kv["thw".index(axis)]))
        setattr(attn.rel_pos, axis, torch.nn.Parameter(torch.randn(2 * max(query, key) - 1, 8)))
    x = torch.randn(2, tokens + grid[0] * grid[1] * grid[2], 8)
    out, new_grid = attn(x, grid)
    assert new_grid == tuple(-(-size // s) for size, s in zip(grid, q, strict=True))
    torch.testing.assert_close(out, naive_attention(attn, x, grid), atol=1e-5, rtol=1e-4)


def test_offsets_are_rows_of_the_table():
    assert offsets(2, 2).tolist() == [[1, 0], [2, 1]]
    assert offsets(4, 2).tolist() == [[2, 0], [3, 1], [4, 2], [5, 3]]
    assert offsets(2, 4).tolist() == [[3, 2, 1, 0], [5, 4, 3, 2]]


def test_class_tokens_have_no_order(trunk, clip):
    tokens, order = torch.randn(4, 6, 16), torch.tensor([3, 0, 5, 1, 4, 2])
    with torch.inference_mode():
        out, permuted = trunk(clip, tokens), trunk(clip, tokens[:, order])
    torch.testing.assert_close(out.tokens[:, order], permuted.tokens, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(out.patches, permuted.patches, atol=1e-5, rtol=1e-4)


def test_states_its_sizes_and_works_without_tokens(trunk, clip):
    assert (trunk.embed_dims, trunk.reduces) == ((16, 32, 64, 64), (False, True, True, False))
    out = trunk(clip, torch.randn(4, 5, trunk.token_dim))
    assert [block.shape[1:] for block in out.block_tokens] == [(5, dim) for dim in trunk.embed_dims]
    torch.testing.assert_close(trunk.norm(out.block_tokens[-1]), out.tokens)
    alone = trunk(clip)
    assert alone.tokens is None and alone.block_tokens == ()
    assert alone.grid == (2, 2, 2) and alone.patches.shape == (4, 8, trunk.out_channels)


def test_other_clips_interpolate_the_tables(trunk):
    """The same as a model made for the larger clip whose tables hold the interpolated values."""
    large = mvitv2(frames=8, size=64, **TRUNK).eval()
    state = trunk.state_dict()
    for key, value in large.state_dict().items():
        if ".rel_pos." in key:
            state[key] = F.interpolate(state[key].T[None], size=len(value), mode="linear")[0].T
    large.load_state_dict(state)
    clip, tokens = torch.randn(1, 3, 8, 64, 64), torch.randn(1, 2, 16)
    with torch.inference_mode():
        torch.testing.assert_close(trunk(clip, tokens).tokens, large(clip, tokens).tokens)
        assert trunk(torch.randn(1, 3, 6, 96, 32)).grid == (3, 6, 2)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((5, 32, 32), "frames=5 is not a multiple of the patch stride 2; the nearest that fit: 4 and 6"),
        ((4, 33, 32), "height=33 .* 4; the nearest that fit: 32 and 36"),
        ((4, 32, 3), "width=3 .* nearest that fit: 4"),
    ],
)
def test_clips_that_do_not_fit_name_the_nearest_that_do(trunk, shape, message):
    with pytest.raises(ValueError, match=message):
        trunk(torch.randn(1, 3, *shape))
    with pytest.raises(ValueError, match="nearest that fit: 14 and 16"):
        amge.build("mvitv2-small", frames=15)


def test_wrong_sizes_are_refused(trunk, clip):
    with pytest.raises(ValueError, match=r"expected tokens \(B, M', 16\), got \(4, 2, 8\)"):
        trunk(clip, torch.zeros(4, 2, 8))
    with pytest.raises(ValueError, match="does not divide"):
        MViT(8, [(9, 2, (1, 1, 1), (1, 1, 1))], 4, 32)
    with pytest.raises(ValueError, match="at least one block"):
        MViT(8, [])
    with pytest.raises(ValueError, match=r"blocks \[7\] of a model of depth 4"):
        mvitv2(depth=4, double_at=(1, 7))


@pytest.mark.parametrize(("kernel", "stride"), [((3, 7, 7), (2, 4, 4)), ((1, 3, 9), (1, 2, 3))])
def test_patches_are_a_matrix_multiplication(kernel, stride):
    embedding, clip = PatchEmbedding(8, kernel, stride), torch.randn(2, 3, 4, 8, 12)
    (patches, grid), (multiplied, same_grid) = embedding(clip), embedding._multiply(clip)
    torch.testing.assert_close(multiplied, patches, atol=1e-5, rtol=1e-4)
    assert same_grid == grid
    with torch.autocast("cpu", torch.bfloat16):
        assert embedding._multiply(clip)[0].dtype is torch.bfloat16


def test_every_parameter_learns_and_the_teacher_does_not(student, clip):
    teacher = Teacher(randomise(amge.build("mvitv2-small-mct", modality="rgb_diff", **TINY)))
    features = student.eval().forward_features(clip)
    logits = student.forward_head(features)
    loss = F.binary_cross_entropy(logits.softmax(-1), torch.eye(2)[[0, 1, 0, 1]])
    sender = teacher(rgb_diff(clip)).features.block_tokens["main"]
    (loss + TokenDistillation()(features.block_tokens["receiver"], sender)).backward()
    assert all(p.grad is not None for p in student.parameters())
    # Zero, as in the reference: a shift of all keys, which softmax cancels; and in the last block, whose patches no
    # one reads, the pooling of the patches' queries and their positions.
    idle = ("norm_k.bias", "blocks.3.attn.pool_q.", "blocks.3.attn.rel_pos.")
    still = [name for name, p in student.named_parameters() if not p.grad.abs().sum() > 0]
    assert [name for name in still if not any(part in name for part in idle)] == []
    assert all(p.grad.isfinite().all() for p in student.parameters())
    assert all(p.grad is None for p in teacher.parameters())


@torch.inference_mode()
def test_eval_is_deterministic_and_a_batch_is_its_samples(student, clip):
    student.eval()
    logits = student(clip)
    assert torch.equal(logits, student(clip))
    torch.testing.assert_close(logits, torch.cat([student(sample[None]) for sample in clip]), atol=1e-5, rtol=1e-4)


def test_checkpointing_changes_neither_outputs_nor_gradients(student, clip):
    def run(model):
        torch.manual_seed(5)
        logits = model.train()(clip)
        logits.sum().backward()
        return logits, [p.grad for p in model.parameters()]

    twin = copy.deepcopy(student)
    twin.backbone.set_grad_checkpointing()
    (logits, gradients), (again, recomputed) = run(student), run(twin)
    torch.testing.assert_close(logits, again)
    for mine, theirs in zip(gradients, recomputed, strict=True):
        torch.testing.assert_close(mine, theirs)
    torch.manual_seed(6)
    assert not torch.allclose(student(clip), logits)  # drop path was on


def test_slices_of_the_mlp_change_nothing(trunk, clip, monkeypatch):
    """Neither the number of slices nor the way that keeps a gradient, which does not slice."""
    learnt = trunk(clip).patches.detach()
    with torch.inference_mode():
        whole = trunk(clip).patches
        monkeypatch.setattr(amge.backbones.mvit, "CPU_ROWS", 7)
        sliced = trunk(clip).patches
        x = torch.randn(2, 4 * 8 * 8, 16)
        before = x.clone()
        trunk.blocks[0](x, (4, 8, 8))
    torch.testing.assert_close(whole, learnt, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(sliced, learnt, atol=1e-5, rtol=1e-4)
    assert torch.equal(x, before)  # what is written in place is not the input


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("mvitv2-small", 34_245_524),
        ("mvitv2-base", 50_901_044),
        ("transm3e-small", 44_376_116),
        ("transm3e-base", 61_031_636),
    ],
)
def test_parameter_counts_are_those_of_the_reference_models(name, count):
    with torch.device("meta"):
        assert sum(p.numel() for p in amge.build(name).parameters()) == count


def test_drop_path_grows_with_depth():
    rates = [block.drop_path for block in mvitv2(frames=4, size=32, drop_path=0.3, **TRUNK).blocks]
    assert rates == pytest.approx([0, 0.1, 0.2, 0.3])


@pytest.mark.slow
def test_compiles_whole_and_exports_without_a_teacher(student, clip):
    student.eval()
    with torch.no_grad():
        logits = student(clip)
        compiled = torch.compile(student, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(compiled(clip), logits, atol=1e-5, rtol=1e-4)
        exported = torch.export.export(student, (clip,))
        torch.testing.assert_close(exported.module()(clip), logits, atol=1e-5, rtol=1e-4)
    assert set(exported.state_dict) == set(student.state_dict())
    assert not [name for name in exported.state_dict if "sender" in name or "teacher" in name]


@pytest.mark.slow
@pytest.mark.parametrize("training", [False, True])
def test_compiles_as_one_graph_with_kernels(kernels, training):
    """As `mode="reduce-overhead"` records it on a GPU; what is compiled here computes nothing."""
    graphs = []

    def backend(graph, inputs):
        graphs.append(" ".join(str(node.target) for node in graph.graph.nodes))
        (outputs,) = list(graph.graph.nodes)[-1].args
        shapes = [node.meta["example_value"].shape for node in outputs]
        return lambda *given: [torch.zeros(list(map(int, shape))) for shape in shapes]

    model = amge.build("transm3e-tiny").train(training)
    torch._dynamo.reset()
    torch.compile(model, fullgraph=True, backend=backend)(torch.zeros(1, *model.input_spec.shape[1:]))
    (targets,) = graphs
    blocks = len(model.backbone.blocks)
    assert targets.count("amge.pool_heads") == targets.count("amge.extend_query") == blocks


@torch.inference_mode()
def test_half_precision_stays_near(student, clip):
    """A bfloat16 has 8 bits: after four blocks the logits keep their direction."""
    logits = student.eval()(clip)
    half = student.to(torch.bfloat16)(clip.to(torch.bfloat16)).float()
    assert F.cosine_similarity(logits.flatten(), half.flatten(), dim=0) > 0.99
