"""The values of a database, with what is still in its WAL."""

import pathlib
import shutil
import sqlite3
import tempfile

import layers


def read(path: pathlib.Path) -> bytes:
    """All values of all tables, one behind the other. The files are not touched."""
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder) / "copy.db"
        shutil.copy(path, copy)
        wal = path.with_name(path.name + "-wal")
        if wal.exists():
            shutil.copy(wal, copy.with_name(copy.name + "-wal"))
        database = sqlite3.connect(copy)
        database.text_factory = bytes
        try:
            return layers.BREAK.join(values(database))
        finally:
            database.close()


def values(database: sqlite3.Connection):
    tables = database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
    for (table,) in tables:
        name = table.decode().replace('"', '""')
        for row in database.execute(f'SELECT * FROM "{name}"'):
            for value in row:
                if isinstance(value, bytes):
                    yield value
