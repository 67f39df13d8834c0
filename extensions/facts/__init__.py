"""Cheap facts about files: type, size of images, rows and columns of Parquet."""
