import os

import pytest

from amge.files import scratch, whole


def test_the_content_is_on_the_disk_before_the_name_is(tmp_path, monkeypatch):
    """Or a power cut leaves an empty file under a final name."""
    done, sync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: (done.append("content"), sync(file)))
    monkeypatch.setattr(os, "replace", lambda *paths: (done.append("name"), replace(*paths)))
    with whole(tmp_path / "deep" / "a.txt") as part:
        part.write_text("all")
    assert done == ["content", "name"] and (tmp_path / "deep" / "a.txt").read_text() == "all"


def test_after_an_error_the_file_before_is_there_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("before")
    with pytest.raises(KeyError), whole(path) as part:
        part.write_text("half")
        raise KeyError
    assert os.listdir(tmp_path) == ["a.txt"] and path.read_text() == "before"


def test_a_scratch_folder_is_empty_whatever_was_killed_before_and_goes(tmp_path):
    (tmp_path / ".part-a").mkdir()
    (tmp_path / ".part-a" / "left").touch()
    with scratch(tmp_path / "a") as part:
        assert os.listdir(part) == []
        (part / "new").touch()
    assert os.listdir(tmp_path) == []
