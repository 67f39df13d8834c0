"""pandas, pyarrow, polars and zarr read and write files of a store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

pytest.importorskip("fsspec")

import fsspec

if TYPE_CHECKING:
    from pathlib import Path

    from pagelake.engine.clients.fsspec import PagelakeFileSystem


@pytest.fixture(scope="module")
def fs(tmp_path_factory: pytest.TempPathFactory) -> PagelakeFileSystem:
    store = tmp_path_factory.mktemp("programs") / "my.lake"
    return fsspec.filesystem("pagelake", store=str(store))


def test_pandas(fs: PagelakeFileSystem) -> None:
    pd = pytest.importorskip("pandas")
    options = {"store": fs.store}
    frame = pd.DataFrame({"id": range(1000), "name": [f"n{n}" for n in range(1000)]})
    frame.to_parquet("pagelake://pd/frame.parquet", storage_options=options)
    frame.to_csv("pagelake://pd/frame.csv.gz", index=False, storage_options=options)
    for read, name in ((pd.read_parquet, "frame.parquet"), (pd.read_csv, "frame.csv.gz")):
        again = read(f"pagelake://pd/{name}", storage_options=options)
        pd.testing.assert_frame_equal(again, frame, check_dtype=False)
    assert pd.read_parquet(f"pagelake://pd/frame.parquet::{fs.store}").shape == (1000, 2)
    with pytest.raises(FileNotFoundError):
        pd.read_csv("pagelake://pd/none.csv", storage_options=options)


def test_pyarrow_datasets(fs: PagelakeFileSystem) -> None:
    table = pa.table({"part": [n % 3 for n in range(3000)], "value": range(3000)})
    ds.write_dataset(table, "/ds", format="parquet", partitioning=["part"], filesystem=fs)
    assert len(fs.find("/ds")) == 3
    found = ds.dataset("/ds", format="parquet", partitioning=["part"], filesystem=fs)
    chosen = found.to_table(filter=(ds.field("part") == 1) & (ds.field("value") < 30))
    assert sorted(chosen.column("value").to_pylist()) == list(range(1, 30, 3))
    assert pq.read_table("/ds", filesystem=fs).num_rows == 3000
    pq.write_table(table, "/one.parquet", filesystem=fs)
    assert pq.read_table("/one.parquet", filesystem=fs, columns=["value"]).num_rows == 3000


def test_polars(fs: PagelakeFileSystem) -> None:
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame({"id": range(1000), "name": ["a", "b"] * 500})
    with fs.open("/pl/frame.parquet", "wb") as file:
        frame.write_parquet(file)
    with fs.open("/pl/frame.parquet", "rb") as file:
        assert pl.read_parquet(file, columns=["name"]).equals(frame.select("name"))
    lazy = pl.scan_pyarrow_dataset(ds.dataset("/pl", filesystem=fs))
    assert lazy.filter(pl.col("id") < 10).select("id").collect().height == 10
    with fs.open("/pl/frame.csv", "wb") as file:
        frame.write_csv(file)
    with fs.open("/pl/frame.csv", "rb") as file:
        assert pl.read_csv(file).equals(frame)


@pytest.mark.filterwarnings("ignore::UserWarning:zarr")
def test_zarr(fs: PagelakeFileSystem) -> None:
    zarr = pytest.importorskip("zarr")
    np = pytest.importorskip("numpy")
    options = {"store": fs.store}
    values = np.arange(10_000, dtype="i4").reshape(100, 100)
    group = zarr.open_group("pagelake://zarr/all", mode="w", storage_options=options)
    array = group.create_array("values", shape=values.shape, chunks=(50, 50), dtype="i4")
    array[:] = values
    array.attrs["unit"] = "m"
    array[10:20, 10:20] = 7
    values[10:20, 10:20] = 7
    again = zarr.open_group("pagelake://zarr/all", mode="r", storage_options=options)["values"]
    assert again.attrs["unit"] == "m"
    assert (again[:] == values).all()
    assert (again[5:60, 40:45] == values[5:60, 40:45]).all()
    assert len(fs.find("/zarr/all/values/c")) == 4
    zarr.save_array("pagelake://zarr/one", values, storage_options=options)
    one = zarr.open_array("pagelake://zarr/one", mode="r", storage_options=options)
    assert (one[:] == values).all()


def test_a_fsspec_map_is_a_dict(fs: PagelakeFileSystem, tmp_path: Path) -> None:
    store = fs.get_mapper("/map")
    store["a/b"] = b"one"
    store.setitems({"c": b"two", "d": b"three"})
    assert sorted(store) == ["a/b", "c", "d"]
    assert store.getitems(["a/b", "d", "none"], on_error="omit") == {"a/b": b"one", "d": b"three"}
    del store["c"]
    assert "c" not in store
    store.clear()
    assert len(store) == 0
