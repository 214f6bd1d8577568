"""From files to clips: video reading, preprocessing, modalities, synthetic figures, datasets."""
