"""A folder of images as its owner has it.

- `kinds`: which files are pictures, by their names or else by how they begin.
- `layout`: which folders are splits, and which are classes.
- `files`: the files of the splits and classes, and those that are not read.
- `found`: what was found, for people.
- `listing`: the list of a search's images, and how two lists differ.
- `reading`: from the folder to the images of a part.
"""
