"""The databases beside SQLite: real servers, and tests of what each of them must promise."""
