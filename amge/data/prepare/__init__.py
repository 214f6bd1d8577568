"""Making data sets ready, each in a folder: what `amge data prepare` runs."""
