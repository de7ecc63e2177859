"""What people see of runs.

- `words`, `run_words`: results in words; what figures are worth.
- `history`, `gene_preferences`, `references`, `latency_breakdown`: how a search went, what its front prefers, what to
  compare with, where milliseconds go.
- `reproduce`: commands and files that make a run again.
- `figures`, `run_figures`, `pages`: still figures, templates to pages.
- `page_data`, `run_report`: what the report's script gets, and the report.
- `comparison/`: several runs side by side.
"""
