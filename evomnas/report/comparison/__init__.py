"""Comparisons of several runs of one problem, and benchmarks.

- `traces`: runs as a comparison reads them, and the check that they can be compared.
- `significance`: rank tests.
- `comparison`: all numbers of a comparison.
- `words`: a comparison in sentences and tables.
- `figures`: its figures.
- `page`: its HTML page.
- `benchmark`: algorithms by seeds on one archive.
"""
