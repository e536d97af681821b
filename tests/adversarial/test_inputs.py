"""Other inputs than images: relaxed bases of a splice-site network, positions of atoms, any function."""

import torch
import torch.nn.functional as F
from ase.build import molecule
from torch import Tensor

import sciml_zoo as sz
from sciml_zoo.adversarial import LossPotential, Path, audit, loops, random_paths, work
from sciml_zoo.adversarial.attacks import pgd_l2
from sciml_zoo.potentials import ConfigurationEnergy


def bases(n: int) -> Tensor:
    codes = torch.randint(0, 4, (n, 40), generator=torch.Generator().manual_seed(0))
    return F.one_hot(codes, 4).double()


def site_loss(logits: Tensor, labels: Tensor | None) -> Tensor:
    """Returns the loss of there being a donor on the plus strand at base 20, [n]."""
    assert labels is not None
    return F.binary_cross_entropy_with_logits(logits[:, 20, 0, 0], labels, reduction="none")


def test_relaxed_bases_of_a_splice_site_network():
    model = sz.load_model("splice_rnn.uci")
    inputs, labels = bases(2), torch.zeros(2, dtype=torch.float64)
    potential = LossPotential(model.from_one_hot, labels, loss=site_loss, dtype=torch.float64)
    value, gradient = potential.value_and_gradient(inputs)
    moved = (inputs + 0.5 * gradient / gradient.norm()).clamp(0, 1)
    path = random_paths(inputs, moved, generator=torch.Generator().manual_seed(1))
    found = work(potential, path)
    assert (potential.value(moved) > value).all()
    assert (found.closure <= 1e-8 * found.delta_loss.abs().clamp(min=1e-3)).all()
    assert next(model.parameters()).dtype == torch.float32


def test_bases_that_change_a_call_are_found_on_the_way_of_an_attack():
    model = sz.load_model("splice_rnn.uci").double()
    sequences = bases(2)

    def calls(relaxed: Tensor) -> Tensor:
        logit: Tensor = model.from_one_hot(relaxed)[:, 20, 0, 0]
        return torch.stack([torch.zeros_like(logit), logit], 1)

    labels = calls(sequences).argmax(1)
    path = pgd_l2(calls, sequences, labels, epsilon=4.0, steps=10, generator=torch.Generator().manual_seed(0))
    assert path.success.any()
    found = work(LossPotential(calls, labels), path)
    assert (found.closure <= 1e-8 * found.delta_loss.abs().clamp(min=1e-3)).all()


def test_positions_of_atoms():
    ethanol = molecule("CH3CH2OH")
    model = sz.load_model("gto_potential.rmd17_ethanol")
    potential = LossPotential(ConfigurationEnergy(model, ethanol), loss=None, dtype=torch.float64)
    positions = torch.from_numpy(ethanol.positions)[None]
    force = potential.force(positions)[0]
    ethanol.calc = sz.potentials.ZooCalculator("gto_potential.rmd17_ethanol")
    torch.testing.assert_close(force, torch.from_numpy(ethanol.get_forces()), atol=2e-4, rtol=0)
    generator = torch.Generator().manual_seed(0)
    found = work(potential, loops(positions, size=0.3, corners=3, generator=generator), floor=1e-2)
    assert float(found.work.abs()) <= 1e-8 * float(found.dissipation)
    stretched = positions + 0.1 * torch.randn(positions.shape, generator=generator, dtype=torch.float64)
    climbed = work(potential, Path.straight(positions, stretched))
    assert float(climbed.closure) <= 1e-8 * float(climbed.delta_loss.abs())


def test_any_function():
    def bowl(x: Tensor) -> Tensor:
        return x.square().sum(1)

    inputs = torch.ones(2, 3, dtype=torch.float64)
    found = work(LossPotential(bowl, loss=None), Path.straight(torch.zeros_like(inputs), inputs))
    torch.testing.assert_close(found.work, torch.full((2,), 3.0, dtype=torch.float64))
    assert audit(bowl, inputs, None, None).honest
