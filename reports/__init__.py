"""How results look: page template and style. They are installed as `evomnas.reports`."""
