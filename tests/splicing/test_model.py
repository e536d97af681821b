"""Laws of the networks: strand symmetry, halo, pieces, long memory, truncated gradients."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import sciml_zoo as sz
from sciml_zoo.errors import InputError
from sciml_zoo.splicing.model import SpliceModel, one_hot

SMALL = {
    "splice_rnn": {"channels": 6, "states": 8, "blocks": 2, "memory": 32, "stem": 5},
    "splice_lstm": {"states": 6},
}


def model(name: str, **changes: object) -> SpliceModel:
    torch.manual_seed(1)
    made = sz.create_model(name, **{**SMALL[name], **changes}).double()
    assert isinstance(made, SpliceModel)
    with torch.no_grad():  # far from the initial weights, where gates are open and shut
        for parameter in made.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return made


def sequences(batch: int, length: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 5, (batch, length), generator=torch.Generator().manual_seed(seed))


def reverse_complement(codes: Tensor) -> Tensor:
    return torch.where(codes < 4, 3 - codes, 4).flip(1)


@pytest.mark.parametrize("name", SMALL)
def test_other_strand_is_the_reverse_complement(name: str) -> None:
    network, codes = model(name), sequences(2, 150)
    turned = network(reverse_complement(codes)).flip(1, 2)
    torch.testing.assert_close(turned, network(codes), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("segment", [40, 64, 149, 150, 500])
def test_pieces_are_the_whole(name: str, segment: int) -> None:
    network, codes = model(name), sequences(2, 150)
    parts = list(network.segments(codes, segment))
    assert [start for start, _, _ in parts] == list(range(0, 150, segment))
    torch.testing.assert_close(torch.cat([logits for _, logits, _ in parts], 1), network(codes), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", SMALL)
def test_gradient_stops_at_the_ends_of_a_piece(name: str) -> None:
    """The gradient of a piece is that of the network whose entering states are constants."""
    network, codes = model(name), sequences(1, 90)
    weight = torch.randn(1, 30, 2, 2, dtype=torch.float64)
    logits = next(part for start, part, _ in network.segments(codes, 30) if start == 30)
    named = {name: value for name, value in network.named_parameters() if not name.startswith("structure_head")}
    truncated = torch.autograd.grad((logits * weight).sum(), list(named.values()))
    whole = torch.autograd.grad((network(codes)[:, 30:60] * weight).sum(), list(named.values()))
    head = list(named).index("head.weight")
    torch.testing.assert_close(truncated[head], whole[head])  # what lies after the recurrence sees no difference
    assert any(not torch.allclose(a, b) for a, b in zip(truncated, whole, strict=True))


def test_states_beyond_the_halo_do_not_matter() -> None:
    network = model("splice_rnn", memory=8)
    codes = sequences(1, 3 * network.halo + 50)
    inside = slice(network.halo, -network.halo)
    changed = codes.clone()
    changed[:, : network.halo // 2] = 0
    difference = (network(codes) - network(changed))[:, network.halo // 2 + network.halo :]
    assert difference.abs().max() < 1e-5
    piece = codes[:, network.halo // 2 : -network.halo // 2]
    assert (
        network(piece)[:, inside] - network(codes)[:, network.halo // 2 :][:, : piece.shape[1]][:, inside]
    ).abs().max() < 1e-5


def test_relaxed_bases_agree_with_codes() -> None:
    network, codes = model("splice_rnn"), sequences(1, 60)
    torch.testing.assert_close(network.from_one_hot(one_hot(codes, torch.float64)), network(codes))
    assert (one_hot(torch.tensor([[4, 2]]))[0] == torch.tensor([[0, 0, 0, 0], [0, 0, 1, 0]])).all()


def test_unknown_bases_are_the_outside() -> None:
    """What the stem sees beyond the ends of a sequence is N."""
    network, codes = model("splice_rnn", blocks=1), sequences(1, 60)
    half = network.config.stem // 2
    padded = F.pad(codes, (half, half), value=4)
    inputs = one_hot(padded, torch.float64)
    torch.testing.assert_close(
        network.head(network.piece(inputs, None)[0]).unflatten(-1, (2, 2)), network(codes), rtol=0, atol=1e-12
    )  # type: ignore[operator]


@pytest.mark.parametrize("name", SMALL)
def test_batch_entries_do_not_mix(name: str) -> None:
    network, codes = model(name), sequences(3, 80)
    torch.testing.assert_close(network(codes)[1:2], network(codes[1:2]), rtol=0, atol=1e-12)


def test_a_signal_400_bases_away_is_learned() -> None:
    """Whether a base is a site is decided by a marker 400 bases before it, everything else is random."""
    torch.manual_seed(0)
    network = sz.create_model("splice_rnn", channels=8, states=16, blocks=1, stem=3, memory=1024)
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-2)
    generator = torch.Generator().manual_seed(0)
    distance, length, marker = 400, 440, 20
    for _ in range(80):
        codes = torch.randint(2, 4, (32, length), generator=generator)
        signal = torch.rand(32, generator=generator) < 0.5
        codes[:, 10 : 10 + marker] = torch.where(signal, 0, 1)[:, None]  # A or C, which occur nowhere else
        logits = network(codes)[:, 9 + marker + distance, 0, 0]
        loss = F.binary_cross_entropy_with_logits(logits, signal.float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert ((logits > 0) == signal).float().mean() == 1
    assert loss < 0.1


def test_methylation_is_an_input_only_where_the_config_says_so() -> None:
    codes, track = sequences(1, 40), torch.rand(1, 40, 2, dtype=torch.float64)
    reads = model("splice_rnn", methylation=True)
    turned = reads(reverse_complement(codes), track.flip(1, 2)).flip(1, 2)
    torch.testing.assert_close(turned, reads(codes, track), rtol=0, atol=1e-12)
    assert not torch.allclose(reads(codes, track), reads(codes, 0 * track))
    with pytest.raises(InputError, match="needs methylation"):
        reads(codes)
    with pytest.raises(InputError, match="does not read methylation"):
        model("splice_rnn")(codes, track)
    with pytest.raises(InputError, match="does not read methylation"):
        model("splice_lstm")(codes, track)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"stem": 4}, "stem: 4 is not odd"),
        ({"memory": 1}, "memory"),
        ({"blocks": 0}, "blocks: 0"),
        ({"states": 0}, "states: 0"),
    ],
)
def test_shapes_that_cannot_be(changes: dict[str, int], words: str) -> None:
    with pytest.raises(InputError, match=words):
        sz.create_model("splice_rnn", **changes)


@pytest.mark.parametrize("name", SMALL)
def test_saved_and_loaded(name: str, tmp_path) -> None:
    network = model(name).float()
    network.calibration.fit(torch.randn(50, 2), torch.rand(50, 2) < 0.5)
    sz.save_model(network, tmp_path / "saved")
    loaded = sz.load_model(f"local-dir:{tmp_path / 'saved'}")
    logits = network(sequences(1, 100))
    torch.testing.assert_close(loaded(sequences(1, 100)), logits)
    torch.testing.assert_close(loaded.calibrated(logits), network.calibrated(logits), rtol=0, atol=0)
