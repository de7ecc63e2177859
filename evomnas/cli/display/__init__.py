"""The output of commands, and how much of it there is.

- `verbosity`: the options `--quiet`, `--verbose` and `--json`.
- `search_output`: everything that a search shows while it works.
- `search_progress`: where a search stands, on a live line or in a log.
- `evaluation_lines`: a line for each network.
- `plan_display`: how long trainings and exports take, and how much is left.
- `check_output`: the answers of exported files to a folder of images.
- `json_lines`: an object for each event, for scripts.
- `full_scores`: the scores of full trainings as cells of tables.
"""
