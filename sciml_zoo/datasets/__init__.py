"""The data catalogue: a data set's name → local files.

Example:
    >>> from sciml_zoo.datasets import dataset_file, list_datasets
    >>> [dataset.name for dataset in list_datasets("rmd17_*")]
    ['rmd17_aspirin', 'rmd17_ethanol']
    >>> dataset_file("rmd17_ethanol", "train.xyz")  # doctest: +SKIP
    PosixPath('/data/potentials/rmd17_ethanol/train.xyz.gz')
"""

from sciml_zoo.datasets.catalog import (
    DataFile,
    Dataset,
    UnknownDatasetError,
    UnknownFileError,
    Upstream,
    get_dataset,
    list_datasets,
)
from sciml_zoo.datasets.download import ChecksumError, DownloadError, UnsafeURLError
from sciml_zoo.datasets.locate import (
    DataFolderError,
    MissingDataError,
    NoDownloadError,
    OfflineError,
    dataset_file,
    dataset_path,
    dataset_place,
    fetch_dataset,
    referenced_file,
)

__all__ = [
    "ChecksumError",
    "DataFile",
    "DataFolderError",
    "Dataset",
    "DownloadError",
    "MissingDataError",
    "NoDownloadError",
    "OfflineError",
    "UnknownDatasetError",
    "UnknownFileError",
    "UnsafeURLError",
    "Upstream",
    "dataset_file",
    "dataset_path",
    "dataset_place",
    "fetch_dataset",
    "get_dataset",
    "list_datasets",
    "referenced_file",
]
