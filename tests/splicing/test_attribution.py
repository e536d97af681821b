"""Attributions against what they must be: exact for linear logits, complete for any, mirrored on the other strand."""

import copy

import numpy as np
import pytest
import torch

import sciml_zoo as sz
from sciml_zoo.errors import InputError
from sciml_zoo.splicing.attribution import KINDS, METHODS, STRANDS, attribution
from sciml_zoo.splicing.model import SpliceModel
from sciml_zoo.splicing.sequences import reverse_complement
from tests.splicing.toy_models import Dinucleotides, Linear


def codes_with_unknown(length: int = 40, seed: int = 0) -> np.ndarray:
    codes = np.random.default_rng(seed).integers(0, 4, length).astype(np.uint8)
    codes[[5, 20]] = 4
    return codes


def network(name: str, **shape: int) -> SpliceModel:
    torch.manual_seed(3)
    model = sz.create_model(name, **shape)
    with torch.no_grad():  # far from the initial weights, where the logits hardly depend on the bases
        for parameter in model.parameters():
            parameter.add_(0.4 * torch.randn_like(parameter))
    return model


def networks() -> list[SpliceModel]:
    return [network("splice_rnn", channels=8, states=8, blocks=2), network("splice_lstm", states=8)]


def logit(model: SpliceModel, bases: torch.Tensor, site: tuple[int, int, int]) -> float:
    with torch.no_grad():
        return float(model.from_one_hot(bases[None])[0, *site])


def vectors(codes: np.ndarray) -> np.ndarray:
    return (codes[:, None] == np.arange(4)).astype(float)


@pytest.mark.parametrize("strand", STRANDS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("position", [0, 3, 20, 39])
def test_of_linear_logits_each_is_given_by_the_weights(strand, kind, position) -> None:
    model, codes = Linear(), codes_with_unknown()
    weights = model.weight.detach().numpy()[KINDS.index(kind)]
    if strand == "-":
        weights = weights[::-1, ::-1]
    slopes = np.zeros((40, 4))
    for l in range(40):  # noqa: E741
        if abs(l - position) <= model.halo:
            slopes[l] = weights[:, l - position + model.halo]
    x, known = vectors(codes), codes[:, None] < 4
    expected = {
        "gradient": slopes * x,
        "integrated": slopes * (x - 0.25) * known,
        "mutagenesis": (slopes - (slopes * x).sum(1, keepdims=True)) * (1 - x),
    }
    for method, values in expected.items():
        found = attribution(model, codes, position, strand, kind, method=method, steps=3)
        np.testing.assert_allclose(found, values, atol=1e-12)


@pytest.mark.parametrize(
    ("model", "dtype"), [(networks()[0], torch.float32), (networks()[0], torch.float64), (networks()[1], torch.float32)]
)
def test_integrated_gradients_are_complete(model: SpliceModel, dtype: torch.dtype) -> None:
    model = copy.deepcopy(model).to(dtype)
    codes = codes_with_unknown(60)
    x = torch.from_numpy(vectors(codes)).to(dtype)
    for site in ((30, 0, 0), (10, 1, 1)):
        found = attribution(model, codes, site[0], STRANDS[site[1]], KINDS[site[2]], method="integrated")
        difference = logit(model, x, site) - logit(model, x.sum(1, keepdim=True).expand(-1, 4) / 4, site)
        assert abs(difference) > 0.01
        assert found.sum() == pytest.approx(difference, rel=1e-3 if dtype == torch.float32 else 1e-6)
        assert not found[[5, 20]].any()


@pytest.mark.parametrize("model", networks(), ids=["splice_rnn", "splice_lstm"])
def test_gradient_and_mutagenesis_are_differences_of_logits(model: SpliceModel) -> None:
    model, codes, site = copy.deepcopy(model).double(), codes_with_unknown(), (17, 1, 0)
    x = torch.from_numpy(vectors(codes))
    gradient, mutagenesis = (
        attribution(model, codes, 17, "-", "donor", method=method) for method in ("gradient", "mutagenesis")
    )
    step = 1e-5
    for place, letter in ((17, codes[17]), (16, codes[16]), (30, codes[30])):
        ends = []
        for sign in (1, -1):
            moved = x.clone()
            moved[place, letter] += sign * step
            ends.append(logit(model, moved, site))
        assert gradient[place, letter] == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-5, abs=1e-9)
    for place, letter in ((17, 0), (18, 3), (5, 2)):
        changed = codes.copy()
        changed[place] = letter
        expected = logit(model, torch.from_numpy(vectors(changed)), site) - logit(model, x, site)
        assert mutagenesis[place, letter] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_the_other_strand_is_a_mirror(method) -> None:
    model, codes = networks()[0].double(), codes_with_unknown()
    direct = attribution(model, codes, 12, "+", "acceptor", method=method)
    mirrored = attribution(model, reverse_complement(codes), 27, "-", "acceptor", method=method)
    np.testing.assert_allclose(mirrored[::-1, ::-1], direct, atol=1e-9)
    assert np.abs(direct).max() > 1e-3


def test_mutagenesis_finds_the_two_bases_that_matter_and_those_that_would_make_a_site() -> None:
    codes = np.array([1, 1, 2, 3, 1, 1], np.uint8)
    found = attribution(Dinucleotides(), codes, 2, "+", "donor", method="mutagenesis")
    expected = np.zeros((6, 4))
    expected[2, [0, 1, 3]] = expected[3, [0, 1, 2]] = -40
    np.testing.assert_array_equal(found, expected)


def test_parts_do_not_change_the_result(monkeypatch) -> None:
    model, codes = networks()[0].double(), codes_with_unknown()
    whole = [attribution(model, codes, 9, "+", "donor", method=method) for method in METHODS]
    monkeypatch.setattr("sciml_zoo.splicing.attribution._BATCH", 130)
    for method, expected in zip(METHODS, whole, strict=True):
        np.testing.assert_allclose(attribution(model, codes, 9, "+", "donor", method=method), expected, atol=1e-12)


def test_the_model_is_left_as_it_is() -> None:
    model = networks()[1].train()
    before = copy.deepcopy(model.state_dict())
    for method in METHODS:
        attribution(model, codes_with_unknown(), 9, "+", "donor", method=method)
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"position": 40}, "position 40"),
        ({"position": -1}, "position -1"),
        ({"codes": np.zeros((2, 50), np.uint8)}, "expected one in"),
        ({"strand": "1"}, "strand: '1' is none of '\\+', '-'"),
        ({"kind": "Donor"}, "kind: 'Donor'"),
        ({"method": "shap"}, "method: 'shap'"),
        ({"steps": 0}, "steps: 0"),
    ],
)
def test_bad_input(changes, words: str) -> None:
    arguments = {"codes": codes_with_unknown(), "position": 9, "strand": "+", "kind": "donor"} | changes
    with pytest.raises(InputError, match=words):
        attribution(Linear(), **arguments)
