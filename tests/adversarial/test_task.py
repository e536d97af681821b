"""Training through the common trainer: it goes on bit for bit, attacks in evaluation mode, and scores what it says."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sciml_zoo.adversarial.data import digits
from sciml_zoo.adversarial.distortion import Distortion
from sciml_zoo.adversarial.metrics import score
from sciml_zoo.adversarial.model import DigitsCNN, DigitsCNNConfig
from sciml_zoo.adversarial.task import AdversarialTask, LabelledImage
from sciml_zoo.adversarial.threat import Threat, strongest
from sciml_zoo.training import OptimizerConfig, Trainer, TrainerConfig

ATTACKS = {"none": Threat(), "linf": Threat("linf", 0.1, steps=2), "l2": Threat("l2", 0.5, steps=2)}
every_attack = pytest.mark.parametrize("attack", ATTACKS)


class StopAt:
    def __init__(self, step: int) -> None:
        self.step = step

    def on_fit_start(self, trainer, state) -> None:
        self.trainer = trainer

    def on_step_end(self, record) -> None:
        if record.step == self.step:
            self.trainer.request_stop()


def samples(n: int = 40) -> list[LabelledImage]:
    train, _ = digits()
    return [LabelledImage(*pair) for pair in zip(train.images[:n], train.labels[:n], strict=True)]


def new_task(attack: str = "l2", activation: str = "gelu") -> AdversarialTask:
    torch.manual_seed(0)
    model = DigitsCNN(DigitsCNNConfig(activation, channels=4, hidden=8))
    task = AdversarialTask(model, ATTACKS[attack], Threat("l2", 0.3, steps=3), Distortion(10, 0.1, 0.5))
    task.generator = torch.Generator().manual_seed(0)
    return task


def settings(max_steps: int, **more) -> TrainerConfig:
    return TrainerConfig(max_steps=max_steps, batch_size=16, validate_every=4, accelerator="cpu", **more)


@every_attack
@pytest.mark.parametrize("more", [{}, {"accumulate": 2, "precision": "64-true"}], ids=["plain", "accumulated float64"])
def test_a_run_that_is_resumed_equals_one_that_was_not(attack, more, tmp_path):
    data, optimizer, config = samples(), OptimizerConfig("adam", 0.01), settings(10, ema_decay=0.9, **more)
    whole = Trainer(config, directory=tmp_path / "whole").fit(new_task(attack), optimizer, data, data[:9])
    cut = tmp_path / "cut"
    first = Trainer(config, directory=cut, callbacks=[StopAt(5)]).fit(new_task(attack), optimizer, data, data[:9])
    assert first.step == 5
    torch.manual_seed(99)  # nothing is drawn from it
    second = Trainer(config, directory=cut).fit(new_task(attack), optimizer, data, data[:9], resume=True)
    assert second.step == whole.step == 10
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, second.model.state_dict()[name]), name
    assert whole.metrics == second.metrics


@every_attack
def test_the_loss_is_the_cross_entropy_at_what_the_attack_finds(attack):
    task = new_task(attack)
    task.distortion = Distortion()
    batch = task.collate(samples(12))
    (output,) = task.steps(batch)
    found = strongest(task.model, *batch, ATTACKS[attack], torch.Generator().manual_seed(0))
    torch.testing.assert_close(output.loss, F.cross_entropy(task.model(found), batch.labels), rtol=0, atol=0)
    assert output.weight == 12
    clean = F.cross_entropy(task.model(batch.images), batch.labels)
    assert (output.loss > clean) == (attack != "none")


def test_the_attack_meets_the_network_in_evaluation_mode_and_training_goes_on_in_training_mode():
    class Watched(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner, self.frozen, self.seen = inner, nn.Dropout(0.5).eval(), []

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            self.seen.append(self.training)
            return self.inner(self.frozen(images))

    task = new_task()
    task.model = watched = Watched(task.model).train()
    watched.frozen.eval()
    (output,) = task.steps(task.collate(samples(6)))
    assert watched.seen == [False] * task.attack.steps + [True]
    assert watched.training
    assert watched.inner.training
    assert not watched.frozen.training  # each module has its own mode back
    assert all(p.grad is None for p in watched.parameters())
    output.loss.backward()
    assert all(p.grad.abs().max() > 0 for p in watched.parameters())


def test_scores_are_means_over_images_however_they_are_batched():
    task = new_task("none")
    task.model.eval()
    task.threat = Threat("none")
    data = samples(30)
    whole, parts = (
        task.evaluate([task.collate(data[a:b]) for a, b in cuts]) for cuts in ([(0, 30)], [(0, 7), (7, 8), (8, 30)])
    )
    batch = task.collate(data)
    logits = task.model(batch.images)
    assert whole["loss"] == pytest.approx(F.cross_entropy(logits, batch.labels).item(), abs=1e-6)
    assert whole["accuracy"] == pytest.approx((logits.argmax(1) == batch.labels).double().mean().item(), abs=1e-12)
    assert parts == pytest.approx(whole, abs=1e-7)
    assert (whole["robust_loss"], whole["robust_accuracy"]) == (whole["loss"], whole["accuracy"])  # kind none


def test_a_validation_finds_the_same_each_time_and_is_never_better_under_attack():
    task = new_task()
    task.model.eval()
    batches = [task.collate(samples(30))]
    before = task.generator.get_state()
    first, again = task.evaluate(batches), task.evaluate(batches)
    assert first == again
    assert set(first) == set(AdversarialTask.NAMES)
    assert torch.equal(task.generator.get_state(), before)
    assert first["robust_loss"] > first["loss"]
    assert first["robust_accuracy"] <= first["accuracy"]


def test_more_restarts_never_find_less():
    task = new_task()
    batch = task.collate(samples(30))
    losses = []
    for restarts in (1, 2, 4):
        generator = torch.Generator().manual_seed(3)
        losses.append(score(task.model.eval(), *batch, task.threat, generator, restarts=restarts).robust_loss)
    assert (losses[1] >= losses[0]).all()
    assert (losses[2] >= losses[1]).all()
    assert losses[2].sum() > losses[0].sum()


def test_adversarial_training_makes_a_network_more_robust():
    """The same network, steps and images; more of those that it was trained on survive the same attack."""
    data, found = samples(200), {}
    for attack in ("none", "l2"):
        task = new_task(attack)
        task.distortion = Distortion()
        Trainer(settings(300)).fit(task, OptimizerConfig("adam", 0.01), data, data)
        task.model.eval()
        found[attack] = task.evaluate([task.collate(data)])
    assert found["none"]["accuracy"] > 0.95
    assert found["l2"]["robust_accuracy"] > found["none"]["robust_accuracy"] + 0.1
