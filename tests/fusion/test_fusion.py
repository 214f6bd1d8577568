import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from amge.fusion import MCTF, Concat, Sum

GOLDEN = Path(__file__).parents[3] / "shared" / "golden" / "mctf.safetensors"
BATCH, TOKENS, CHANNELS = 2, 3, 4


def two_sets(batch=BATCH, tokens=TOKENS, channels=CHANNELS):
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(batch, tokens, channels, generator=generator) for _ in range(2)]


def mctf(dim=CHANNELS, **arguments):
    """An MCTF with all parameters random: fresh norms and biases are ones and zeros, which would hide mistakes."""
    torch.manual_seed(0)
    fusion = MCTF(dim, **arguments)
    for parameter in fusion.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return fusion


def layer_norm(x, weight, bias):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * weight + bias


def gelu(x):
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def equations_2_to_7(state, main, receiver, num_heads, scale):
    """One sample `(M, C)` and `(M, C)`, as the paper writes it."""
    channels = main.shape[1]
    width = channels // num_heads
    factor = width**-0.5 if scale is None else scale

    def linear(x, name):
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def norm(x, name):
        return layer_norm(x, state[f"{name}.weight"], state[f"{name}.bias"])

    def attention(query, key, value):
        heads = []
        for head in range(num_heads):
            part = slice(head * width, (head + 1) * width)
            weights = np.exp(factor * query[:, part] @ key[:, part].T)
            weights /= weights.sum(axis=1, keepdims=True)
            heads.append(weights @ value[:, part])
        return np.concatenate(heads, axis=1)

    ln_main, ln_receiver = norm(main, "norm_main"), norm(receiver, "norm_receiver")
    w_main, w_receiver = state["attention.qkv_main.weight"], state["attention.qkv_receiver.weight"]
    q_m, k_m, v_m = (ln_main @ w_main[i * channels : (i + 1) * channels].T for i in range(3))
    q_r, k_r, v_r = (ln_receiver @ w_receiver[i * channels : (i + 1) * channels].T for i in range(3))

    a_m = (
        linear(attention(q_m, k_m, v_m), "attention.proj_main.mm")
        + linear(attention(q_m, k_r, v_m), "attention.proj_main.mr")
        + linear(attention(q_r, k_m, v_m), "attention.proj_main.rm")
    )
    a_r = (
        linear(attention(q_r, k_r, v_r), "attention.proj_receiver.rr")
        + linear(attention(q_r, k_m, v_r), "attention.proj_receiver.rm")
        + linear(attention(q_m, k_r, v_r), "attention.proj_receiver.mr")
    )
    hidden = np.maximum(linear(np.concatenate([a_m, a_r], axis=1), "attention.proj.0"), 0)
    a_f = linear(hidden, "attention.proj.2")

    cls_a = (main + receiver) / 2
    cls_f = cls_a + a_f
    return cls_a + linear(gelu(linear(norm(cls_f, "norm"), "mlp.0")), "mlp.2")


@pytest.mark.parametrize("num_heads", [1, 2])
@pytest.mark.parametrize("scale", [0.8, None])
def test_mctf_is_equations_2_to_7(num_heads, scale):
    fusion = mctf(num_heads=num_heads, scale=scale).double().eval()
    state = {name: value.numpy() for name, value in fusion.state_dict().items()}
    main, receiver = (tokens.double() for tokens in two_sets())
    with torch.no_grad():
        fused = fusion(main, receiver).numpy()
    for sample in range(BATCH):
        expected = equations_2_to_7(state, main[sample].numpy(), receiver[sample].numpy(), num_heads, scale)
        np.testing.assert_allclose(fused[sample], expected, rtol=1e-9, atol=1e-10)


def test_mctf_takes_the_paper_s_scale_and_one_head_unless_told():
    main, receiver = two_sets()
    given = mctf(num_heads=1, scale=0.8).eval()(main, receiver)
    assert torch.equal(mctf().eval()(main, receiver), given)


def test_mctf_commutes_with_an_order_of_the_tokens():
    main, receiver = two_sets(tokens=5)
    order = torch.tensor([3, 0, 4, 1, 2])
    fusion = mctf(num_heads=2).eval()
    assert torch.allclose(fusion(main[:, order], receiver[:, order]), fusion(main, receiver)[:, order], atol=1e-5)
    assert not torch.allclose(fusion(main[:, order], receiver), fusion(main, receiver)[:, order], atol=1e-2)


def test_mctf_tells_main_from_receiver():
    main, receiver = two_sets()
    fusion = mctf().eval()
    assert not torch.allclose(fusion(main, receiver), fusion(receiver, main), atol=1e-2)


def test_mctf_drops_the_last_branch_of_whole_samples_in_training_only():
    main, receiver = two_sets(batch=64)
    fusion = mctf(drop_path=0.5).eval()
    average = (main + receiver) / 2
    branch = fusion(main, receiver) - average
    trained = fusion.train()(main, receiver) - average
    dropped = (trained == 0).all(dim=(1, 2))
    assert 0.2 < dropped.float().mean() < 0.8
    assert torch.allclose(trained[~dropped], 2 * branch[~dropped], atol=1e-5)
    fusion.drop_path = 0.0
    assert torch.allclose(fusion(main, receiver) - average, branch, atol=1e-6)


def test_mctf_drops_out_attention_in_training_only():
    main, receiver = two_sets()
    fusion = mctf(drop_path=0.0, dropout=0.5)
    assert not torch.equal(fusion(main, receiver), fusion(main, receiver))
    fusion.eval()
    assert torch.equal(fusion(main, receiver), fusion(main, receiver))


def test_every_parameter_of_mctf_and_both_sets_get_a_gradient():
    main, receiver = (tokens.requires_grad_() for tokens in two_sets(batch=8))
    fusion = mctf(drop_path=0.0)
    fusion(main, receiver).square().sum().backward()
    without = [name for name, p in fusion.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert without == []
    assert main.grad.abs().sum() > 0
    assert receiver.grad.abs().sum() > 0


def test_mctf_hidden_width_follows_the_ratio():
    fusion = MCTF(CHANNELS, mlp_ratio=2.5)
    assert fusion.mlp[0].weight.shape == (10, CHANNELS)
    assert fusion(*two_sets()).shape == (BATCH, TOKENS, fusion.out_channels)


SUBSETS = [("self",), ("mr",), ("rm",), ("self", "mr"), ("self", "rm"), ("mr", "rm"), ("self", "mr", "rm")]
"""The cases of Table 11, in its order."""


@pytest.mark.parametrize("attentions", SUBSETS)
def test_a_subset_of_attentions_is_all_of_them_with_the_other_projections_zeroed(attentions):
    main, receiver = two_sets()
    whole, part = mctf(num_heads=2).eval(), MCTF(CHANNELS, num_heads=2, attentions=attentions).eval()
    kept = {"self": ("proj_main.mm", "proj_receiver.rr"), "mr": ("_main.mr", "_receiver.mr"), "rm": (".rm",)}
    for name, parameter in whole.attention.named_parameters():
        if name.startswith(("proj_main", "proj_receiver")) and not any(k in name for a in attentions for k in kept[a]):
            parameter.data.zero_()
    part.load_state_dict({key: value for key, value in whole.state_dict().items() if key in part.state_dict()})
    torch.testing.assert_close(part(main, receiver), whole(main, receiver))
    projections = [key for key in part.state_dict() if key.startswith(("attention.proj_main", "attention.proj_rec"))]
    assert len(projections) == 4 * len(attentions)


def test_each_subset_says_something_else():
    main, receiver = two_sets()
    whole = mctf().state_dict()
    given = []
    for attentions in SUBSETS:
        part = MCTF(CHANNELS, attentions=attentions).eval()
        part.load_state_dict({key: value for key, value in whole.items() if key in part.state_dict()})
        given.append(part(main, receiver))
    assert min((a - b).abs().max() for i, a in enumerate(given) for b in given[:i]) > 1e-3


@pytest.mark.parametrize("attentions", SUBSETS)
def test_every_subset_commutes_with_an_order_of_the_tokens(attentions):
    main, receiver = two_sets(tokens=5)
    order = torch.tensor([3, 0, 4, 1, 2])
    fusion = mctf(attentions=attentions, num_heads=2).eval()
    fused = fusion(main, receiver)
    assert torch.allclose(fusion(main[:, order], receiver[:, order]), fused[:, order], atol=1e-5)
    rows = mctf(attentions=attentions, token_affine=True, num_tokens=5).eval()  # a scale for each token knows its place
    assert not torch.allclose(rows(main[:, order], receiver[:, order]), rows(main, receiver)[:, order], atol=1e-2)


@pytest.mark.parametrize("num_heads", [3, 5])
def test_heads_that_do_not_divide_the_channels_get_the_next_width_that_they_do(num_heads):
    main, receiver = two_sets()
    fusion = mctf(num_heads=num_heads).eval()
    width = num_heads * -(-CHANNELS // num_heads)
    assert fusion.attention.qkv_main.weight.shape == (3 * width, CHANNELS)
    assert fusion.attention.proj_main["mm"].weight.shape == (CHANNELS, width)
    heads = width // num_heads
    q, k, v = fusion.attention.qkv_main(fusion.norm_main(main)).split(width, dim=-1)
    seen = {}
    fusion.attention.proj_main["mm"].register_forward_pre_hook(lambda _m, inputs: seen.update(mm=inputs[0]))
    fused = fusion(main, receiver)
    assert fused.shape == main.shape
    for head in range(num_heads):
        part = slice(head * heads, (head + 1) * heads)
        weights = (0.8 * q[..., part] @ k[..., part].transpose(1, 2)).softmax(dim=-1)
        torch.testing.assert_close(seen["mm"][..., part], weights @ v[..., part])


@pytest.mark.parametrize("num_heads", [2, 4])
def test_heads_do_not_matter_where_there_is_nothing_to_choose(num_heads):
    """With one key the softmax is 1, with equal scores it is uniform: however many heads, the values are the same."""
    one_head, heads = mctf(), MCTF(CHANNELS, num_heads=num_heads)
    heads.load_state_dict(one_head.state_dict())
    one_head.eval(), heads.eval()
    single = two_sets(tokens=1)
    torch.testing.assert_close(heads(*single), one_head(*single))
    several = two_sets()
    assert not torch.allclose(heads(*several), one_head(*several), atol=1e-3)
    for fusion in (one_head, heads):
        for qkv in (fusion.attention.qkv_main, fusion.attention.qkv_receiver):
            qkv.weight.data[:CHANNELS] = 0  # queries
    torch.testing.assert_close(heads(*several), one_head(*several))


@pytest.mark.parametrize(
    "attentions, message",
    [
        ((), "attentions must be distinct names"),
        (("self", "self"), "attentions must be distinct names"),
        ("self", "attentions must be distinct names"),
        (("self", "mm"), "unknown attention of MCTF 'mm'; .*valid: self, mr, rm"),
    ],
)
def test_other_attentions_are_refused(attentions, message):
    with pytest.raises(ValueError, match=message):
        MCTF(CHANNELS, attentions=attentions)


@pytest.mark.parametrize("num_heads", [0, -1])
def test_mctf_needs_a_head(num_heads):
    with pytest.raises(ValueError, match=f"num_heads must be a whole number, 1 or more, got {num_heads}"):
        MCTF(CHANNELS, num_heads=num_heads)


def test_sum_and_concat_numbers():
    main = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    receiver = torch.tensor([[[10.0, 20.0], [30.0, 40.0]]])
    assert Sum(2)(main, receiver).tolist() == [[[11, 22], [33, 44]]]
    assert Concat(2)(main, receiver).tolist() == [[[1, 2, 10, 20], [3, 4, 30, 40]]]
    assert (Sum(2).out_channels, Concat(2).out_channels, MCTF(2).out_channels) == (2, 4, 2)


@pytest.mark.parametrize("fusion", [Sum, Concat, MCTF])
@pytest.mark.parametrize("shape", [(BATCH, TOKENS + 1, CHANNELS), (BATCH + 1, TOKENS, CHANNELS)])
def test_sets_of_different_shapes_are_refused(fusion, shape):
    with pytest.raises((RuntimeError, ValueError)):
        fusion(CHANNELS)(torch.zeros(BATCH, TOKENS, CHANNELS), torch.zeros(shape))


@pytest.mark.skipif(not GOLDEN.is_file(), reason="the numbers of the official code are not here")
def test_mctf_differs_from_the_official_code_in_norms_and_reshuffling_only():
    """With the official code's norms and its reshuffling of attention outputs put in, its numbers come out.

    The official token1 is the receiver, token2 main; it concatenates them in that order.
    """
    numbers = load_file(GOLDEN)
    token1, token2 = numbers["input/token1"], numbers["input/token2"]
    channels = token1.shape[2]
    weights = {
        name.removeprefix("weights/attn_mixed_cls_tokens."): value
        for name, value in numbers.items()
        if name.startswith("weights/")
    }
    pairs = {
        "proj_main.mm": "t2t2",
        "proj_main.mr": "t2t1_2",
        "proj_main.rm": "t1t2_2",
        "proj_receiver.rr": "t1t1",
        "proj_receiver.rm": "t1t2",
        "proj_receiver.mr": "t2t1",
    }
    state = {
        "qkv_main.weight": torch.cat([weights[f"w{part}_t2.weight"] for part in "qkv"]),
        "qkv_receiver.weight": torch.cat([weights[f"w{part}_t1.weight"] for part in "qkv"]),
        "proj.0.weight": weights["proj.0.weight"].roll(channels, dims=1),
        "proj.0.bias": weights["proj.0.bias"],
        "proj.2.weight": weights["proj.2.weight"],
        "proj.2.bias": weights["proj.2.bias"],
    }
    for ours, theirs in pairs.items():
        for kind in ("weight", "bias"):
            state[f"{ours}.{kind}"] = weights[f"proj_{theirs}.{kind}"]
    fusion = MCTF(channels, num_heads=1, scale=None).eval()
    fusion.attention.load_state_dict(state)
    for ours, theirs in ((0, "fc1"), (2, "fc2")):
        for kind in ("weight", "bias"):
            getattr(fusion.mlp[ours], kind).data = numbers[f"weights/mlp_pathway1.{theirs}.{kind}"]

    seen = {}

    def reshuffle(name):
        def hook(_module, inputs):
            seen[name] = inputs[0].transpose(1, 2).contiguous().view(inputs[0].shape)
            return (seen[name],)

        return hook

    for ours, theirs in pairs.items():
        fusion.attention.get_submodule(ours).register_forward_pre_hook(reshuffle(f"proj_{theirs}_input"))
    fusion.attention.register_forward_hook(lambda _module, _inputs, output: seen.update(clsfusion=output))
    fusion.norm_main.register_forward_hook(lambda *_: numbers["output/ln_token2"])
    fusion.norm_receiver.register_forward_hook(lambda *_: numbers["output/ln_token1"])
    fusion.norm.register_forward_hook(lambda *_: numbers["output/ln_mixed"])
    with torch.no_grad():
        seen["mctf_tokens_before_mean"] = fusion(token2, token1)
    assert len(seen) == 8
    for name, value in seen.items():
        torch.testing.assert_close(value, numbers[f"output/{name}"], rtol=1e-4, atol=2e-5, msg=name)


def test_token_affine_normalises_over_channels_and_scales_by_token():
    main, receiver = two_sets()
    plain, affine = mctf(), mctf(token_affine=True, num_tokens=TOKENS)
    state = plain.state_dict()
    for key, value in affine.state_dict().items():
        state[key] = state[key].expand_as(value).contiguous()
    affine.load_state_dict(state)
    plain.eval(), affine.eval()
    torch.testing.assert_close(affine(main, receiver), plain(main, receiver))
    affine.norm.weight.data[0] = 0
    affine.norm.bias.data[0] = 0
    assert not torch.allclose(affine(main, receiver)[:, 0], plain(main, receiver)[:, 0])
    torch.testing.assert_close(affine(main, receiver)[:, 1:], plain(main, receiver)[:, 1:])


@pytest.mark.parametrize("num_heads", [1, 2])
def test_the_official_form_step_by_step(num_heads):
    """Norms over tokens and channels, unsplit heads that set the scale, and the memory of `(C, M)` read as `(M, C)`."""
    main, receiver = (tokens.double() for tokens in two_sets())
    fusion = mctf(form="official", num_tokens=TOKENS, num_heads=num_heads, scale=7.0).double().eval()
    state = {name: value.numpy() for name, value in fusion.state_dict().items()}
    with torch.no_grad():
        fused = fusion(main, receiver).numpy()
    scale = (CHANNELS / num_heads) ** -0.5

    def linear(x, name):
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def norm(x, name):
        return layer_norm(x.ravel(), state[f"{name}.weight"].ravel(), state[f"{name}.bias"].ravel()).reshape(x.shape)

    def attend(query, key, value, name):
        weights = np.exp(scale * query @ key.T)
        mixed = (weights / weights.sum(axis=1, keepdims=True)) @ value
        read = np.empty_like(mixed)
        for place in range(mixed.size):
            read[divmod(place, CHANNELS)] = mixed[place % TOKENS, place // TOKENS]
        return linear(read, f"attention.{name}")

    for sample in range(BATCH):
        m, r = main[sample].numpy(), receiver[sample].numpy()
        q_m, k_m, v_m = np.split(norm(m, "norm_main") @ state["attention.qkv_main.weight"].T, 3, axis=1)
        q_r, k_r, v_r = np.split(norm(r, "norm_receiver") @ state["attention.qkv_receiver.weight"].T, 3, axis=1)
        pairs = {"mm": (q_m, k_m), "mr": (q_m, k_r), "rm": (q_r, k_m), "rr": (q_r, k_r)}
        a_m = sum(attend(*pairs[pair], v_m, f"proj_main.{pair}") for pair in ("mm", "mr", "rm"))
        a_r = sum(attend(*pairs[pair], v_r, f"proj_receiver.{pair}") for pair in ("rr", "rm", "mr"))
        hidden = np.maximum(linear(np.concatenate([a_m, a_r], axis=1), "attention.proj.0"), 0)
        average = (m + r) / 2
        mixed = norm(average + linear(hidden, "attention.proj.2"), "norm")
        expected = average + linear(gelu(linear(mixed, "mlp.0")), "mlp.2")
        np.testing.assert_allclose(fused[sample], expected, rtol=1e-9, atol=1e-10)


def test_official_form_mixes_tokens_and_needs_their_number():
    main, receiver = two_sets()
    fusion = mctf(form="official", num_tokens=TOKENS).eval()
    order = torch.tensor([2, 0, 1])
    assert not torch.allclose(fusion(main, receiver)[:, order], fusion(main[:, order], receiver[:, order]), atol=1e-3)
    with pytest.raises(ValueError, match="num_tokens"):
        MCTF(4, form="official")
    with pytest.raises(ValueError, match="unknown form of MCTF 'offical'; did you mean 'official'"):
        MCTF(4, form="offical")
