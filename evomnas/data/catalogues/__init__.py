"""Pictures that a list, a table or an archive names: their labels, their splits, and where each is.

- `entries`: what all of them have in common: class names, splits, and pictures that cannot be used.
- `csv_file`: a CSV file of paths and labels.
- `parquet_files`: the parquet files of a data set of Hugging Face.
- `tar_shards`: the tar files of a data set in WebDataset's form.
- `npz_pictures`: arrays under MedMNIST's names.
- `finding`: from a path to the pictures that are listed there.
"""
