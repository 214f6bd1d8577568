"""Pictures for people: the body map, bars, timelines, skeletons over frames, curves and reports."""
