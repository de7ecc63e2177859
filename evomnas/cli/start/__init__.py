"""The steps before a search.

- `config_files`: defaults of options in `pyproject.toml` and in the user's own file.
- `config`: the command that shows them.
- `questions`: what is asked before a problem file is written.
- `problem_file`: a problem file with comments.
- `init`: the command that writes one for a folder of images.
- `dry_run`: what a search would do.
"""
