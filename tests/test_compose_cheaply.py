"""Points that differ in values cost the setting of values; what comes out is what Hydra's own loading gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.types import RunMode
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf

from cnnexp.config import Composer, Config
from cnnexp.config.loading import Loaded, Loader, of_hydra
from cnnexp.errors import ConfigError
from cnnexp.errors import Path as KeyPath
from cnnexp.verify import Known, Verdict, verify

pytestmark = pytest.mark.slow

CHOICES = (
    "model=net", "model=unet", "model=nope", "model={stride: 2}", "model=[net,tudui]", "~model", "+model=net",
    "++model=net", "model@other=net", "+model@other=net", "data@model.data=mnist", "optimizer=sgd", "data=vectors",
    "data=arrays", "~data", "experiment=tutorial_cifar10", "experiment=[]", "~logger", "~logger=tensorboard",
    "~logger=nope", "~scheduler", "scheduler=step", "task={type: none}", "hydra/job_logging=default", "model=../x",
    "~seed", "~model.stride", "~model.stride=1", "~model.stride=7", "~model.layers.0", "~trainer.zzz", "~hydra",
    "hydra.verbose=true", "hydra.job.name=x", "foo", "=3",
)  # fmt: skip
KEYS = (
    "seed", "seedd", "outputs", "extensions", "optimizer", "optimizer.lr", "optimizer.betas", "optimizer.amsgrad",
    "model", "model.stride", "model.strid", "model.activation", "model.mine", "model.layers", "model.layers.0",
    "model.layers.0.out_channels", "model.layers.0.stride.x", "model.layers.9", "model.layers.99", "loss.weight",
    "trainer", "trainer.max_epochs", "data", "data.shape", "data.path", "data.num_classes", "data.batch_size",
    "task.metrics", "task.metrics.new", "hydra", "hydra.zzz", "hydra.verbose", "a.b.c",
)  # fmt: skip
VALUES = (
    "3", "-1", "0.5", "1e-3", "inf", "true", "null", "relu", "hydra", "'quoted, text'", "'${model.stride}'", "[]",
    "[1,2]", "{}", "{type: LeakyReLU, negative_slope: 0.2}", "{stride: 2}", "{lr: 3}", "{a: ???}", "???",
    "${model.stride}", "${model.activation}", "${model}", "${data}", "${data.class_names}", "${nope}",
    "${model.layers.0.kernel_size}", "${model.layers[1]}", "${.stride}", "${..seed}", "a${seed}b",
    "[${seed}, {a: ${model.stride}}]", "{batch_size: ${seed}}", "${${seed}}", "${oc.env:HOME}", "${hydra.job.name}",
    "${oc.select:hydra.job.name}", r"\${seed}", "${seed", "1,2", "[1",
)  # fmt: skip

Told = dict[str, Any]


class Whole(Loader):
    """Hydra's own loading of everything, every time."""

    def load(self, texts: Sequence[str]) -> Loaded:
        config = self.hydras.load_configuration(self.config_name, list(texts), RunMode.RUN)
        return Loaded(config, self._find(texts), *of_hydra(config))

    def chosen(self, texts: Sequence[str]) -> DictConfig:
        config: DictConfig = self.hydras.load_configuration(self.config_name, list(texts), RunMode.RUN)
        return config

    def options(self, group: str) -> list[str]:
        names: list[str] = self.hydras.get_group_options(group)
        return names


def whole() -> Composer:
    """A composer that keeps nothing from one point for the next."""
    composer = Composer()
    composer._files = Whole(composer.loader, composer.config_name)
    return composer


def told(composer: Composer, texts: Sequence[str]) -> Told:
    """All that can be seen of a composed config, as texts; the place of every value is among it."""
    try:
        config = composer.compose(texts)
    except ConfigError as error:
        return {"refused": [repr(p) for p in error.problems]}
    return {
        "values": repr(config.values),
        "raw": repr(config.locator.raw),
        "problems": [repr(p) for p in config.problems],
        "choices": config.choices,
        "verbose": config.verbose,
        "places": {path: config.locator.where(path) for path in paths(config.values, ())},
    }


def paths(value: Any, path: KeyPath) -> Iterator[KeyPath]:
    yield path
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from paths(inner, (*path, key))


def by_hydra_alone(texts: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The plain values, and the choices, without anything of ours but the config folders."""
    loader = Composer().loader
    config = loader.load_configuration("config", list(texts), RunMode.RUN)
    found = config.hydra.runtime.choices.items()
    choices = {k: v for k, v in found if v is not None and "/" not in k and k not in ("sweep", "show")}
    values = {str(key): config[key] for key in config if key != "hydra"}
    return {
        k: OmegaConf.to_container(v, resolve=True) if OmegaConf.is_config(v) else v for k, v in values.items()
    }, choices


def spoil(config: Config) -> None:
    """Change everything that a composed config gives to those who asked for it."""
    for value in (config.values, dict(config.locator.raw)):
        for section in value.values():
            if isinstance(section, dict):
                section["layers"] = section["spoilt"] = ["spoilt"]
    config.values.clear()
    config.choices.clear()


GOOD = (
    ("optimizer.lr=0.5", "model.stride=2", "model.activation={type: LeakyReLU, negative_slope: 0.2}"),
    ("model=net", "+model.mine=[${seed}, {a: ${model.stride}}]", "seed=3", "seed=4"),
    ("~scheduler", "++data.extra={a: {b: [1, null, 'x, y']}}", "model.layers.0.out_channels=${.kernel_size}"),
    ("outputs=out/${hydra.job.name}/${seed}", "seed=7", "hydra.job.name=mine"),
    ("model={stride: 2}", "optimizer=sgd", "task.metrics={}", "model.layers=[Flatten, '${model.layers.0}x']"),
    ("model.activation=${model.layers.2}", "data.class_names=${model.activation}", "+model.same=${model.activation}"),
)


@pytest.fixture(scope="module")
def composer() -> Composer:
    """A composer that has composed other points before."""
    used = Composer()
    for texts in (("seed=9", "model.stride=5"), ("model=net", "model.stride=5"), ("seedd=9",)):
        spoil(used.compose(texts))
    return used


@pytest.mark.parametrize("texts", GOOD, ids=" ".join)
def test_what_is_composed_is_what_hydra_composes(composer: Composer, texts: tuple[str, ...]) -> None:
    config = composer.compose(texts)

    assert (config.values, config.choices) == by_hydra_alone(texts)
    assert config.problems == ()


@st.composite
def overrides(draw: st.DrawFn) -> list[str]:
    """Any overrides: choices, values, and what is neither."""
    sign, key, value = st.sampled_from(("", "", "", "+", "++")), st.sampled_from(KEYS), st.sampled_from(VALUES)
    setting = st.builds("{}{}={}".format, sign, key, value)
    return draw(st.lists(st.sampled_from(CHOICES) | setting | setting | setting, min_size=1, max_size=4))


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(overrides())
def test_whatever_the_overrides_the_outcome_is_that_of_loading_everything_again(
    composer: Composer, texts: list[str]
) -> None:
    alone = told(whole(), texts)
    if "maximum recursion depth" in repr(alone):
        return  # at which depth Python gives up, and with which words, depends on who called
    event("refused" if "refused" in alone else "with problems" if alone["problems"] else "good")

    assert told(composer, texts) == alone
    if not alone.get("problems", True):
        spoil(composer.compose(texts))
        assert told(composer, texts) == alone


@pytest.mark.parametrize(
    "texts",
    [("model.strid=2", "model=nett", "optimizer.lr=3"), ("seed=[1", "hydra.zzz=1", "+seed=3")],
    ids=" ".join,
)
def test_mistakes_are_told_as_if_everything_was_loaded_again(composer: Composer, texts: tuple[str, ...]) -> None:
    alone = told(whole(), texts)

    assert alone["problems"]
    assert told(composer, texts) == alone


def test_points_do_not_depend_on_those_before_them(composer: Composer) -> None:
    sets = [GOOD[0], GOOD[5], ("seedd=3",), ("model.stride=${nope}",), ("seed=3", "+seed=4"), ()]
    forth = [told(composer, texts) for texts in sets]
    for texts in sets:
        spoil(composer.compose(texts))
    back = [told(composer, texts) for texts in reversed(sets)]

    assert forth == back[::-1]


def test_files_are_merged_once_for_each_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[list[str]] = []
    load = ConfigLoaderImpl.load_configuration

    def counted(self: ConfigLoaderImpl, name: str, texts: list[str], run_mode: RunMode) -> DictConfig:
        loads.append(texts)
        return load(self, name, texts, run_mode)

    monkeypatch.setattr(ConfigLoaderImpl, "load_configuration", counted)
    composer = Composer()
    for model in ("net", "tudui"):
        for lr in ("0.1", "0.2", "x"):
            composer.compose([f"model={model}", f"optimizer.lr={lr}", "seedd=3"])
            composer.compose(["model=nett", f"optimizer.lr={lr}", "hydra.zzz=3"])

    assert sorted(loads) == [[], ["model=net"], ["model=nett", "hydra.zzz=3"], ["model=tudui"]]


def test_a_file_that_refers_to_hydras_own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "conf" / "experiment" / "mine.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("# @package _global_\noutputs: out/${hydra.job.override_dirname}\n")
    monkeypatch.chdir(tmp_path)
    used = Composer()
    for texts in (["experiment=mine"], ["experiment=mine", "seed=3"]):
        config = used.compose(texts)

        assert config.values == by_hydra_alone(texts)[0]
        assert config.values["outputs"] == f"out/{','.join(texts)}"


def test_a_primary_config_that_names_more_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in {
        "conf/mine.yaml": f"defaults: [config, _self_]\nhydra: {{searchpath: ['file://{tmp_path}/more']}}\n",
        "more/extra/one.yaml": "# @package _global_\nseed: 5\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    used = Composer("mine")

    for texts, seed in (([], 0), (["+extra=one"], 5), (["+extra=one", "seed=6"], 6)):
        config = used.compose(texts)
        assert (config.values["seed"], config.problems) == (seed, ())


NEAR: Sequence[tuple[str, ...]] = (
    (), ("optimizer.lr=0.5",), ("optimizer.lr=-1",), ("seed=3",), ("model.stride=2",), ("model.stride=9",),
    ("model.layers=[Flatten]",), ("model.layers=[Flatten,{type: Linear, out_features: 10}]",),
    ("data.shape=[1,16,16]",), ("data.num_classes=12",), ("model.freeze=['*']",),
    ("model.freeze=['*']", "optimizer.lr=0.5"), ("+model.mine=3",),
    ("loss.label_smoothing=2",), ("loss.type=MSELoss",), ("task.type=none",), ("trainer.precision=64-true",),
    ("extensions=[no_such_module]",), ("extensions=3",), ("model.no_advice=[flat]",),
)  # fmt: skip
FAR: Sequence[tuple[str, ...]] = (
    ("model.activation=relo",), ("optimizer=sgd", "optimizer.nesterov=true"), ("loss=mse",), ("loss=nll",),
    ("task=none",), ("scheduler=one_cycle",), ("model=mlp_softmax",), ("model=mlp_softmax", "optimizer.lr=0.5"),
    ("model=mlp_softmax", "model.no_advice=[softmax-before-loss]"), ("data=cifar10",), ("data=cifar10", "task=none"),
)  # fmt: skip


def everything(verdict: Verdict) -> tuple[Any, ...]:
    return verdict.config, verdict.plan, verdict.problems, verdict.advice, verdict.as_dict()


@pytest.mark.parametrize("points", [NEAR, pytest.param([*NEAR, *FAR], marks=pytest.mark.slow)], ids=["values", "files"])
def test_a_verdict_is_the_same_with_what_other_checks_have_found_out(
    composer: Composer, points: Sequence[tuple[str, ...]]
) -> None:
    known = Known()
    alone = [everything(verify(composer.compose(texts))) for texts in points]
    together = [everything(verify(composer.compose(texts), known)) for texts in (*points, *reversed(points[::2]))]

    assert together == [*alone, *reversed(alone[::2])]


def test_points_that_share_a_network_plan_it_once(composer: Composer) -> None:
    known = Known()
    plans = [verify(composer.compose(texts), known).sound() for texts in (("seed=1",), ("optimizer.lr=0.5",))]

    assert plans[0].layers is plans[1].layers
    assert plans[0].layers is not verify(composer.compose(["model.padding_mode=reflect"]), known).sound().layers
