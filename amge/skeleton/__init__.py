"""From joints to what a skeleton model takes: graphs, layouts, sequences, files, tracking, poses from video."""
