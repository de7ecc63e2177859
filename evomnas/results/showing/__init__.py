"""A run as people see it in a notebook.

- `front_figure`: quality against cost, as a figure.
- `frame`: every evaluation, as a data frame of pandas.
- `flat_rows`: rows with one value per cell, and CSV.
- `run_markup`: the front as HTML.
"""
