"""Several runs side by side.

- `traces`: what a comparison needs of a run, and which runs may be compared.
- `significance`: rank tests.
- `comparison`: all numbers.
- `words`, `figures`, `page`: in words and cells, drawn, as a page.
- `benchmark`: algorithms by seeds on one archive.
"""
