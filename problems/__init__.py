"""The built-in problems: one TOML file each. They are installed as `evomnas.problems`."""
