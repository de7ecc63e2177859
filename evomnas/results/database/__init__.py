"""The SQLite file of an archive.

- `schema`: its tables, and how those of older versions are brought up to date.
- `connection`: opening, checking and creating it; transactions and rows.
- `contexts`: what results are stored under.
- `rows`: results as rows of its tables, and back.
- `outside`: the rows of a file that somebody sent.
"""
