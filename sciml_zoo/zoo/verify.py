"""Does a model still predict here what it predicted when it was saved?"""

from dataclasses import dataclass

import torch

from sciml_zoo.errors import FailureError, InputError
from sciml_zoo.zoo.checkpoint import build_model, read_checkpoint
from sciml_zoo.zoo.golden import Deviation, compare, predict
from sciml_zoo.zoo.layout import GOLDEN
from sciml_zoo.zoo.resolve import resolve
from sciml_zoo.zoo.tensors import unpack

__all__ = ["VerificationError", "VerificationReport", "verify"]


class VerificationError(FailureError):
    """A model does not give its golden predictions."""


@dataclass(frozen=True)
class VerificationReport:
    """The outcome of a verification that succeeded.

    Attributes:
        name: the reference that was verified.
        rtol: the relative tolerance.
        atol: the absolute tolerance, in each output's unit.
        outputs: the deviation of each output.
    """

    name: str
    rtol: float
    atol: float
    outputs: tuple[Deviation, ...]

    @property
    def n_outputs(self) -> int:
        """The number of outputs compared."""
        return len(self.outputs)

    @property
    def max_abs_error(self) -> float:
        """The largest absolute error over all outputs."""
        return max(output.max_abs_error for output in self.outputs)

    @property
    def max_rel_error(self) -> float:
        """The largest relative error over all outputs."""
        return max(output.max_rel_error for output in self.outputs)


def verify(reference: str, *, device: str | torch.device = "cpu") -> VerificationReport:
    """Loads a model and replays its golden predictions.

    Args:
        reference: a name on the shelf, ``local-dir:PATH`` or ``hf-hub:ORG/REPO@REVISION``.
        device: where to predict.

    Returns:
        How far each output is from the golden one; all are within the checkpoint's tolerances.

    Raises:
        InputError: the checkpoint cannot be loaded, or holds no golden predictions.
        VerificationError: an output is missing, has another shape or dtype, or differs by more than the tolerance.
    """
    stored = read_checkpoint(resolve(reference))
    model = build_model(stored, device=device)
    where = f"{stored.directory}/{GOLDEN}"
    golden = unpack(stored.golden, where)
    inputs = {name.removeprefix("input."): value for name, value in golden.items() if name.startswith("input.")}
    expected = {name.removeprefix("output."): value for name, value in golden.items() if name.startswith("output.")}
    if not expected or len(inputs) + len(expected) != len(golden):
        raise InputError(f"{where}: expected tensors input.<name> and output.<name>; save the model again")
    try:
        found = predict(model, inputs)
    except (RuntimeError, TypeError, ValueError, LookupError) as error:
        raise VerificationError(f"{reference}: the model fails on its golden inputs: {error}") from error
    if found.keys() != expected.keys():
        raise VerificationError(f"{reference}: outputs {sorted(found)} instead of the golden {sorted(expected)}")
    tolerance = stored.config.golden
    deviations = []
    for name, value in expected.items():
        if (found[name].shape, found[name].dtype) != (value.shape, value.dtype):
            shapes = f"{found[name].dtype} {list(found[name].shape)} instead of {value.dtype} {list(value.shape)}"
            raise VerificationError(f"{reference}: output {name!r} is {shapes}")
        deviations.append(compare(name, found[name], value, tolerance.rtol, tolerance.atol))
    worst = max(deviations, key=lambda deviation: deviation.max_excess)
    if worst.max_excess > 1:
        raise VerificationError(
            f"{reference}: output {worst.name!r} differs from the golden prediction by {worst.max_abs_error:.3g} "
            f"(relative {worst.max_rel_error:.3g}), beyond atol {tolerance.atol:g} + rtol {tolerance.rtol:g}·|golden|"
        )
    return VerificationReport(reference, tolerance.rtol, tolerance.atol, tuple(deviations))
