"""Saving, loading and finding checkpoints."""

from amge.hub.local import from_pretrained, save_pretrained
from amge.hub.weights import shipped

__all__ = ["from_pretrained", "save_pretrained", "shipped"]
