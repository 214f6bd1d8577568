"""Predictions for many videos into one Parquet file, by worker processes or on a Ray cluster; see `docs/bulk.md`.

>>> from amge.bulk import predict_files
>>> predict_files("videos", "results.parquet", workers=4)
"""

try:
    import pyarrow  # noqa: F401
except ImportError:
    raise ImportError("bulk prediction needs pyarrow: pip install 'amge[bulk]'") from None

from amge.bulk.predict import Summary, predict_files, predict_files_on_ray

__all__ = ["Summary", "predict_files", "predict_files_on_ray"]
