import pytest

from shared.lake.releases import is_name, path_of


@pytest.mark.parametrize("text", ["a", "v1", "paper-2026_01"])
def test_a_name_begins_with_a_letter(text):
    assert is_name(text)


@pytest.mark.parametrize("text", ["", "2026-01-31", "A", "../x", "a b", "a" * 65])
def test_a_time_or_a_path_is_no_name(text):
    assert not is_name(text)


def test_a_release_lies_in_a_folder_of_the_lake():
    assert path_of("s3a://bucket/lake", "v1") == "s3a://bucket/lake/releases/v1.json"
