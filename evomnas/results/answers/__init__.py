"""The classes that a network gives to labelled images, as far as a search and its readers need them.

- `confusion`: how often each class was taken for which, and what follows from that: recall, scores and their errors.
- `majority`: the score of a network that gives every image the same class.
- `mistakes`: the images that a network was surest of and wrong about; both together are its `Answers`.
"""
