"""Pictures for people: the body map, skeletons over frames, curves and reports."""
