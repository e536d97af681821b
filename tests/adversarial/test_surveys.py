"""A survey: a row for each sample, its work closes, and its norm is that of the attack."""

import numpy as np
import pytest

from sciml_zoo.adversarial.surveys import COLUMNS, attacked, summary, survey
from sciml_zoo.errors import InputError

from .networks import images, network


@pytest.mark.parametrize("attack", ["fgsm", "pgd_linf", "minnorm_l2"])
def test_every_sample_closes(attack):
    inputs, labels = images(4)
    labels = network()(inputs).argmax(1)
    table = survey(network(), inputs, labels, attack)
    assert tuple(table.columns) == COLUMNS
    assert (table["closure"] <= 1e-8 * np.maximum(table["delta_loss"].abs(), 1e-3)).all()
    if attack == "fgsm":
        assert table["norm"].tolist() == pytest.approx([0.1] * 4)
        assert table["gradients"].tolist() == [1] * 4
    found = summary(table)
    assert found["samples"] == 4
    assert found["largest_relative_closure"] <= 1e-8


def test_the_same_seed_gives_the_same_rows():
    inputs, labels = images(3)
    one, two = (survey(network(), inputs, labels, "pgd_l2", seed=4) for _ in range(2))
    assert one.equals(two)


def test_an_unknown_attack_is_named():
    inputs, labels = images(1)
    with pytest.raises(InputError, match="did you mean 'pgd_l2'"):
        attacked(network(), inputs, labels, "pdg_l2")
