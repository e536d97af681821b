"""A potential trained by two processes is the one trained by one process on the joint batches."""

import os
import subprocess
import sys
from pathlib import Path

import torch

import sciml_zoo as sz

RECIPE = Path(__file__).parents[2] / "scripts" / "recipes" / "gto_potential.yaml"
# Batches of 5 are uneven on two ranks, and the last of each epoch (57 structures) has 2.
OPTIONS = {
    "data.train": "dataset:samples/water.xyz",
    "model.n_radial": 5,
    "model.n_channels": 6,
    "model.n_hidden": 12,
    "trainer.max_steps": 16,
    "trainer.validate_every": 8,
    "trainer.precision": "64-true",
    "trainer.accelerator": "cpu",
}


def train(launcher: list[str], directory: Path) -> torch.Tensor:
    options = [f"--{key}={value}" for key, value in OPTIONS.items()]
    command = [sys.executable, *launcher, "-m", "sciml_zoo", "train", str(RECIPE), "--out", str(directory), *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280, check=False)
    assert run.returncode == 0, run.stderr
    model = sz.load_model(f"local-dir:{directory / 'best'}")
    return torch.nn.utils.parameters_to_vector(model.parameters()).detach()


def test_two_ranks_train_the_same_forces_as_one(tmp_path):
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    alone = train([], tmp_path / "one")
    together = train(launcher, tmp_path / "two")
    assert alone.dtype == torch.float64
    assert (alone - together).abs().max() <= 1e-6 * alone.abs().max()
