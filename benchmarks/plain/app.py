"""A plain Hydra and Lightning application as the two projects' guides write it, to measure sweeps against.

python benchmarks/plain/app.py --multirun activation=relu,sigmoid
"""

from __future__ import annotations

import hydra
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import TensorBoardLogger
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset, random_split
from torchmetrics.classification import MulticlassAccuracy

from cnnexp.data.sets import load


def network(name: str, activation: str) -> nn.Sequential:
    """The networks of the tutorials."""
    layer = getattr(nn, activation)
    if name == "mlp":
        return nn.Sequential(nn.Flatten(), nn.Linear(784, 256), layer(), nn.Linear(256, 10))
    if name == "net":
        return nn.Sequential(
            nn.Conv2d(3, 6, 5), layer(), nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5), layer(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(400, 120), layer(), nn.Linear(120, 84), layer(), nn.Linear(84, 10),
        )  # fmt: skip
    return nn.Sequential(
        nn.Conv2d(3, 32, 5, padding=2), layer(), nn.MaxPool2d(2),
        nn.Conv2d(32, 32, 5, padding=2), layer(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 5, padding=2), layer(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(1024, 64), nn.Linear(64, 10),
    )  # fmt: skip


class Classifier(pl.LightningModule):
    """A network, trained with Adam."""

    def __init__(self, model: nn.Sequential, lr: float) -> None:
        super().__init__()
        self.lr = lr
        self.model = model
        self.loss = nn.CrossEntropyLoss()
        self.accuracy = nn.ModuleDict({stage: MulticlassAccuracy(10) for stage in ("at_train", "at_val", "at_test")})

    def _step(self, batch: tuple[Tensor, Tensor], stage: str) -> Tensor:
        images, labels = batch
        scores = self.model(images)
        loss: Tensor = self.loss(scores, labels)
        metric = self.accuracy[f"at_{stage}"]
        metric(scores, labels)
        self.log(f"{stage}_loss", loss, on_step=False, on_epoch=True)
        self.log(f"{stage}_accuracy", metric, on_step=False, on_epoch=True)
        return loss

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """One step."""
        return self._step(batch, "train")

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """One batch held out."""
        self._step(batch, "val")

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """One batch of the test set."""
        self._step(batch, "test")

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam."""
        return torch.optim.Adam(self.parameters(), lr=self.lr)


@hydra.main(version_base=None, config_path=".", config_name="app")
def main(config: DictConfig) -> None:
    """Train, validate, keep the best, test."""
    pl.seed_everything(config.seed, verbose=False)
    shape = [1, 28, 28] if config.model == "mlp" else [3, 32, 32]
    found = load({"name": "digits", "shape": shape, "num_classes": 10})
    train, test = (TensorDataset(part.images.float().div(255), part.labels) for part in (found.train, found.test))
    fit, held_out = random_split(train, [len(train) - 144, 144])
    module = Classifier(network(config.model, config.activation), config.lr)
    trainer = pl.Trainer(
        max_epochs=config.epochs,
        callbacks=[ModelCheckpoint(monitor="val_accuracy", mode="max", save_last=True)],
        logger=TensorBoardLogger("logs"),
        accelerator="cpu",
    )
    loaders = [DataLoader(part, 64, shuffle=part is fit) for part in (fit, held_out, test)]
    trainer.fit(module, loaders[0], loaders[1])
    trainer.test(module, loaders[2], verbose=False)


if __name__ == "__main__":
    main()
