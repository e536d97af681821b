"""What is drawn: the numbers in the figures, and motifs against those that were planted."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from sciml_zoo.errors import InputError
from sciml_zoo.splicing.figures import (
    gene_track,
    gradient_through_time,
    information_content,
    learned_motif,
    precision_recall,
    reliability,
    sequence_logo,
)
from sciml_zoo.splicing.genes import Gene, Transcript
from sciml_zoo.splicing.metrics import average_precision, expected_calibration_error, reliability_bins
from sciml_zoo.splicing.sequences import encode, reverse_complement
from tests.splicing.toy_models import Dinucleotides, Linear

TRANSCRIPTS = (
    Transcript("x.1", "c", "-", ((110, 120), (140, 150), (170, 180)), ((115, 120), (140, 145))),
    Transcript("x.2", "c", "-", ((110, 120), (170, 190))),
)
GENE = Gene("x", "c", "-", 110, 190, None, TRANSCRIPTS)


def test_a_track_shows_probabilities_sites_and_exons_where_they_are() -> None:
    start, values = 100, np.zeros((75, 2))
    values[69, 0], values[20, 1], values[40, 0], values[41, 0] = 0.9, 0.8, 0.3, 0.005
    figure = gene_track(values, GENE, start=start)
    donors, acceptors, transcripts = figure.axes
    for axes, expected in ((donors, [(141, 0.3), (170, 0.9)]), (acceptors, [(121, 0.8)])):
        (stems,) = axes.collections
        assert [(x, y) for (x, _), (_, y) in stems.get_segments()] == expected
        assert all(first[1] == 0 for first, _ in stems.get_segments())
    # On the strand "-" a donor is the last base of an intron; one of x.2 and one of x.1 are the same.
    assert list(donors.lines[0].get_xdata()) == [140, 170]
    assert list(acceptors.lines[0].get_xdata()) == [121, 151]
    boxes = [(p.get_x(), p.get_x() + p.get_width(), p.get_y() + p.get_height() / 2) for p in transcripts.patches]
    expected = [(s, e, row) for row, t in enumerate(TRANSCRIPTS) for s, e in (*t.exons, *t.cds)]
    np.testing.assert_allclose(boxes, [(s + 0.5, e + 0.5, row) for s, e, row in expected])
    heights = {(p.get_x(), p.get_height()) for p in transcripts.patches}
    assert (115.5, 0.7) in heights
    assert (110.5, 0.4) in heights
    lines = [line for collection in transcripts.collections for line in collection.get_segments()]
    np.testing.assert_allclose(lines, [[(111, 0), (180, 0)], [(111, 1), (190, 1)]])
    assert [label.get_text() for label in transcripts.get_yticklabels()] == ["x.1", "x.2"]
    assert transcripts.get_xlim() == donors.get_xlim() == (100.5, 175.5)


def test_a_track_of_something_else_is_refused() -> None:
    with pytest.raises(InputError, match=r"\[L, 2\]"):
        gene_track(np.zeros((50, 3)), GENE, start=0)
    for start in (0, 190):
        with pytest.raises(InputError, match="gene 'x' at 110-190"):
            gene_track(np.zeros((110, 2)), GENE, start=start)


def test_curves_of_precision_hold_every_threshold() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(80) < 0.3
    scores = rng.random(80) + truth * 0.3
    (axes,) = precision_recall({"a": (scores, truth), "b": (-scores, truth)}).axes
    first, second = axes.lines
    drawn = set(zip(np.round(first.get_xdata(), 9), np.round(first.get_ydata(), 9), strict=True))
    for threshold in scores:
        chosen = scores >= threshold
        point = (truth & chosen).sum() / truth.sum(), (truth & chosen).sum() / chosen.sum()
        assert tuple(np.round(point, 9)) in drawn
    assert first.get_label() == f"a, AP {average_precision(scores, truth):.3f}"
    # Between thresholds the precision is that of the next higher recall: the area is the average precision.
    x, y = second.get_data()
    assert second.get_drawstyle() == "steps-post"
    assert np.sum(y[:-1] * -np.diff(x)) == pytest.approx(average_precision(-scores, truth))
    with pytest.raises(InputError, match="c: no site among 3"):
        precision_recall({"c": (np.zeros(3), np.zeros(3))})


@pytest.mark.parametrize("least", [0.0, 0.1])
def test_a_reliability_diagram_shows_frequencies_and_counts(least: float) -> None:
    rng = np.random.default_rng(1)
    p = rng.random(3000) ** 4
    truth = rng.random(3000) < p**1.5
    above, below = reliability(p, truth, n_bins=8, least=least).axes
    mean, frequency, counts = reliability_bins(p, truth, 8, least).T
    points, _, (bars,) = above.containers[0]
    np.testing.assert_allclose(np.transpose(points.get_data()), np.stack([mean, frequency], 1))
    errors = [np.ptp(bar[:, 1]) / 2 for bar in bars.get_segments()]
    np.testing.assert_allclose(errors, np.sqrt(mean * (1 - mean) / counts))
    assert [bar.get_height() for bar in below.patches] == list(counts)
    assert sum(counts) == (p >= least).sum()
    for bar, centre in zip(below.patches, mean, strict=True):
        assert bar.get_x() <= centre <= bar.get_x() + bar.get_width()
        inside = (p >= max(bar.get_x(), least)) & (p < bar.get_x() + bar.get_width())
        assert inside.sum() == pytest.approx(bar.get_height(), abs=1)
    label = above.get_legend().get_texts()[1].get_text()
    assert label == f"ECE {expected_calibration_error(p, truth, 8, least):.4f}"
    with pytest.raises(InputError, match="none of 3 probabilities"):
        reliability(np.zeros(3), np.zeros(3), least=0.5)


@pytest.mark.parametrize(
    ("row", "bits"),
    [([1, 0, 0, 0], 2), ([5, 5, 0, 0], 1), ([0.25] * 4, 0), ([0, 0, 0, 0], 0), ([4, 2, 1, 1], 0.25)],
)
def test_information_is_two_bits_less_the_entropy(row: list[float], bits: float) -> None:
    assert information_content([row]) == pytest.approx([bits])


compositions = arrays(float, st.tuples(st.integers(1, 6), st.just(4)), elements=st.sampled_from([0.0, 0.1, 1, 2, 7]))


@given(compositions, st.integers(-5, 5))
@settings(max_examples=25, deadline=None)
def test_letters_are_as_high_as_their_share_of_the_information(composition, first: int) -> None:
    (axes,) = sequence_logo(composition, first=first).axes
    totals = composition.sum(1, keepdims=True)
    shares = composition / np.where(totals > 0, totals, 1) * information_content(composition)[:, None]
    boxes = [patch.get_path().get_extents() for patch in axes.patches if isinstance(patch, PathPatch)]
    assert len(boxes) == np.count_nonzero(shares)
    assert axes.get_ylim() == (0, 2)
    for index, column in enumerate(shares):
        here = [box for box in boxes if abs((box.x0 + box.x1) / 2 - first - index) < 1e-6]
        here.sort(key=lambda box: box.y0)
        np.testing.assert_allclose([box.height for box in here], np.sort(column[column > 0]), rtol=1e-6)
        tops = np.cumsum([box.height for box in here])  # one on the other, the largest on top
        np.testing.assert_allclose([box.y1 for box in here], tops, rtol=1e-6)
        assert all(box.width == pytest.approx(0.9) for box in here)


def test_letters_stand_for_their_columns() -> None:
    (axes,) = sequence_logo(np.eye(4)).axes
    # C and G have curves; A has a hole, and so two outlines.
    curved = [bool((patch.get_path().codes == Path.CURVE3).any()) for patch in axes.patches]
    outlines = [int((patch.get_path().codes == Path.MOVETO).sum()) for patch in axes.patches]
    assert (curved, outlines) == ([False, True, True, False], [2, 1, 1, 1])
    assert len({patch.get_facecolor() for patch in axes.patches}) == 4


@pytest.mark.parametrize("bad", [np.zeros(4), np.zeros((2, 3)), np.array([[1, -1, 0, 0]]), np.full((1, 4), np.nan)])
def test_no_composition(bad: np.ndarray) -> None:
    with pytest.raises(InputError, match="expected"):
        sequence_logo(bad)


def test_the_motif_of_sites_that_are_known() -> None:
    forward = encode("CCAAGTCCCCCCAGTCTCC")  # donors and acceptors at 4 and 13; on the other strand, AGA ends at 14
    weights = learned_motif(Dinucleotides(), [forward], "donor", flank=2)
    expected = np.zeros((5, 4))
    for site in (4, 13):
        expected[np.arange(5), forward[site - 2 : site + 3]] += 1
    np.testing.assert_allclose(weights, expected, atol=1e-6)
    weights = learned_motif(Dinucleotides(), [forward], "acceptor", flank=1)
    np.testing.assert_allclose(weights, [[3, 0, 0, 0], [0, 0, 3, 0], [1, 0, 0, 2]], atol=1e-6)


def test_the_motif_is_weighted_by_probability_over_both_strands() -> None:
    model = Linear()
    rng = np.random.default_rng(0)
    sequences = [rng.integers(0, 5, n).astype(np.uint8) for n in (300, 100)]
    found = learned_motif(model, sequences, "acceptor", flank=3, least=0.7)
    mirrored = learned_motif(model, [reverse_complement(codes) for codes in sequences], "acceptor", flank=3, least=0.7)
    np.testing.assert_allclose(found, mirrored, atol=1e-9)
    by_hand = np.zeros((7, 4))
    weight = model.weight.detach().numpy()[1]
    for strand in [*sequences, *map(reverse_complement, sequences)]:
        far = np.pad(strand, 7, constant_values=4)
        for site in range(len(strand)):
            score = sum(weight[base, j] for j, base in enumerate(far[site : site + 15]) if base < 4)
            p = 1 / (1 + np.exp(-score))
            for j, base in enumerate(far[site + 4 : site + 11]):
                if p >= 0.7 and base < 4:
                    by_hand[j, base] += p
    np.testing.assert_allclose(found, by_hand, rtol=1e-9)


def test_a_motif_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="no donor of probability"):
        learned_motif(Dinucleotides(), [encode("CCCCCC")], "donor")
    with pytest.raises(InputError, match="kind: 'donors'"):
        learned_motif(Dinucleotides(), [encode("GTGT")], "donors")


def test_forgetting_at_a_constant_rate_is_a_straight_line() -> None:
    profile = np.append(0.5 ** np.arange(20), 0)
    (axes,) = gradient_through_time(profile).axes
    x, y = axes.lines[0].get_data()
    np.testing.assert_array_equal(x, np.arange(21))
    np.testing.assert_allclose(np.diff(np.log2(y[:-1])), -1)
    assert np.isnan(y[-1])  # zero is not on a logarithmic scale
    assert axes.get_yscale() == "log"
    with pytest.raises(InputError, match="expected"):
        gradient_through_time(np.zeros((2, 3)))
