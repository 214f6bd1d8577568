"""From a video of any kind to the clip that a model takes: files, frames, windows, views, modalities."""
