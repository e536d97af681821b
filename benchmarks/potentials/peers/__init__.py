"""Scripts and modules that run in the environments of other packages."""

import typing

from torch.utils.data import dataloader

# SchNetPack 2.1.1 imports this name of a type, which newer versions of torch have not.
if not hasattr(dataloader, "T_co"):
    dataloader.T_co = typing.TypeVar("T_co", covariant=True)  # type: ignore[attr-defined]
