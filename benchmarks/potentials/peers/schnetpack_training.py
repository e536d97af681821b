"""Trains SchNetPack's PaiNN for some minutes and predicts test frames; runs in SchNetPack's environment.

    python -m benchmarks.potentials.peers.schnetpack_training TRAIN.xyz VALIDATION.xyz TEST.xyz OUT.npz --minutes 10

Model, loss, optimizer, batches, moving average of weights and choice of the best are those of ``spktrain
experiment=rmd17``; its learning rate, which waits 75 epochs for a plateau, falls as a cosine of the time instead. The
samples, neighbours included, are read once and kept, and no worker processes load them.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytorch_lightning as pl
import schnetpack as spk
import torch
import torchmetrics
from ase import Atoms, units
from schnetpack.data import ASEAtomsData, AtomsDataModule
from schnetpack.interfaces import AtomsConverter
from schnetpack.transform import AddOffsets, CastTo32, CastTo64, MatScipyNeighborList, RemoveOffsets
from schnetpack.transform import SubtractCenterOfMass as Centred
from torch.utils.data import Dataset

from benchmarks.potentials.peers._clock import Clock
from benchmarks.potentials.peers.schnetpack_models import CUTOFF, built

LEARNING_RATE = 1e-3
BATCH = 10
EMA_DECAY = 0.995
WEIGHTS = {"energy": 0.01, "forces": 0.99}
KCAL = units.kcal / units.mol


class Kept(Dataset):
    """The samples of a data set of SchNetPack, transformed and kept in memory.

    Args:
        source: the data set.
    """

    def __init__(self, source: Any) -> None:
        self.atomrefs = source.atomrefs
        self._samples = [source[index] for index in range(len(source))]

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return dict(self._samples[index])


class Timed(pl.Callback):
    """Lets the learning rate follow a clock, and stops with it.

    Args:
        minutes: of the training.
    """

    def __init__(self, minutes: float) -> None:
        self.minutes = minutes
        self.steps = 0

    def on_fit_start(self, *_: Any) -> None:
        """Starts the clock."""
        self.clock = Clock(self.minutes)

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Sets the learning rate."""
        for group in trainer.optimizers[0].param_groups:
            group["lr"] = LEARNING_RATE * self.clock.factor()

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Stops when the time is up."""
        self.steps += 1
        trainer.should_stop = self.clock.is_up


def prepared(train: list[Atoms], validation: list[Atoms], folder: Path) -> AtomsDataModule:
    """Returns the data, as SchNetPack reads them, with neighbours found and kept."""
    dataset = ASEAtomsData.create(
        str(folder / "data.db"), distance_unit="Ang", property_unit_dict={"energy": "eV", "forces": "eV/Ang"}
    )
    frames = [*train, *validation]
    properties = [
        {"energy": np.array([atoms.get_potential_energy()]), "forces": atoms.get_forces()} for atoms in frames
    ]
    dataset.add_systems(properties, frames)
    split = np.arange(len(frames))
    np.savez(
        folder / "split.npz", train_idx=split[: len(train)], val_idx=split[len(train) :], test_idx=split[len(train) :]
    )
    data = AtomsDataModule(
        str(folder / "data.db"),
        batch_size=BATCH,
        split_file=str(folder / "split.npz"),
        transforms=[
            Centred(),
            RemoveOffsets("energy", remove_mean=True),
            MatScipyNeighborList(cutoff=CUTOFF),
            CastTo32(),
        ],
        property_units={"energy": "kcal/mol", "forces": "kcal/mol/Ang"},
        distance_unit="Ang",
        num_workers=0,
    )
    data.prepare_data()
    data.setup()
    data._train_dataset, data._val_dataset = Kept(data.train_dataset), Kept(data.val_dataset)
    data._train_dataloader = data._val_dataloader = None
    return data


def outputs() -> list[spk.task.ModelOutput]:
    """Returns losses and metrics of energies and forces."""
    return [
        spk.task.ModelOutput(
            name=name,
            loss_fn=torch.nn.MSELoss(),
            loss_weight=weight,
            metrics={"mae": torchmetrics.MeanAbsoluteError()},
        )
        for name, weight in WEIGHTS.items()
    ]


def predicted(model: Any, frames: list[Atoms]) -> tuple[np.ndarray, np.ndarray]:
    """Returns energies [n], eV, and forces [n, atoms, 3], eV/Å."""
    converter = AtomsConverter(MatScipyNeighborList(cutoff=CUTOFF), transforms=[Centred()], dtype=torch.float32)
    energies, forces = [], []
    for start in range(0, len(frames), 50):
        found = model(converter(frames[start : start + 50]))
        energies.append(found["energy"].detach().double().numpy())
        forces.append(found["forces"].detach().double().numpy())
    return KCAL * np.concatenate(energies), KCAL * np.concatenate(forces).reshape(len(frames), -1, 3)


def main() -> None:
    """Trains and predicts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("train", "validation", "test", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    train, validation, test = (ase.io.read(file, index=":") for file in (chosen.train, chosen.validation, chosen.test))
    pl.seed_everything(chosen.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = prepared(train, validation, folder)
        task = spk.task.AtomisticTask(
            model=built([CastTo64(), AddOffsets("energy", add_mean=True)]),
            outputs=outputs(),
            optimizer_cls=torch.optim.AdamW,
            optimizer_args={"lr": LEARNING_RATE, "weight_decay": 0.0},
        )
        timed = Timed(chosen.minutes)
        best = spk.train.ModelCheckpoint(
            model_path=str(folder / "best"), dirpath=str(folder), monitor="val_loss", mode="min", save_top_k=1
        )
        trainer = pl.Trainer(
            callbacks=[spk.train.ExponentialMovingAverage(EMA_DECAY), best, timed],
            accelerator="cpu",
            devices=1,
            max_epochs=-1,
            default_root_dir=str(folder),
            logger=False,
            num_sanity_val_steps=0,
            inference_mode=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(task, datamodule=data)
        model = torch.load(folder / "best", weights_only=False).eval()
        seconds = timed.clock.seconds
        energies, forces = predicted(model, test)
    parameters = sum(p.numel() for p in model.parameters())
    np.savez(chosen.out, energies=energies, forces=forces, steps=timed.steps, seconds=seconds, parameters=parameters)


if __name__ == "__main__":
    main()
