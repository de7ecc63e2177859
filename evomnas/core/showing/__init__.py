"""How results look, whatever they are about.

- `markup`: HTML for notebooks, in which everything from outside is escaped.
- `style`: colours and style of still figures, and a figure as SVG.
"""
