"""Training of any model in two stages; needs `pip install amge[train]`."""
