"""Model cards.

- `card`: the details of a trained network, and the model card that shows them.
- `front_matter`: the head of a card that the Hugging Face Hub reads.
- `class_card`: the part about classes: recall, confusion, worst mistakes.
- `snippets`: the code on a model card, which classifies a picture.
- `tradeoffs`: a figure of accuracy against latency and size.
- `markdown`: tables, and texts from outside that stay text.
"""
