"""Classes of images in a run's report, and what the command says of them.

- `class_words`: sentences: what one answer for all images scores, and which score would count small classes.
- `class_data`: data of the report's script: recall, confusion and worst mistakes of networks.
"""
