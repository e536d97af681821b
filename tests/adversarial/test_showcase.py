"""The domain's part of the demo: every classifier, work that closes, barriers, and a broken model found out."""

import math

import pytest

import sciml_zoo as sz
from sciml_zoo.adversarial import showcase


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(showcase, "_MEASURED", 3)
        patch.setattr(showcase, "_PAIRS", 2)
        report = showcase.demo(tmp_path_factory.mktemp("demo"), said.append)
    return report, said


def test_every_classifier_is_scored(shown):
    report, said = shown
    names = sz.list_models(pretrained=True, domain="adversarial")
    assert [row[0] for row in report.tables[0].rows] == names
    assert all(any(name in line for line in said) for name in names)
    for row in report.tables[0].rows:
        accuracies = [float(cell.split(" ± ")[0]) for cell in row[1:]]
        assert accuracies == sorted(accuracies, reverse=True)


def test_work_closes_and_the_boundary_costs_the_same_on_both_networks_but_lies_farther_on_one(shown):
    rows = shown[0].tables[1].rows
    assert len(rows) == 6
    assert all(float(row[-1]) < 1e-9 for row in rows)
    norms = {}
    for name, attack, *_, norm, work, _, _ in rows:
        if attack.startswith("flow"):
            # The loss where two classes are as likely is log 2; a third takes its share.
            assert float(work) == pytest.approx(math.log(2), abs=0.1)
            norms[name] = float(norm)
    assert norms["digits_cnn.adversarial_gelu"] > norms["digits_cnn.standard_gelu"]


def test_no_barrier_is_above_the_straight_line(shown):
    rows = shown[0].tables[2].rows
    assert [row[1] for row in rows] == ["yes", "yes"]
    for *_, height, _, line, attack in rows:
        assert 0 < float(height) <= min(float(line), float(attack))
    assert [figure.axes[0].get_xlabel() != "" for _, figure in shown[0].figures] == [True, False]


def test_the_broken_model_is_found_out(shown):
    assert [row[1] for row in shown[0].tables[3].rows] == ["honest", "NOT honest"]


def test_all_cells_are_there(shown):
    for table in shown[0].tables:
        assert all(len(row) == len(table.head) for row in table.rows)
