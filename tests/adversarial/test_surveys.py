"""A survey: a row for each sample, its work closes, and its norm is that of the attack."""

import numpy as np
import pytest

from sciml_zoo.adversarial.surveys import COLUMNS, attacked, summary, survey, surveyed_path
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


def test_the_path_that_is_drawn_is_that_of_the_survey_also_beyond_its_first_batch() -> None:
    inputs, _ = images(102)
    model = network()
    labels = model(inputs).argmax(1)
    table = survey(model, inputs, labels, "pgd_linf", seed=3)
    for sample in (2, 101):
        path = surveyed_path(model, inputs, labels, "pgd_linf", sample, seed=3)
        assert path.points.shape[1] == 1
        assert float(path.length()) == pytest.approx(table["length"][sample], rel=1e-12)
