"""Images that networks may be trained on, and their training and validation splits.

- `gallery/`: folders of images: which files are images of which split and class, and what they show.
- `boxes/`: boxes around the things in pictures, in three formats.
- `catalogues/`: pictures that a list, a table or an archive names.
- `prepared/`: pictures that are decoded once and mapped from a file ever after; every source goes through it.
- `npz_files`: files of arrays, and what mends those that are not right.
- `folders`: folders of images by the rules of version 0.1.
- `first_look`: images on disk are there and of the right kind, without reading them.
- `suited`: problems as people type them, with settings that suit their images.
- `check`: there is something at a path, and enough images and memory.
- `rows`: images of one array by their rows; the array may be mapped from a file.
- `images`: images with labels, and the fingerprint of their content.
- `colours`: the pixels of an opened image file as a viewer shows them.
- `photographs`: from an image file to a network's input, the one place for it.
- `splits`: from a problem's data section to the images that a search trains and validates on.
- `sources`: the built-in data sets.
- `pictures`: small pictures of images, for people to look at.

`TrainingImages` is the result of a data set's function, for packages that register data sets of their own.
"""

from evomnas.data.images import TrainingImages

__all__ = ["TrainingImages"]
