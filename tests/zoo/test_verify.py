"""Golden predictions are replayed, and a model that predicts something else does not pass."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sciml_zoo.errors import FailureError, InputError
from sciml_zoo.zoo.checkpoint import save_model
from sciml_zoo.zoo.golden import compare
from sciml_zoo.zoo.tensors import pack, unpack
from sciml_zoo.zoo.verify import VerificationError, verify

from .toy import Toy, edit_json


def rewrite(path: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = unpack(path.read_bytes(), "test")
    change(tensors)
    path.write_bytes(pack(tensors))


def test_a_saved_model_verifies(saved: Path) -> None:
    report = verify(f"local-dir:{saved}")
    assert report.name == f"local-dir:{saved}"
    assert sorted(output.name for output in report.outputs) == ["count", "energy", "force"]
    assert report.n_outputs == 3
    assert {output.name: output.size for output in report.outputs} == {"count": 1, "energy": 1, "force": 20}
    assert report.max_abs_error == report.max_rel_error == 0.0


def test_a_changed_weight_is_found(saved: Path) -> None:
    rewrite(
        saved / "model.safetensors", lambda t: [t[name][0, 0].add_(1e-2) for name in ("linear.weight", "tied.weight")]
    )
    with pytest.raises(VerificationError, match=r"output '(energy|force)' differs .* by [\d.e-]+ .*beyond atol 1e-05"):
        verify(f"local-dir:{saved}")
    edit_json(saved / "config.json", golden={"rtol": 0.0, "atol": 0.1})
    assert 0 < verify(f"local-dir:{saved}").max_abs_error < 0.1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda golden: golden["output.force"][1, 2].add_(1e-3), r"output 'force' differs .* by 0\.001"),
        (lambda golden: golden["output.count"].add_(1), r"output 'count' differs .* by 1 "),
        (lambda golden: golden["output.force"][0, 0].fill_(math.nan), r"output 'force' differs .* by inf"),
        (lambda golden: golden["output.force"][0, 0].fill_(math.inf), r"output 'force' differs .* by inf"),
        (
            lambda golden: golden.update({"output.force": torch.zeros(4, 6)}),
            r"'force' is torch.float32 \[4, 5\] instead",
        ),
        (lambda golden: golden.update({"output.energy": torch.zeros(()).double()}), r"instead of torch.float64 \[\]"),
        (lambda golden: golden.pop("output.force"), r"outputs \['count', 'energy', 'force'\] instead of the golden"),
        (lambda golden: golden.update({"output.stress": torch.zeros(3)}), r"instead of the golden .*'stress'"),
        (lambda golden: golden.update({"input.y": torch.zeros(3)}), r"fails on its golden inputs: .*'y'"),
        (lambda golden: golden.update({"input.x": torch.zeros(4, 7)}), r"fails on its golden inputs"),
    ],
)
def test_a_prediction_that_differs_is_found(saved: Path, change: Callable, message: str) -> None:
    rewrite(saved / "golden.safetensors", change)
    with pytest.raises(VerificationError, match=message) as caught:
        verify(f"local-dir:{saved}")
    assert isinstance(caught.value, FailureError)
    assert str(saved) in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda golden: golden.update({"weight": torch.zeros(1)}),
        lambda golden: [golden.pop(name) for name in list(golden) if name.startswith("output.")],
    ],
)
def test_a_file_that_holds_no_golden_predictions(saved: Path, change: Callable) -> None:
    rewrite(saved / "golden.safetensors", change)
    with pytest.raises(InputError, match=r"golden\.safetensors: expected tensors input\.<name> and output\.<name>"):
        verify(f"local-dir:{saved}")


def test_a_truncated_golden_file(saved: Path) -> None:
    path = saved / "golden.safetensors"
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(InputError, match=r"golden\.safetensors: truncated"):
        verify(f"local-dir:{saved}")


def test_a_model_that_overwrites_its_input_verifies(
    model: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Toy, "forward", lambda self, x: x.mul_(2) + 1)
    save_model(model, tmp_path / "out")
    assert verify(f"local-dir:{tmp_path / 'out'}").max_abs_error == 0.0


def test_verification_leaves_the_random_generators_alone(saved: Path) -> None:
    before = torch.get_rng_state()
    verify(f"local-dir:{saved}")
    assert torch.equal(before, torch.get_rng_state())


@given(
    st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), min_size=1),
    st.sampled_from([0.0, 1e-5, 1.0]),
    st.sampled_from([0.0, 1e-5, 1.0]),
)
def test_agreement_is_that_of_torch(pairs: list[tuple[float, float]], rtol: float, atol: float) -> None:
    found, golden = torch.tensor(pairs, dtype=torch.float64).T
    agrees = (found - golden).abs() <= atol + rtol * golden.abs()
    deviation = compare("x", found, golden, rtol, atol)
    # Rounding may decide a tie either way: an excess of exactly 1 is a tie.
    if abs(deviation.max_excess - 1) > 1e-12:
        assert (deviation.max_excess <= 1) == bool(agrees.all())
    assert deviation.max_abs_error == float((found - golden).abs().max())


@pytest.mark.parametrize(
    ("found", "golden", "excess"),
    [
        ([math.inf, -math.inf], [math.inf, -math.inf], 0.0),
        ([math.inf], [-math.inf], math.inf),
        ([1.0], [math.inf], math.inf),
        ([math.inf], [1.0], math.inf),
        ([math.nan], [1.0], math.inf),
        ([math.nan], [math.nan], math.inf),
        ([], [], 0.0),
        ([1 + 1j], [1 + 1j], 0.0),
        ([True, False], [True, True], 1e5),
    ],
)
def test_special_values(found: list, golden: list, excess: float) -> None:
    deviation = compare("x", torch.tensor(found), torch.tensor(golden), 0.0, 1e-5)
    assert deviation.max_excess == pytest.approx(excess)
