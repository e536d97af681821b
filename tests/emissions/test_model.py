"""The network's laws: shocks, recursion, members, limits, gradients."""

import numpy as np
import pytest
import torch

import sciml_zoo as sz
from sciml_zoo.emissions.model import EmissionsForecaster, EmissionsForecasterConfig, YearAhead
from sciml_zoo.errors import InputError
from sciml_zoo.zoo.checkpoint import save_model
from sciml_zoo.zoo.verify import verify

from .toy_panels import scrambled


def year_ahead(skewness: float, tail: float, n: int = 1) -> YearAhead:
    full = torch.full((n,), 1.0, dtype=torch.float64)
    return YearAhead(0.2 * full, 0.1 * full, skewness * full, tail * full, full.new_zeros(n, 0))


def own_shocks(skewness: float, tail: float, noise: torch.Tensor) -> torch.Tensor:
    return year_ahead(skewness, tail, len(noise)).change(noise, noise.new_zeros(len(noise), 0))


def sampled(model: EmissionsForecaster, shocks: torch.Tensor, inputs: dict[str, torch.Tensor] | None = None):
    generator = torch.Generator().manual_seed(3)
    return model.trajectories(**(inputs or model.example_inputs()), shocks=shocks, generator=generator)


NOISE = torch.linspace(-3, 3, 61, dtype=torch.float64)


def test_an_own_shock_without_skewness_and_heavy_tails_is_normal():
    torch.testing.assert_close(own_shocks(0.0, 1.0, NOISE), 0.2 + 0.1 * NOISE)


@pytest.mark.parametrize("skewness", [-0.9, 0.0, 0.6])
@pytest.mark.parametrize("tail", [0.3, 1.0])
def test_an_own_shock_is_monotone_and_its_median_is_the_median(skewness, tail):
    found = own_shocks(skewness, tail, NOISE)
    assert (found.diff() >= 0).all()
    assert found[30].item() == pytest.approx(0.2)


def test_a_smaller_tail_is_heavier_and_skewness_leans_up():
    def ratio(tail: float) -> float:
        shock = own_shocks(0.0, tail, torch.tensor([0.6745, 1.96], dtype=torch.float64)) - 0.2
        return float(shock[1] / shock[0])

    assert ratio(0.4) > 1.5 * ratio(1.0)
    skewed = own_shocks(0.5, 1.0, NOISE) - 0.2
    assert skewed[-1] > -skewed[0]


def test_batch_mates_do_not_matter():
    model = scrambled(members=2)
    inputs = model.example_inputs()
    together = model(**inputs)
    for row in range(3):
        alone = model(**{name: value[row : row + 1] for name, value in inputs.items()})
        for name, value in alone.items():
            torch.testing.assert_close(value[:, 0], together[name][:, row])


def test_sample_s_is_of_member_s_modulo_their_number():
    model = scrambled(members=3)
    medians = model(**model.example_inputs())["median"].detach()
    with torch.no_grad():
        for member in model.members:
            member.spread[-1].weight.zero_()
            member.spread[-1].bias[0] = -30.0
            member.spread[-1].bias[2] = 30.0
    found = sampled(model, torch.zeros(1, 7, 1, 3))[:, :, 0]
    assert (medians.diff(dim=0).abs() > 0.02).all()
    torch.testing.assert_close(found, medians[torch.arange(7) % 3].T, atol=0.005, rtol=0)


def test_a_sampled_year_feeds_the_next_as_if_it_had_been_reported():
    model = scrambled()
    inputs, shocks = model.example_inputs(), 0.1 * torch.randn(1, 1, 3, 3)
    found = sampled(model, shocks)[:, 0]
    generator = torch.Generator().manual_seed(3)
    history = inputs["history"]
    for year in range(3):
        head = model(**(inputs | {"history": history}))
        noise = torch.randn(3, generator=generator)
        change = YearAhead(*(value[0] for value in head.values())).change(noise, shocks[0, :, year])
        history = torch.cat([history, history[:, -1:] + change[:, None]], 1)
        torch.testing.assert_close(history[:, -1] - inputs["history"][:, -1], found[:, year], atol=1e-5, rtol=1e-5)


def test_common_shocks_move_companies_by_their_loadings_and_nothing_else_joins_them():
    model = scrambled()
    with torch.no_grad():
        model.members[0].spread[-1].bias[0] -= 4  # own shocks so small that no limit is met
    loadings = model(**model.example_inputs())["loadings"][0]
    shocks = 0.02 * torch.randn(1, 400, 1, 3)
    moved = (sampled(model, shocks) - sampled(model, torch.zeros_like(shocks)))[..., 0]
    torch.testing.assert_close(moved, loadings @ shocks[0, :, 0].T, atol=1e-5, rtol=1e-4)
    alone = sampled(scrambled(factors=0), torch.zeros(1, 4000, 1, 0))[..., 0].detach().numpy()
    assert np.abs(np.corrcoef(alone) - np.eye(3)).max() < 0.08


def test_no_shock_takes_a_company_beyond_e_times_its_peak_or_further_than_e_cubed_in_a_year():
    model = scrambled(factors=1)
    inputs = model.example_inputs()
    loadings = model(**inputs)["loadings"][0, :, :1].sign()
    room = inputs["history"].nan_to_num(nan=-1e9).max(1).values + 1 - inputs["history"][:, -1]
    for size in (-1e6, 1e6):
        ratios = sampled(model, torch.full((1, 5, 4, 1), size))
        up = (size * loadings[:, 0] > 0)[:, None].expand(3, 5)
        limit = torch.minimum(room, torch.tensor(3.0))[:, None].expand(3, 5)
        torch.testing.assert_close(ratios[..., 0], torch.where(up, limit, -3.0), atol=1e-4, rtol=0)
        steps = ratios.diff(dim=2).abs()
        assert steps.max() <= 3 + 1e-4
        assert (ratios.amax((1, 2)) <= room + 1e-4).all()


def test_the_gradient_through_three_sampled_years_is_the_numerical_one():
    model = scrambled(hidden=3).double()
    inputs = model.example_inputs()
    inputs["history"] = inputs["history"].double()
    shocks = 0.1 * torch.randn(1, 4, 3, 3, dtype=torch.float64)
    weights = [weight for member in model.members for weight in member.parameters()]
    sampled(model, shocks, inputs).square().sum().backward()
    direction = [torch.randn_like(weight) for weight in weights]
    slope = sum((weight.grad * d).sum() for weight, d in zip(weights, direction, strict=True))

    def at(distance: float) -> torch.Tensor:
        with torch.no_grad():
            for weight, d in zip(weights, direction, strict=True):
                weight.add_(distance * d)
            return sampled(model, shocks, inputs).square().sum()

    step = 1e-6
    numerical = (at(step) - at(-2 * step)) / (2 * step)
    assert slope.abs() > 1e-3
    torch.testing.assert_close(slope, numerical, rtol=1e-5, atol=1e-8)


def test_the_registered_model_is_saved_verified_and_loaded(tmp_path):
    model = scrambled(members=2, sectors=("Energy",), drivers=("gdp",))
    assert isinstance(sz.create_model("emissions_rnn"), EmissionsForecaster)
    save_model(model, tmp_path / "saved")
    assert verify(f"local-dir:{tmp_path / 'saved'}").max_abs_error == 0
    loaded = sz.load_model(f"local-dir:{tmp_path / 'saved'}")
    assert loaded.config == model.config
    torch.testing.assert_close(loaded.state_dict(), model.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("key", "value"),
    [("hidden", 0), ("members", 0), ("factors", -1), ("dropout", 1.0), ("prior_drift", 0.0), ("level_spread", 0.0)],
)
def test_an_impossible_shape_is_refused_by_name(key, value):
    with pytest.raises(InputError, match=f"{key}: {value}"):
        EmissionsForecasterConfig(**{key: value})


def test_the_untrained_network_forecasts_the_last_value():
    torch.manual_seed(0)
    model = EmissionsForecaster(EmissionsForecasterConfig(members=1, hidden=4)).eval()
    inputs = model.example_inputs()
    assert (model(**inputs)["median"] == 0).all()
    shocks = torch.zeros(1, 4001, 1, model.config.factors)
    ratios = model.trajectories(**inputs, shocks=shocks, generator=torch.Generator().manual_seed(0))
    assert ratios.median(1).values.abs().max() < 0.02


def test_histories_read_together_continue_as_those_read_apart():
    model = scrambled(members=2)
    inputs = model.example_inputs()
    shocks = torch.zeros(1, 4, 3, model.config.factors)
    with torch.no_grad():
        part = [past.part(slice(1, 3)) for past in model.read(**inputs)]
        together = model.continued(part, shocks, generator=torch.Generator().manual_seed(0))
        alone = {name: value[1:] for name, value in inputs.items()}
        apart = model.trajectories(**alone, shocks=shocks, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(together, apart)
