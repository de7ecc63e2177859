"""What of a run ships, in its report.

- `network_files`: the files of networks that were trained in full.
"""
