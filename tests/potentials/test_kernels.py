"""The compiled kernels against plain torch: energies, forces, stress, features and gradients by the weights."""

import copy
import pickle

import numpy as np
import pytest
import torch
from ase.build import bulk

import sciml_zoo as sz
from sciml_zoo.potentials.kernels import kernels_available, native
from sciml_zoo.potentials.kernels.tables import CHANNELS
from tests.potentials.cases import ELEMENTS, inputs, random_molecule


def _model(n_channels: int = 16, **options: int) -> torch.nn.Module:
    torch.manual_seed(0)
    model = sz.create_model(
        "gto_potential", elements=ELEMENTS, cutoff=4.0, n_channels=n_channels, n_hidden=16, **options
    )
    rng = np.random.default_rng(0)
    model.calibrate(**inputs([random_molecule(rng) for _ in range(12)], 4.0))
    return model.eval()


def _close(fast: torch.Tensor, plain: torch.Tensor, tolerance: float = 1e-5) -> bool:
    return bool((fast - plain).norm() <= tolerance * plain.norm())


def test_the_kernels_are_compiled_here():
    assert kernels_available(torch.device("cpu"), torch.float32)
    assert not kernels_available(torch.device("cpu"), torch.float64)


@pytest.mark.parametrize("n_channels", CHANNELS)
@pytest.mark.parametrize("l_message", [0, 3])
def test_kernels_agree_with_torch(n_channels, l_message):
    model = _model(n_channels, l_message=l_message, n_radial=7)
    rng = np.random.default_rng(1)
    batch = inputs([random_molecule(rng) for _ in range(6)], 4.0)
    fast = model(**batch, features=True)
    model.use_kernels = False
    plain = model(**batch, features=True)
    for name in plain:
        assert _close(fast[name], plain[name]), name


@pytest.mark.parametrize("options", [{"linear_readout": True}, {"n_rounds": 1}, {"n_rounds": 3, "l_message": 1}])
def test_every_shape_agrees_with_torch(options):
    model = _model(**options)
    batch = inputs([random_molecule(np.random.default_rng(seed)) for seed in range(9)], 4.0)
    fast = model(**batch, features=True)
    model.use_kernels = False
    plain = model(**batch, features=True)
    for name in plain:
        assert _close(fast[name], plain[name], 1e-4), name  # three rounds of random weights amplify rounding


def test_changed_weights_are_noticed():
    model = _model()
    batch = inputs([random_molecule(np.random.default_rng(3))], 4.0)
    before = model(**batch)["energy"]
    with torch.no_grad():
        model.rounds[0].readout.energy.mul_(2.0)
    after = model(**batch)["energy"]
    assert not torch.equal(before, after)
    model.use_kernels = False
    assert _close(after, model(**batch)["energy"])


def test_copies_and_pickles_evaluate_on_their_own():
    model = _model()
    batch = inputs([random_molecule(np.random.default_rng(4))], 4.0)
    expected = model(**batch)["forces"]
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(other(**batch)["forces"], expected)


def test_gradients_by_the_weights_agree_with_torch():
    model = _model(l_message=2).train()
    batch = inputs([random_molecule(np.random.default_rng(2)) for _ in range(4)], 4.0)
    gradients = []
    for use in (True, False):
        model.use_kernels = use
        model.zero_grad()
        model(**batch, forces=False)["energy"].sum().backward()
        gradients.append({name: p.grad for name, p in model.named_parameters()})
    for name, plain in gradients[1].items():
        assert _close(gradients[0][name], plain, 1e-4), name


def test_stress_of_a_crystal_with_edges_in_any_order_agrees_with_torch():
    model = _model()
    crystal = bulk("C", "diamond", a=3.57)
    crystal.rattle(0.05, seed=1)
    batch = inputs([crystal], 4.0)
    model.use_kernels = False
    plain = model(**batch, stress=True)
    model.use_kernels = True
    order = torch.randperm(batch["edge_index"].shape[1], generator=torch.Generator().manual_seed(0))
    batch["edge_index"], batch["edge_shift"] = batch["edge_index"][:, order], batch["edge_shift"][order]
    fast = model(**batch, stress=True)
    for name in ("energy", "forces", "stress"):
        assert _close(fast[name], plain[name]), name


def test_the_number_of_threads_does_not_matter():
    model = _model().train()
    batch = inputs([random_molecule(np.random.default_rng(3)) for _ in range(8)], 4.0)
    before = torch.get_num_threads()
    gradients, forces = [], []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            model.zero_grad()
            model(**batch, forces=False)["energy"].sum().backward()
            gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
            forces.append(model.eval()(**batch)["forces"])
            model.train()
    finally:
        torch.set_num_threads(before)
    assert _close(gradients[1], gradients[0])
    assert _close(forces[1], forces[0])


def test_a_second_derivative_through_the_kernels_is_refused():
    vectors = torch.randn(5, 3, requires_grad=True)
    power, pair = torch.tensor([1.0, 2.0]), torch.zeros(5, dtype=torch.long)
    g, _ = native.basis(vectors, torch.zeros(1, 2), power, pair, 4.0)
    (first,) = torch.autograd.grad(g.square().sum(), vectors, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


def test_atoms_without_neighbours_have_no_forces():
    model = _model()
    batch = inputs([random_molecule(np.random.default_rng(4), 1)], 4.0)
    output = model(**batch)
    assert output["forces"].tolist() == [[0.0, 0.0, 0.0]]
    assert output["energy"].isfinite().all()
