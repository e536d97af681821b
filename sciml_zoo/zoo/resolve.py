"""From a reference to a checkpoint directory on this machine, checked.

===================== ================================================================================================
``NAME``              weights on the shelf: in the package, else in the cache, else downloaded; every file's sha256 is
                      checked against the manifest each time
``local-dir:PATH``    a checkpoint directory
``hf-hub:ORG/REPO@R`` a repository on the Hugging Face Hub at revision R (needs ``pip install 'sciml-zoo[hub]'``)
===================== ================================================================================================
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from sciml_zoo._files import directory_lock, settle_directory, sha256_of, staged_directory
from sciml_zoo.errors import FailureError, InputError, nearest
from sciml_zoo.zoo.layout import FILES, REQUIRED
from sciml_zoo.zoo.manifest import Weights, get_weights, manifest

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["load_model", "resolve", "weights_cache"]

PACKAGED = Path(__file__).with_name("weights")
_SCHEMES = ("local-dir", "hf-hub")


def weights_cache() -> Path:
    """Returns where downloaded weights lie: ``weights`` in SCIML_ZOO_CACHE, or else in the user's cache directory."""
    root = os.environ.get("SCIML_ZOO_CACHE")
    if root:
        return Path(root).expanduser() / "weights"
    import platformdirs

    return platformdirs.user_cache_path("sciml_zoo") / "weights"


def load_model(reference: str, *, device: str | torch.device = "cpu") -> nn.Module:
    """Loads a trained model.

    Args:
        reference: a name on the shelf, ``local-dir:PATH`` or ``hf-hub:ORG/REPO@REVISION``.
        device: where the model is to be.

    Returns:
        The model in eval mode; each tensor has the dtype in which it was saved.
    """
    from sciml_zoo.zoo.checkpoint import load_checkpoint

    return load_checkpoint(resolve(reference), device=device)


def resolve(reference: str, *, cache: Path | None = None) -> Path:
    """Finds the checkpoint directory that a reference names, downloading it if need be.

    Args:
        reference: a name on the shelf, ``local-dir:PATH`` or ``hf-hub:ORG/REPO@REVISION``.
        cache: where downloaded weights lie; by default :func:`weights_cache`.

    Returns:
        The directory. For a name on the shelf, each file agrees with the manifest.

    Raises:
        InputError: the reference is wrong, or a file is not what the manifest says.
        FailureError: the download failed, or these weights are neither in the package nor on the net.
    """
    reference = os.fspath(reference)
    scheme, colon, rest = reference.partition(":")
    cache = weights_cache() if cache is None else cache
    if scheme == "local-dir" and colon:
        return _from_directory(rest)
    if scheme == "hf-hub" and colon:
        return _from_hub(rest, cache)
    if "://" in reference:
        raise InputError(f"{reference}: a URL is not a reference; download the directory and use local-dir:PATH")
    misspelt = re.fullmatch(r"[a-z][a-z-]+", scheme) and colon and not Path(reference).exists()
    if not misspelt and reference not in manifest() and _looks_like_path(reference):
        raise InputError(f"{reference!r} is a path, not a name on the shelf: did you mean 'local-dir:{reference}'?")
    if colon:
        raise InputError(f"{reference}: unknown kind of reference {scheme!r}: {nearest(scheme, _SCHEMES)}")
    return _from_shelf(get_weights(reference), cache)


def _looks_like_path(reference: str) -> bool:
    if "/" in reference or "\\" in reference or reference[:1] in (".", "~"):
        return True
    try:
        return reference != "" and Path(reference).exists()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _from_directory(path: str) -> Path:
    try:
        directory = Path(path).expanduser()
        settle_directory(directory)
        found = path != "" and directory.exists()
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(f"local-dir:{path}: {error}") from error
    if not found:
        raise InputError(f"local-dir:{path}: there is no such directory")
    return directory


def _from_shelf(row: Weights, cache: Path) -> Path:
    packaged = PACKAGED / row.name
    if packaged.is_dir():
        _require_intact(packaged, row, "reinstall it: pip install --force-reinstall --no-deps sciml-zoo")
        return packaged
    if row.url is None:
        raise FailureError(
            f"{row.name} is not in this installation and cannot be downloaded; "
            "reinstall it: pip install --force-reinstall --no-deps sciml-zoo"
        )
    # Weights of the same name from another release of the package lie beside these, not in their place.
    content = "".join(row.files[name].sha256 for name in FILES)
    target = cache / f"{row.name}@{hashlib.sha256(content.encode()).hexdigest()[:16]}"
    settle_directory(target)
    if not target.exists():
        _download(row, row.url, target)
    _require_intact(target, row, f"delete {target} and load it again")
    return target


def _download(row: Weights, url: str, target: Path) -> None:
    from sciml_zoo.datasets.download import download

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with directory_lock(target):
            if target.exists():  # another process was faster
                return
            with staged_directory(target) as staged:
                for name in FILES:
                    record = row.files[name]
                    download(f"{url.rstrip('/')}/{name}", staged / name, sha256=record.sha256, size=record.size)
    except OSError as error:
        raise FailureError(f"could not download {row.name} to {target}: {error}") from error


def _require_intact(directory: Path, row: Weights, remedy: str) -> None:
    for name in FILES:
        path = directory / name
        if not path.is_file() or not path.resolve().is_relative_to(directory.resolve()):
            raise InputError(f"{row.name}: {path} is missing or leads elsewhere; {remedy}")
        size = path.stat().st_size
        if size != row.files[name].size:
            raise InputError(f"{row.name}: {path} has {size} bytes instead of {row.files[name].size}; {remedy}")
        found = sha256_of(path)
        if found != row.files[name].sha256:
            raise InputError(f"{row.name}: {path} has sha256 {found} instead of {row.files[name].sha256}; {remedy}")


def _from_hub(rest: str, cache: Path) -> Path:
    repository, at, revision = rest.partition("@")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository) or (at and not re.fullmatch(r"[\w./-]+", revision)):
        raise InputError(f"hf-hub:{rest}: expected hf-hub:ORG/REPO@REVISION, such as hf-hub:someone/ethanol@v1")
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise InputError(f"hf-hub:{rest} needs huggingface_hub: pip install 'sciml-zoo[hub]'") from error
    if not revision:
        warnings.warn(f"hf-hub:{rest} names no revision and may change; pin it: hf-hub:{rest}@COMMIT", stacklevel=3)
    try:
        snapshot = Path(snapshot_download(repository, revision=revision or None, allow_patterns=list(FILES)))
    except Exception as error:  # the library's errors differ from release to release and come from its HTTP library too
        raise FailureError(f"hf-hub:{rest} could not be fetched: {type(error).__name__}: {error}") from error
    missing = [name for name in REQUIRED if not (snapshot / name).is_file()]
    if missing:
        raise InputError(
            f"hf-hub:{rest} is no sciml_zoo checkpoint: it lacks {', '.join(missing)} (pickles are never read)"
        )
    return _without_links(snapshot, cache / "hf-hub" / f"{repository.replace('/', '--')}@{snapshot.name}")


def _without_links(snapshot: Path, target: Path) -> Path:
    # The Hub's cache holds links to blobs beside the snapshot; a checkpoint's files must not lead out of its directory.
    names = [name for name in FILES if (snapshot / name).is_file()]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with directory_lock(target):
            if not all((target / n).is_file() and sha256_of(target / n) == sha256_of(snapshot / n) for n in names):
                with staged_directory(target) as staged:
                    for name in names:
                        shutil.copyfile(snapshot / name, staged / name)
    except OSError as error:
        raise FailureError(f"could not copy {snapshot} to {target}: {error}") from error
    return target
