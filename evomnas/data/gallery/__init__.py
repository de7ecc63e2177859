"""A folder of images as its owner has it, and what is done with pictures whatever they come from.

- `kinds`: which files are pictures, by their names or else by how they begin.
- `layout`: which folders are splits, and which are classes.
- `files`: pictures with their splits and classes; of a folder, those that are read and those that are not.
- `found`: what was found, for people.
- `listing`: the list of a search's images, and how two lists differ.
- `recall`: what was found before, where nothing has changed since.
- `reading`: from such pictures to the images of a part.
"""
