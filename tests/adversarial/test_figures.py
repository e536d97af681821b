"""Figures show the numbers that they are given."""

import numpy as np
import pandas as pd
import pytest
import torch

from sciml_zoo.adversarial.attacks.objective import margin
from sciml_zoo.adversarial.barrier_surveys import BarrierSurvey, barrier_survey
from sciml_zoo.adversarial.figures import (
    barrier_figure,
    energy_path_figure,
    force_figure,
    landscape_figure,
    work_figure,
    work_histogram,
)
from sciml_zoo.adversarial.landscape import Plane, slice_potential
from sciml_zoo.adversarial.path import Path
from sciml_zoo.adversarial.potential import LossPotential, cross_entropy
from sciml_zoo.adversarial.profile import energy_profile, force_profile
from sciml_zoo.errors import InputError

from .surfaces import double_well, of_energy, pairs, tensor

TABLE = pd.DataFrame(
    {"work": [1.0, 2.0, 3.0, 8.0], "dissipation": [0.5, 0.5, 1.0, 4.0], "success": [True, False, True, True]}
)
WELL = of_energy(double_well)
# From one well to the other, out of the plane of the figure and back, and one step that stands still.
DETOUR = Path(tensor([[-1.0, 0, 0], [-0.5, 0.4, 0], [0.5, 0.4, 0.3], [1.0, 0, 0], [1.0, 0, 0]])[:, None])
DIRECT = Path.straight(tensor([[-1.0, 0, 0]]), tensor([[1.0, 0, 0]]))


def lines(axes):
    """The lines of axes that the legend names, by the beginning of their names."""
    return {line.get_label().split(",")[0]: np.asarray(line.get_xydata()) for line in axes.get_lines()}


@pytest.fixture(scope="module")
def survey() -> BarrierSurvey:
    model, clean, labels, _, _ = pairs()
    return barrier_survey(model, clean[:2], labels[:2])


def test_a_landscape_holds_paths_projected_into_it_and_says_how_far_they_are_outside():
    plane = Plane.of_path(DETOUR, saddle=tensor([0.0, 1.0, 0.0]))
    landscape = slice_potential(WELL, plane, DETOUR.points[:, 0])
    side = slice_potential(of_energy(lambda x: x[:, 0] - 0.25), plane, DETOUR.points[:, 0])
    figure = landscape_figure(
        landscape, DETOUR, line=DIRECT, path=DIRECT, saddle=tensor([0.0, 0, 0]), boundary=side, title="$_not maths"
    )
    axes, bar = figure.axes
    found = lines(axes)
    assert found["attack"][:4].tolist() == pytest.approx(np.array([[0, 0], [0.5, 0.4], [1.5, 0.4], [2, 0]]))
    assert found["straight line"].tolist() == found["minimum-energy path"].tolist() == [[0, 0], [2, 0]]
    assert found["saddle"].tolist() == [[1, 0]]
    assert found["clean input"].tolist() == [[0, 0]]
    assert found["adversarial twin"].tolist() == [[2, 0]]
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "attack, up to 0.3 off this plane" in words
    assert "straight line" in words
    (zero,) = (one for one in axes.collections if list(one.levels) == [0.0])
    assert zero.get_paths()[0].vertices[:, 0] == pytest.approx(1.25)
    filled = next(one for one in axes.collections if len(one.levels) > 1)
    assert filled.levels[0] <= landscape.values.min()
    assert filled.levels[-1] >= landscape.values.max()
    assert bar.get_ylabel() == "loss, nats"


def test_forces_are_drawn_where_the_path_moves():
    profile = force_profile(WELL, DETOUR, samples=4)
    top, bottom = force_figure(profile).axes
    (loss,) = (np.asarray(line.get_xydata()) for line in top.get_lines())
    assert loss == pytest.approx(torch.cat([profile.arc_length, profile.potential], 1)[:12].numpy())
    found = lines(bottom)
    assert found["tangential force F · t (below 0: against the climb)"][:, 1] == pytest.approx(
        profile.tangential[:12, 0].numpy()
    )
    assert found["normal force"][:, 1] == pytest.approx(profile.normal[:12, 0].numpy())
    assert bottom.get_ylim()[1] > profile.normal.max()


def test_histograms_count_every_sample_once_and_mark_the_median():
    figure = work_histogram(TABLE)
    for axes, name in zip(figure.axes, ("work", "dissipation"), strict=True):
        # Bars are stacked: those that were fooled, and the others on top of them.
        fooled, others = (sum(bar.get_height() for bar in bars) for bars in axes.containers)
        assert (fooled, others) == (3, 1)
        assert axes.get_lines()[0].get_xdata()[0] == TABLE[name].median()
        words = [text.get_text() for text in axes.get_legend().get_texts()]
        assert {"fooled (3)", "not fooled (1)"} < set(words)


def test_energies_run_over_the_whole_of_each_way_and_the_saddle_is_the_highest():
    attack, direct = (energy_profile(WELL, path, samples=10) for path in (DETOUR, DIRECT))
    (axes,) = energy_path_figure(attack, line=direct, path=direct).axes
    found = lines(axes)
    for name in ("attack", "straight line", "minimum-energy path"):
        assert found[name][[0, -1], 0].tolist() == [0, 1]
    assert found["minimum-energy path"][:, 1] == pytest.approx(direct.potential[:, 0].numpy())
    assert found["saddle"].tolist() == [[0.5, 1.0]]
    (axes,) = energy_path_figure(attack).axes
    assert [*lines(axes)] == ["attack"]


def test_a_pair_without_a_saddle_is_drawn_as_far_as_it_goes(survey):
    assert survey.table["found"].all()
    whole = survey.pair(1)
    names = {name for axes in barrier_figure(whole).axes for name in lines(axes)}
    assert {"attack", "straight line", "minimum-energy path", "saddle", "clean input"} <= names
    bare = type(whole)(whole.potential, whole.attack, None, None, None)
    names = {name for axes in barrier_figure(bare).axes for name in lines(axes)}
    assert {"attack", "clean input", "adversarial twin"} <= names
    assert not {"straight line", "minimum-energy path", "saddle"} & names


def test_what_is_drawn_of_a_pair_is_what_the_table_says(survey):
    for sample, row in survey.table.iterrows():
        pair = survey.pair(sample)
        foot = pair.potential.value(pair.path.start)
        top = pair.potential.value(pair.saddle[None])
        assert float(top - foot) == pytest.approx(row["forward"], abs=1e-12)
        assert float(energy_profile(pair.potential, pair.path, samples=1).potential.max()) == pytest.approx(float(top))
        assert float(top - pair.potential.value(pair.line.end)) == pytest.approx(row["backward"], abs=1e-12)
    with pytest.raises(InputError, match="sample 2"):
        survey.pair(2)


def test_barriers_do_not_depend_on_how_many_are_sought_at_once(survey, monkeypatch):
    monkeypatch.setattr("sciml_zoo.adversarial.barrier_surveys._BATCH", 1)
    model, clean, labels, _, _ = pairs()
    shown = []
    single = barrier_survey(model, clean[:2], labels[:2], on_progress=lambda *done: shown.append(done))
    assert shown == [(1, 2), (2, 2)]
    assert len(single.barriers) == 2
    heights = ["forward", "backward", "line", "attack", "loss_line", "loss_attack", "loss_path"]
    assert single.table[heights].to_numpy() == pytest.approx(survey.table[heights].to_numpy(), abs=1e-8)
    assert single.table["sample"].tolist() == [0, 1]
    torch.testing.assert_close(single.pair(1).saddle, survey.pair(1).saddle, rtol=0, atol=1e-6)


def test_the_figure_of_an_attack_holds_all_three_parts():
    model, _, labels, _, way = pairs()
    loss, margins = (
        LossPotential(model, labels[:1], loss=each, dtype=torch.float64) for each in (cross_entropy, margin)
    )
    figure = work_figure(TABLE, loss, Path(way[:, :1]), margin=margins, title="all", sample_title="one")
    assert [axes.get_xlabel() for axes in figure.axes if axes.get_xlabel()] == [
        "work W, nats",
        "dissipation, nats",
        "arc length s, in the input's unit",
        "distance from the clean input towards its twin",
    ]


@pytest.mark.parametrize(("table", "word"), [(TABLE.drop(columns="work"), "work"), (TABLE[:0], "0 rows")])
def test_a_table_without_work_is_named(table, word):
    with pytest.raises(InputError, match=word):
        work_histogram(table)
