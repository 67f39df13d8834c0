from pathlib import Path

from tests.catalog.walk_rate import measure


def test_all_contestants_see_the_same_entries(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"d{number}").mkdir()
        (tmp_path / f"d{number}" / "f").touch()
    found = measure(tmp_path, rounds=1, processes=1)
    assert {entries for _, entries in found.values()} == {41}
    assert all(seconds > 0 for seconds, _ in found.values())
