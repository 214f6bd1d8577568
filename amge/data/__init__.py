"""Data sets: samples, manifests, checks, clips for training and their augmentation; `prepare` makes them ready."""
