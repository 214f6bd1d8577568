"""Fusions other than MCTF, against the same mathematics in numpy on 2 x 3 x 4 tensors."""

import math

import numpy as np
import pytest
import torch

from amge.fusion import Bottleneck, Concat, CrossAttention, Mean, Mixed, Product, SelfAttention, Sum

BATCH, TOKENS, CHANNELS = 2, 3, 4
ALL = [Bottleneck, Concat, CrossAttention, Mean, Mixed, Product, SelfAttention, Sum]
WITH_HEADS = [Bottleneck, CrossAttention, Mixed, SelfAttention]


def two_sets(tokens=TOKENS, channels=CHANNELS):
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(BATCH, tokens, channels, generator=generator).double() for _ in range(2)]


def randomised(kind, **arguments):
    torch.manual_seed(0)
    fusion = kind(CHANNELS, **arguments).double().eval()
    for parameter in fusion.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return fusion


def softmax(x):
    return np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)


def gelu(x):
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


class Weights:
    """The mathematics of a layer, one sample `(M, C)` at a time, from a state dict."""

    def __init__(self, module):
        self.state = {name: value.numpy() for name, value in module.state_dict().items()}

    def linear(self, x, name):
        return x @ self.state[f"{name}.weight"].T + self.state[f"{name}.bias"]

    def norm(self, x, name):
        scaled = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
        return scaled * self.state[f"{name}.weight"] + self.state[f"{name}.bias"]

    def mlp(self, x, name):
        return self.linear(gelu(self.linear(x, f"{name}.0")), f"{name}.2")

    def layer(self, x, context, name, num_heads):
        """Pre-norm attention of x to the context and an MLP, each added."""
        query, seen = self.norm(x, f"{name}.norm1"), self.norm(context, f"{name}.norm1")
        matrices = np.split(self.state[f"{name}.attention.in_proj_weight"], 3)
        biases = np.split(self.state[f"{name}.attention.in_proj_bias"], 3)
        q, k, v = (y @ w.T + b for y, w, b in zip((query, seen, seen), matrices, biases, strict=True))
        width = x.shape[1] // num_heads
        heads = []
        for head in range(num_heads):
            part = slice(head * width, (head + 1) * width)
            heads.append(softmax(q[:, part] @ k[:, part].T / math.sqrt(width)) @ v[:, part])
        x = x + self.linear(np.concatenate(heads, axis=1), f"{name}.attention.out_proj")
        return x + self.mlp(self.norm(x, f"{name}.norm2"), f"{name}.mlp")


def same(fusion, expected, main, receiver):
    with torch.no_grad():
        fused = fusion(main, receiver).numpy()
    for sample in range(BATCH):
        by_hand = expected(main[sample].numpy(), receiver[sample].numpy())
        np.testing.assert_allclose(fused[sample], by_hand, rtol=1e-9, atol=1e-10)


def test_arithmetic_fusions():
    main = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    receiver = torch.tensor([[[10.0, 20.0], [30.0, 40.0]]])
    assert Sum(2)(main, receiver).tolist() == [[[11, 22], [33, 44]]]
    assert Mean(2)(main, receiver).tolist() == [[[5.5, 11], [16.5, 22]]]
    assert Product(2)(main, receiver).tolist() == [[[10, 40], [90, 160]]]
    assert Concat(2)(main, receiver).tolist() == [[[1, 2, 10, 20], [3, 4, 30, 40]]]


@pytest.mark.parametrize("num_heads", [1, 2])
@pytest.mark.parametrize("depth", [1, 2])
def test_self_attention(num_heads, depth):
    fusion = randomised(SelfAttention, num_heads=num_heads, depth=depth)
    weights = Weights(fusion)

    def expected(main, receiver):
        both = np.concatenate([main, receiver])
        for layer in range(depth):
            both = weights.layer(both, both, f"layers.{layer}", num_heads)
        return (both[:TOKENS] + both[TOKENS:]) / 2

    same(fusion, expected, *two_sets())


@pytest.mark.parametrize("num_heads", [1, 2])
@pytest.mark.parametrize("depth", [1, 2])
def test_cross_attention(num_heads, depth):
    fusion = randomised(CrossAttention, num_heads=num_heads, depth=depth)
    weights = Weights(fusion)

    def expected(main, receiver):
        for layer in range(depth):
            both = np.concatenate([main, receiver])
            main, receiver = (
                weights.layer(main, both, f"layers_main.{layer}", num_heads),
                weights.layer(receiver, both, f"layers_receiver.{layer}", num_heads),
            )
        return (main + receiver) / 2

    same(fusion, expected, *two_sets())


@pytest.mark.parametrize("num_heads", [1, 2])
@pytest.mark.parametrize("depth, num_bottlenecks", [(2, 1), (3, 2)])
def test_bottleneck(num_heads, depth, num_bottlenecks):
    """Nagrani et al., eq. 8 and 9."""
    fusion = randomised(Bottleneck, num_heads=num_heads, depth=depth, num_bottlenecks=num_bottlenecks)
    weights = Weights(fusion)

    def expected(main, receiver):
        shared = weights.state["bottleneck"]
        for layer in range(depth):
            a, b = np.concatenate([main, shared]), np.concatenate([receiver, shared])
            a = weights.layer(a, a, f"layers_main.{layer}", num_heads)
            b = weights.layer(b, b, f"layers_receiver.{layer}", num_heads)
            main, receiver, shared = a[:TOKENS], b[:TOKENS], (a[TOKENS:] + b[TOKENS:]) / 2
        return (main + receiver) / 2

    same(fusion, expected, *two_sets())


@pytest.mark.parametrize("num_heads", [1, 2])
@pytest.mark.parametrize("scale", [0.8, None])
def test_mixed(num_heads, scale):
    fusion = randomised(Mixed, num_heads=num_heads, scale=scale)
    weights, width = Weights(fusion), CHANNELS // num_heads

    def expected(main, receiver):
        average = (main + receiver) / 2
        main, receiver = weights.norm(main, "norm1"), weights.norm(receiver, "norm1")
        both = np.concatenate([main, receiver])
        queries = weights.linear(main, "query_main"), weights.linear(receiver, "query_receiver")
        a, b = (np.split(weights.linear(both, f"key_value_{asker}"), 2, axis=1) for asker in ("main", "receiver"))
        heads = []
        for head in range(num_heads):
            part = slice(head * width, (head + 1) * width)
            pairs = (queries, (a[0], b[0]), (a[1], b[1]))
            q, k, v = ((x[:, part] * softmax(y[:, part]) + y[:, part] * softmax(x[:, part])) / 2 for x, y in pairs)
            heads.append(softmax((width**-0.5 if scale is None else scale) * q @ k.T) @ v)
        fused = average + weights.linear(np.concatenate(heads, axis=1), "proj")
        return fused + weights.mlp(weights.norm(fused, "norm2"), "mlp")

    same(fusion, expected, *two_sets())


@pytest.mark.parametrize("kind", ALL)
def test_all_commute_with_an_order_of_the_tokens(kind):
    main, receiver = two_sets(tokens=5)
    order = torch.tensor([3, 0, 4, 1, 2])
    fusion = randomised(kind)
    torch.testing.assert_close(fusion(main[:, order], receiver[:, order]), fusion(main, receiver)[:, order])


@pytest.mark.parametrize("kind", [Mean, Product, SelfAttention, Sum])
def test_some_treat_both_sets_alike(kind):
    main, receiver = two_sets()
    fusion = randomised(kind)
    torch.testing.assert_close(fusion(receiver, main), fusion(main, receiver))


@pytest.mark.parametrize("kind", [Bottleneck, Concat, CrossAttention, Mixed])
def test_others_tell_them_apart(kind):
    main, receiver = two_sets()
    fusion = randomised(kind)
    assert not torch.allclose(fusion(receiver, main), fusion(main, receiver), atol=1e-4)


def test_what_one_set_writes_into_the_bottleneck_the_other_reads_a_layer_later():
    main, receiver = two_sets()
    fusion = randomised(Bottleneck)
    seen = {0: [], 1: []}
    for layer, outputs in seen.items():
        fusion.layers_main[layer].register_forward_hook(lambda _m, _i, out, outputs=outputs: outputs.append(out))
    fusion(main, receiver), fusion(main, torch.randn_like(receiver))
    assert torch.equal(*seen[0]) and not torch.allclose(*seen[1], atol=1e-3)


@pytest.mark.parametrize("kind", ALL)
def test_gradients_reach_both_sets_and_every_parameter(kind):
    main, receiver = (tokens.requires_grad_() for tokens in two_sets())
    fusion = randomised(kind)
    fused = fusion(main, receiver)
    assert fused.shape == (BATCH, TOKENS, fusion.out_channels)
    fused.square().sum().backward()
    assert all(x.grad.abs().sum() > 0 for x in (main, receiver, *fusion.parameters()))


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("shape", [(BATCH, TOKENS + 1, CHANNELS), (BATCH, TOKENS, CHANNELS + 1), (TOKENS, CHANNELS)])
def test_sets_of_different_shapes_are_refused(kind, shape):
    with pytest.raises(ValueError, match=r"expected two token sets of one shape \(B, M, C\)"):
        kind(CHANNELS)(torch.zeros(BATCH, TOKENS, CHANNELS), torch.zeros(shape))


@pytest.mark.parametrize("kind", WITH_HEADS)
@pytest.mark.parametrize("num_heads", [3, 0])
def test_heads_that_do_not_divide_the_channels_are_refused(kind, num_heads):
    with pytest.raises(ValueError, match=rf"num_heads={num_heads} does not divide dim=4; these do: \[1, 2, 4\]"):
        kind(CHANNELS, num_heads=num_heads)


@pytest.mark.parametrize("kind", ALL)
def test_sets_of_another_width_than_the_fusion_s_are_refused(kind):
    with pytest.raises(ValueError, match=r"C = 4, got \(2, 3, 6\) and \(2, 3, 6\); a linear layer can bring another"):
        kind(CHANNELS)(torch.zeros(2, 3, 6), torch.zeros(2, 3, 6))


@pytest.mark.parametrize("kind", [SelfAttention, CrossAttention])
def test_no_layers_are_refused(kind):
    with pytest.raises(ValueError, match="at least 1 layer, got depth=0"):
        kind(CHANNELS, depth=0)


def test_dropout_works_in_training_alone():
    main, receiver = two_sets()
    for kind in (Bottleneck, CrossAttention, SelfAttention):
        fusion = randomised(kind, dropout=0.5)
        assert torch.equal(fusion(main, receiver), fusion(main, receiver))
        fusion.train()
        assert not torch.equal(fusion(main, receiver), fusion(main, receiver))


@pytest.mark.parametrize("arguments", [{"depth": 1}, {"num_bottlenecks": 0}])
def test_a_bottleneck_that_passes_nothing_is_refused(arguments):
    with pytest.raises(ValueError, match=r"at least 2 layers, .* 1 bottleneck token"):
        Bottleneck(CHANNELS, **arguments)
