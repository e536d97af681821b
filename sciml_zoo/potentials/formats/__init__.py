"""Structure files of several formats → ASE structures, whose labels are calculator results in ASE's units.

=====================  ==========================================================  =====================================
format                 recognised by                                               module
=====================  ==========================================================  =====================================
extxyz                 ``.xyz``, ``.extxyz``, also ``.gz``                         :mod:`~.ase_files`
ASE data base          ``.db``; ``.json`` that ``ase.db`` wrote                    :mod:`~.ase_database`
pymatgen JSON          ``.json``, also ``.gz``, with structures of pymatgen        :mod:`~.pymatgen_json`
DeePMD npy             a folder with ``type.raw``, or of several such folders      :mod:`~.deepmd`
MD17, rMD17, sGDML     ``.npz``                                                    :mod:`~.md17`
HDF5                   ``.h5``, ``.hdf5`` (needs ``pip install 'sciml-zoo[hdf5]'``)  :mod:`~.hdf5`
any other              all else that ``ase.io.read`` knows                         :mod:`~.ase_files`
=====================  ==========================================================  =====================================
"""

from collections.abc import Iterator
from pathlib import Path

from ase import Atoms

from sciml_zoo.errors import InputError
from sciml_zoo.potentials.formats import ase_database, ase_files, deepmd, hdf5, md17, pymatgen_json
from sciml_zoo.potentials.formats.labels import LabelKeys

__all__ = ["LabelKeys", "read_frames"]


def read_frames(path: Path, keys: LabelKeys) -> Iterator[tuple[str, Atoms]]:
    """Reads a file or folder, frame by frame.

    Args:
        path: the file; for DeePMD the folder.
        keys: the names of the labels.

    Yields:
        The name of each frame in messages, and the structure.

    Raises:
        InputError: naming the file and the frame of what is missing or damaged, and the remedy.
    """
    if path.is_dir():
        yield from deepmd.read(path, keys)
        return
    if not path.is_file():
        raise InputError(f"{path}: {'not a file; give a structure file' if path.exists() else 'no such file'}")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty")
    name = path.name.removesuffix(".gz")
    if name.endswith(".json"):
        yield from (pymatgen_json if pymatgen_json.recognises(path) else ase_database).read(path, keys)
    elif name.endswith(".db"):
        yield from ase_database.read(path, keys)
    elif name.endswith(".npz"):
        yield from md17.read(path, keys)
    elif name.endswith((".h5", ".hdf5")):
        yield from hdf5.read(path, keys)
    else:
        yield from ase_files.read(path)
