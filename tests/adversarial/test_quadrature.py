"""The nested rules are exact for the degrees that they promise, and know their error."""

import itertools

import pytest
import torch

from sciml_zoo.adversarial.quadrature import SIZES, nodes, rule_error, weights


@pytest.mark.parametrize(("size", "degree"), [(3, 5), (7, 11), (15, 23)])
def test_a_rule_is_exact_up_to_its_degree_and_no_further(size, degree):
    def integral(power: int) -> float:
        return float((nodes(size) - 0.5) ** power @ weights(size))

    for power in range(degree + 1):
        exact = 0.5**power / (power + 1) if power % 2 == 0 else 0.0
        assert integral(power) == pytest.approx(exact, abs=1e-16)
    power = degree + 1
    assert abs(integral(power) / (0.5**power / (power + 1)) - 1) > 1e-10


def test_rules_are_nested_and_inside():
    for smaller, larger in itertools.pairwise(SIZES):
        torch.testing.assert_close(nodes(larger)[:smaller], nodes(smaller), rtol=0, atol=0)
    assert nodes(15).min() > 0
    assert nodes(15).max() < 1


def test_the_estimate_bounds_the_error_of_smooth_and_broken_integrands():
    t = nodes(15)
    integrands = {
        "exp": (torch.exp(3 * t), (torch.exp(torch.tensor(3.0, dtype=torch.float64)) - 1) / 3),
        "kink": ((t - 0.3).abs(), (0.3**2 + 0.7**2) / 2),
        "jump": ((t > 0.4).double(), 0.6),
    }
    for values, exact in integrands.values():
        for size in (7, 15):
            found, error = rule_error(values[None, :size], size)
            assert abs(float(found[0]) - float(exact)) <= float(error[0]) + 1e-14
