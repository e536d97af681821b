"""Synthetic genomes, the gradient's profile, the figures of a network on a genome, and the demo."""

import numpy as np
import pytest
import torch

import sciml_zoo as sz
from sciml_zoo.errors import InputError
from sciml_zoo.splicing import showcase
from sciml_zoo.splicing.credit import gradient_profile
from sciml_zoo.splicing.model import SpliceModel
from sciml_zoo.splicing.portraits import PORTRAITS, portrait
from sciml_zoo.splicing.sequences import decode, reverse_complement
from sciml_zoo.splicing.synthetic import synthetic_genome


class Window(SpliceModel):
    """The donor logit of a base is a known linear function of the 20 bases before it and the 5 after it."""

    halo = 20

    def __init__(self) -> None:
        super().__init__()
        self.weights = torch.nn.Parameter(torch.randn(26, 4, generator=torch.Generator().manual_seed(0)).double())

    def from_one_hot(self, bases: torch.Tensor, methylation: torch.Tensor | None = None) -> torch.Tensor:
        both = torch.cat([bases, bases.flip(1, 2)])
        padded = torch.nn.functional.pad(both, (0, 0, 20, 5))
        sites = sum((padded[:, i : i + bases.shape[1]] * self.weights[i]).sum(-1) for i in range(26))
        forward, backward = torch.stack([sites, -sites], -1).chunk(2)
        return torch.stack([forward, backward.flip(1)], 2)


def test_synthetic_genes_follow_their_grammar() -> None:
    genome = synthetic_genome(30, seed=3)
    text = decode(genome.sequences["synthetic"])
    assert len(genome.introns) > 40
    assert {gene.strand for gene in genome.genes} == {"+", "-"}
    for intron in genome.introns:
        piece = text[intron.start : intron.end]
        if intron.strand == "-":
            piece = decode(reverse_complement(genome.sequences["synthetic"][intron.start : intron.end]))
        assert piece[:2] + piece[-2:] == "GTAG"
        assert 75 <= len(piece) < 200
    assert decode(synthetic_genome(30, seed=3).sequences["synthetic"]) == text
    assert decode(synthetic_genome(30, seed=4).sequences["synthetic"]) != text


@pytest.mark.parametrize("strand", ["+", "-"])
def test_profile_of_a_known_network(strand: str) -> None:
    codes = synthetic_genome(2, seed=1).sequences["synthetic"]
    network = Window()
    profile = gradient_profile(network, codes, [200, 300], strand=strand, reach=30)
    norms = network.weights.detach().norm(dim=1).numpy()  # of offsets −20 … 5
    expected = np.zeros(61)
    for offset, norm in zip(range(-20, 6), norms, strict=True):
        expected[30 - offset] = norm  # k = −offset upstream
    np.testing.assert_allclose(profile, expected, atol=1e-12)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"positions": []}, "at least one"),
        ({"positions": [3]}, "less than 30"),
        ({"strand": "x"}, "strand 'x'"),
        ({"kind": "exon"}, "kind 'exon'"),
    ],
)
def test_profiles_that_cannot_be(changes: dict[str, object], words: str) -> None:
    codes = synthetic_genome(2, seed=1).sequences["synthetic"]
    options = {"positions": [200], "strand": "+", "kind": "donor", **changes}
    with pytest.raises(InputError, match=words):
        gradient_profile(Window(), codes, options.pop("positions"), reach=30, **options)


def test_every_portrait_is_drawn() -> None:
    genome = synthetic_genome(12, seed=2)
    torch.manual_seed(0)
    model = sz.create_model("splice_rnn", channels=6, states=6, blocks=1, memory=16).eval()
    # A calibration under which a random network is sure of some sites, so that there is a motif to draw.
    model.calibration.parameters_of_kinds.copy_(torch.tensor([[60.0, 12.0, 12.0]] * 2))
    for what in PORTRAITS:
        figure = portrait(what, model, genome)
        assert any(axes.has_data() for axes in figure.axes), what


def test_tracks_are_of_the_gene_asked_for() -> None:
    genome = synthetic_genome(12, seed=2)
    model = sz.create_model("splice_rnn", channels=6, states=6, blocks=1, memory=16).eval()
    figure = portrait("track", model, genome, gene="gene3")
    assert "gene3" in "".join(
        text.get_text() for axes in figure.axes for text in [axes.title, *axes.get_yticklabels()]
    ) or (figure._suptitle is not None and "gene3" in figure._suptitle.get_text())
    with pytest.raises(InputError, match="--gene gen3"):
        portrait("track", model, genome, gene="gen3")
    with pytest.raises(InputError, match="no sequence 'x'"):
        portrait("track", model, genome, chromosomes=["x"])
    with pytest.raises(InputError, match="did you mean 'track'"):
        portrait("trac", model, genome)


def test_demo_reads_a_synthetic_genome_where_there_is_no_other(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SCIML_ZOO_DATA", raising=False)
    monkeypatch.setenv("SCIML_ZOO_OFFLINE", "1")
    monkeypatch.setattr(showcase, "_STEPS", 4)
    monkeypatch.setattr(showcase, "list_models", lambda **_: [])
    said: list[str] = []
    report = showcase.demo(tmp_path, said.append)
    (row,) = report.tables[0].rows
    assert row[0] == "small network, trained here"
    assert int(row[2]) == 2 * len(synthetic_genome(40, seed=1).introns)
    _, _, where = showcase._genome("athaliana", synthetic_genome(2))
    assert "synthetic" in where
    assert list(tmp_path.iterdir()) == []
