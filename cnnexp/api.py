"""The public functions: a plan, a run, the runs there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnexp import records as recorded
from cnnexp.config import Composer, Config, of_model
from cnnexp.errors import ConfigError
from cnnexp.verify import network, unused, verify

if TYPE_CHECKING:
    from torch import nn

    from cnnexp.architecture.plan import Plan


@dataclass(frozen=True)
class Run:
    """A recorded run.

    Arguments:
        path: its folder.
    """

    path: Path

    @property
    def status(self) -> str:
        """running, completed, failed or interrupted."""
        return recorded.load(self.path).status

    @property
    def metrics(self) -> dict[str, float]:
        """The final metrics by name; those of the test set are those of the best checkpoint."""
        return recorded.load(self.path).metrics

    @property
    def config(self) -> dict[str, Any]:
        """The resolved config, as plain data."""
        return recorded.load(self.path).config

    def load_model(self, which: str = "best") -> nn.Sequential:
        """The trained network, in eval mode on the CPU.

        Arguments:
            which: `best` or `last`, the checkpoint to take the weights from.

        Raises:
            RunError: the run has no whole checkpoint of that name.
        """
        from cnnexp.training import checkpoints

        state = checkpoints.load(self.path / "checkpoints" / f"{which}.ckpt")["state_dict"]
        model = network(self.config)[0].structure()
        model.load_state_dict({k.removeprefix("model."): v for k, v in state.items() if k.startswith("model.")})
        return model.eval()


def plan(
    model: str | Path | Mapping[str, Any], input_shape: Sequence[int] | None = None, num_classes: int | None = None
) -> Plan:
    """A shape-checked network.

    Arguments:
        model: the name of a shipped network, a YAML file, or a mapping with `layers`.
        input_shape: the sample shape without the batch, such as (3, 32, 32); the data set's when None.
        num_classes: what `${data.num_classes}` stands for; the data set's when None.

    Raises:
        ConfigError: the network cannot be built; holds every problem.
    """
    config = _model_config(model, input_shape, num_classes)
    planned, problems = network(config.values, unused(config))
    found = (*config.problems, *config.locator.locate(problems))
    if found:
        raise ConfigError(found)
    return planned


def _model_config(model: str | Path | Mapping[str, Any], shape: Sequence[int] | None, classes: int | None) -> Config:
    given = {"shape": list(shape) if shape else None, "num_classes": classes}
    overrides = [f"data.{k}={v}".replace(" ", "") for k, v in given.items() if v is not None]
    if isinstance(model, str) and not model.endswith((".yaml", ".yml")):
        return Composer().compose([f"model={model}", *overrides])
    if not isinstance(model, Mapping):
        file = Path(model)
        if file.parent.name == "model" and file.is_file():
            # A file in a config folder may choose its data set; composing it does what the command line would.
            return Composer(first=file.resolve().parent.parent).compose([f"model={file.stem}", *overrides])
        model = file
    return of_model(model, Composer().compose(overrides).values["data"])


def train(overrides: Sequence[str] = ()) -> Run:
    """Train one network and record it, as the command line does.

    Arguments:
        overrides: choices and values, such as `["model=tudui", "trainer.max_epochs=3"]`.

    Raises:
        ConfigError: something is wrong with the config; nothing was run.
        RunError: the run failed; its record says why.
    """
    from cnnexp.training.fit import Job, run

    config = Composer().compose(overrides)
    verdict = verify(config)
    job = Job(
        verdict.config,
        verdict.sound(),
        name="_".join(config.choices[group] for group in ("model", "data")),
        choices=config.choices,
        overrides=config.overrides,
        command=f"cnnexp.train({list(overrides)!r})",
        root=Path(verdict.config["outputs"]) / "runs",
    )
    try:
        return Run(run(job))
    except ConfigError as error:
        raise ConfigError(config.locator.locate(error.problems)) from None


def runs(folder: str | Path = "outputs") -> list[Run]:
    """Every run recorded below a folder, oldest first."""
    return [Run(found.path) for found in recorded.find(Path(folder))]
