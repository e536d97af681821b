"""Scores and predictions of files, the shipped classifiers, and the domain's face."""

import csv
import itertools
import math
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import sciml_zoo as sz
from sciml_zoo import adversarial
from sciml_zoo.adversarial.data import load_images
from sciml_zoo.adversarial.inference import evaluate, predict
from sciml_zoo.adversarial.model import DigitsCNN, DigitsCNNConfig
from sciml_zoo.cli import main
from sciml_zoo.errors import InputError

STANDARD = ["digits_cnn.standard_gelu", "digits_cnn.standard_relu"]
ROBUST = ["digits_cnn.adversarial_gelu", "digits_cnn.adversarial_relu"]
TEST = "sklearn:digits/test"


@pytest.fixture
def model() -> DigitsCNN:
    torch.manual_seed(0)
    return DigitsCNN(DigitsCNNConfig(channels=3, hidden=8))


@pytest.fixture
def file(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "images.npz", images=rng.random((450, 8, 8)), labels=rng.integers(0, 10, 450))
    return tmp_path / "images.npz"


class TwoRanks:
    """Gathers what the other rank computed in an earlier call."""

    world_size = 2

    def __init__(self, rank, shared):
        self.rank, self.shared = rank, shared

    def gather(self, value):
        self.shared[self.rank] = value
        return [self.shared[rank] for rank in sorted(self.shared)]


def test_clean_scores_are_those_of_the_logits(model, file):
    found, images = evaluate(model, file, attack="none"), load_images(file)
    logits = model(images.images)
    right = (logits.argmax(1) == images.labels).double()
    assert found["n"] == 450
    assert found["loss"] == pytest.approx(F.cross_entropy(logits, images.labels).item(), rel=1e-6)
    assert found["accuracy"] == found["robust_accuracy"] == pytest.approx(right.mean().item(), abs=1e-12)
    expected = right.std(correction=0).item() / math.sqrt(450)
    assert found["accuracy_error"] == pytest.approx(expected, abs=1e-12)
    assert found["robust_loss"] == found["loss"]


def test_scores_do_not_depend_on_the_number_of_ranks(model, file):
    options = {"epsilon": "0.3", "steps": "3", "restarts": "2", "seed": "5"}
    done: list[tuple[int, int]] = []
    alone = evaluate(model, file, on_progress=lambda k, n: done.append((k, n)), **options)
    assert done == [(1, 3), (2, 3), (3, 3)]
    shared: dict = {}
    evaluate(model, file, ranks=TwoRanks(1, shared), **options)
    assert evaluate(model, file, ranks=TwoRanks(0, shared), **options) == alone


def test_scores_repeat_with_the_seed_and_move_nothing(model, file):
    before = [p.detach().clone() for p in model.parameters()]
    first, again, other = (evaluate(model, file, steps=2, epsilon=0.2, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first["robust_loss"] != other["robust_loss"]
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_a_larger_ball_is_worse():
    model = sz.load_model(STANDARD[0])
    found = [evaluate(model, TEST, epsilon=epsilon, steps=10, restarts=1) for epsilon in (0.0, 0.2, 0.4, 0.8)]
    assert found[0]["robust_accuracy"] == found[0]["accuracy"]
    for smaller, larger in itertools.pairwise(found):
        assert larger["robust_accuracy"] < smaller["robust_accuracy"] - 0.05
        assert larger["robust_loss"] > smaller["robust_loss"]


def test_predictions_are_the_probabilities_of_each_image(model, file, tmp_path):
    images = load_images(file).images
    np.savez(tmp_path / "unlabelled.npz", images=images.numpy())
    assert predict(model, tmp_path / "unlabelled.npz", tmp_path / "out.csv") == 450
    with (tmp_path / "out.csv").open() as text:
        rows = list(csv.DictReader(text))
    expected = model(images).double().softmax(1)
    found = torch.tensor([[float(row[f"p{k}"]) for k in range(10)] for row in rows], dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-8)
    assert [int(row["predicted"]) for row in rows] == expected.argmax(1).tolist()
    predict(model, file, tmp_path / "again.csv", ranks=TwoRanks(0, {}))
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "out.csv").read_bytes()
    predict(model, file, tmp_path / "none.csv", ranks=TwoRanks(1, {}))
    assert not (tmp_path / "none.csv").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attack": "l1"}, "--attack: 'l1' is unknown"),
        ({"epsilon": "wide"}, "--epsilon: 'wide' is not a number"),
        ({"epsilon": "nan"}, "epsilon: nan"),
        ({"steps": "1.5"}, r"--steps: '1\.5' is not an integer"),
        ({"restarts": 0}, "--restarts 0"),
        ({"seed": -1}, "--seed -1"),
    ],
)
def test_wrong_options_are_refused(model, file, options, message):
    with pytest.raises(InputError, match=message):
        evaluate(model, file, **options)


def test_images_that_do_not_fit_and_targets_that_cannot_be_are_refused(model, tmp_path):
    np.savez(tmp_path / "small.npz", images=np.zeros((2, 4, 4)), labels=[0, 1])
    np.savez(tmp_path / "more.npz", images=np.zeros((2, 8, 8)), labels=[0, 10])
    with pytest.raises(InputError, match="images of 4×4 pixels; the model reads 8×8"):
        evaluate(model, tmp_path / "small.npz")
    with pytest.raises(InputError, match="label 10; the model knows 0 … 9"):
        evaluate(model, tmp_path / "more.npz")
    assert predict(model, tmp_path / "more.npz", tmp_path / "out.csv") == 2  # labels are not used
    with pytest.raises(InputError, match=r"ends in \.csv"):
        predict(model, TEST, tmp_path / "out.txt")
    with pytest.raises(InputError, match="no such directory"):
        predict(model, TEST, tmp_path / "nowhere" / "out.csv")


@pytest.mark.parametrize("name", [*STANDARD, *ROBUST])
def test_shipped_classifiers_classify_test_digits(name):
    assert evaluate(sz.load_model(name), TEST, attack="none")["accuracy"] >= (0.98 if name in STANDARD else 0.97)


@pytest.mark.parametrize("attack", [{"attack": "l2", "epsilon": 0.5}, {"attack": "linf", "epsilon": 0.1}])
def test_adversarially_trained_classifiers_withstand_what_standard_ones_do_not(attack):
    """Also the other norm: a difference of ten standard errors."""
    for standard, robust in zip(STANDARD, ROBUST, strict=True):
        weak, strong = (
            evaluate(sz.load_model(name), TEST, steps=20, restarts=1, **attack) for name in (standard, robust)
        )
        difference = strong["robust_accuracy"] - weak["robust_accuracy"]
        assert difference > 10 * math.hypot(strong["robust_accuracy_error"], weak["robust_accuracy_error"])


def test_the_common_verbs_work(tmp_path, capsys):
    assert main(["verify", STANDARD[0]]) == 0
    assert main(["info", STANDARD[0]]) == 0
    assert main(["evaluate", STANDARD[0], TEST, "--steps", "2", "--restarts", "1", "--device", "cpu"]) == 0
    assert "robust_accuracy" in capsys.readouterr().out
    assert main(["predict", STANDARD[0], TEST, "-o", str(tmp_path / "out.csv"), "--device", "cpu"]) == 0
    assert main(["evaluate", STANDARD[0], TEST, "--attack", "l1"]) == 2
    assert "--attack: 'l1' is unknown" in capsys.readouterr().err


def run(code: str) -> str:
    """What a fresh interpreter prints."""
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_importing_the_package_imports_nothing_heavy():
    loaded = run("import sciml_zoo.adversarial, sys; print(*sys.modules)").split()
    assert "sciml_zoo.adversarial" in loaded
    assert not {"torch", "numpy", "scipy", "sklearn", "matplotlib"} & set(loaded)


def test_every_promised_name_is_there_whichever_module_was_imported_before():
    modules = ", ".join(f"sciml_zoo.adversarial.{module}" for module in adversarial._MODULES)
    shown = "print(*(n for n in a.__all__ if type(getattr(a, n)) is type(a)))"
    assert (
        run(f"import sciml_zoo.adversarial as a, {modules}\n{shown}").split() == []
    )  # a name that a module of the package bears would be the module
    assert set(adversarial.__all__) == {name for names in adversarial._MODULES.values() for name in names}


def test_the_example_in_the_docstring_runs():
    code = "import doctest, sciml_zoo.adversarial as a; print(*doctest.testmod(a, raise_on_error=True))"
    failed, attempted = map(int, run(code).split())
    assert failed == 0
    assert attempted >= 8
