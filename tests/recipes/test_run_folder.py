import json

import pytest

from amge.recipes.run_folder import same_run


def test_a_run_is_the_same_in_whatever_order_its_options_come(tmp_path):
    same_run(tmp_path, json.dumps({"width": 24, "graph": "coco-17"}))
    same_run(tmp_path, json.dumps({"graph": "coco-17", "width": 24}, indent=2))
    with pytest.raises(ValueError, match="belongs to a run with other options"):
        same_run(tmp_path, json.dumps({"graph": "coco-17", "width": 32}))
