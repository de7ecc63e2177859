"""The report of a run and comparisons of runs, as people see them.

A run in words:
- `words`: numbers with units, sentences and tables, which the command shares.
- `run_words`: the course of a search, its settings, and how far its figures can be trusted.

Data behind the report:
- `history`: a search by generation.
- `gene_preferences`: how often the front has each value of each gene.
- `references`: networks to compare with.
- `latency_breakdown`: the estimated latency of each part of a network.
- `reproduce`: commands and files that run a search again.
- `page_data`: the data of the report's script.

Figures and pages:
- `figures`: how still figures are saved, and drawings of architectures.
- `run_figures`: still figures of a run.
- `pages`: HTML pages from templates.
- `run_report`: the report of a run.
- `certainty/`: what people read about how sure a front is.
- `classes/`: classes of images: sentences, and data of the report's script.
- `findings/`: what networks find in images: precisions, and boxes on pictures.
- `shipping/`: the files of trained networks.
- `comparison/`: comparisons of several runs, and benchmarks.
- `trackers/`: searches in the tools that people follow their experiments with.
"""
