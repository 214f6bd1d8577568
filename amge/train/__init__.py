"""The two-stage training recipe; needs `pip install amge[train]`."""
