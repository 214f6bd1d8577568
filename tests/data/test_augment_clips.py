import pytest
import torch
from torchvision.transforms import v2

from amge.data.augment import GEOMETRIC, RandAugment, appearance, apply, erasing


def still(frames=4, side=32):
    """A clip of one picture, again and again: noise with smooth parts, which no change of colour leaves alone."""
    generator = torch.Generator().manual_seed(0)
    picture = torch.randint(40, 200, (3, side, side), generator=generator, dtype=torch.uint8)
    return picture.expand(frames, -1, -1, -1).contiguous()


def drawn(transform, clip, seeds=30):
    for seed in range(seeds):
        torch.manual_seed(seed)
        yield apply(transform, clip)


def test_magnitude_seven_of_ten_is_seven_tenths_of_the_range():
    augment = RandAugment(operations=4, magnitude=7)
    assert augment.num_ops == 4
    for name, (magnitudes, _) in augment._AUGMENTATION_SPACE.items():
        values = magnitudes(augment.num_magnitude_bins, 32, 32)
        if values is not None and name not in ("Posterize", "Solarize"):
            assert float(values[augment.magnitude]) == pytest.approx(0.7 * float(values[-1]), rel=1e-5), name
    assert (augment.magnitude, augment.num_magnitude_bins) == (21, 31)
    assert RandAugment(magnitude=10).magnitude == 30 and RandAugment(magnitude=0).magnitude == 0


def test_aligned_operations_leave_things_where_they_are():
    usual, aligned = RandAugment(), RandAugment(aligned=True)
    assert set(usual._AUGMENTATION_SPACE) - set(aligned._AUGMENTATION_SPACE) == set(GEOMETRIC)
    assert len(aligned._AUGMENTATION_SPACE) == 9
    clip = torch.full((2, 3, 32, 32), 60, dtype=torch.uint8)
    clip[..., :16, :16] = 180
    means = [out.float().mean(dim=(0, 1)) for out in drawn(appearance(aligned=True), clip, 60)]
    inside = (slice(2, 14), slice(2, 14))
    for mean in means:  # each quarter stays of one colour
        for quarter in (mean[:16, :16], mean[16:, :16], mean[:16, 16:], mean[16:, 16:]):
            assert quarter[inside].std() < 1e-3
    assert any((mean[:16, :16].mean() - mean[16:, 16:].mean()).abs() > 20 for mean in means)
    moved = [out.float().mean(dim=(0, 1)) for out in drawn(appearance(), clip, 60)]
    assert any(mean[:16, :16][inside].std() > 1 for mean in moved)


@pytest.mark.parametrize("aligned", [False, True])
def test_all_frames_change_alike(aligned):
    clip = still()
    changed = list(drawn(appearance(aligned=aligned), clip))
    for out in changed:
        assert out.dtype == torch.uint8 and type(out) is torch.Tensor
        assert torch.equal(out, out[:1].expand_as(out))
    assert sum(not torch.equal(out, clip) for out in changed) > 25
    assert len({out.float().mean().item() for out in changed}) > 25
    assert torch.equal(clip, still())


def test_parts_can_be_left_out():
    clip = still()
    for out in drawn(appearance(jitter=0, operations=0), clip, 3):
        assert torch.equal(out, clip)
    jitter, augment = appearance(operations=0), appearance(jitter=0)
    assert [type(step) for step in jitter.transforms] == [v2.ColorJitter]
    assert [type(step) for step in augment.transforms] == [RandAugment]
    assert {jitter.transforms[0].brightness, jitter.transforms[0].saturation} == {(0.6, 1.4)}


def test_the_same_box_is_erased_in_all_frames():
    clip = torch.zeros(4, 3, 32, 32)
    erased = 0
    for out in drawn(erasing(), clip, 200):
        assert torch.equal(out, out[:1].expand_as(out))
        gone = out[0, 0] != 0
        if gone.any():
            erased += 1
            rows, columns = gone.any(dim=1), gone.any(dim=0)
            assert gone.sum() == rows.sum() * columns.sum()  # a box
            assert 0.01 < gone.float().mean() < 0.36
            assert out[0][:, gone].std() == pytest.approx(1, abs=0.35)
    assert erased == pytest.approx(50, abs=15)
    assert clip.abs().sum() == 0
