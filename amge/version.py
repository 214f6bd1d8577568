"""The version of this library, which checkpoints and requests to the Hub state."""

__version__ = "0.1.0"
