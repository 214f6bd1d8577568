import pytest
import torch

from amge.devices import device_of, usable_device


def test_devices_by_name(monkeypatch):
    assert usable_device("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert usable_device("cuda") == torch.device("cuda")
    assert usable_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(ValueError, match="there is no device 'cuda:2' here; there is cpu, cuda, cuda:0, cuda:1"):
        usable_device("cuda:2")


def test_devices_that_torch_alone_knows_are_left_to_it():
    assert device_of("meta") == device_of(torch.device("meta")) == torch.device("meta")
    assert device_of("cpu:0") == device_of(torch.device("cpu", 0)) == torch.device("cpu", 0)
    with pytest.raises(ValueError, match="there is no device 'gpu' here; there is cpu"):
        device_of("gpu")
