"""Saving, loading, publishing and finding checkpoints."""

from amge.hub.load import from_pretrained, read_spec
from amge.hub.publish import Commit, publish, push_to_hub
from amge.hub.published import PUBLISHED, Pretrained, list_pretrained, register_pretrained
from amge.hub.save import describe, save_pretrained

__all__ = [
    "PUBLISHED",
    "Commit",
    "Pretrained",
    "describe",
    "from_pretrained",
    "list_pretrained",
    "publish",
    "push_to_hub",
    "read_spec",
    "register_pretrained",
    "save_pretrained",
]
