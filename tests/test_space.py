"""The space of a sweep: Hydra's grids as Hydra expands them, and what cnnexp adds: zip, exclude, seeds, studies."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import pytest
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnexp.config import Composer
from cnnexp.errors import ConfigError
from cnnexp.sweeps.settings import read
from cnnexp.sweeps.space import Space, space


@pytest.fixture(scope="module")
def composer() -> Composer:
    return Composer()


def changes(found: Space) -> list[dict[str, str]]:
    return [dict(point.changed) for point in found.points]


def told(composer: Composer, words: Sequence[str]) -> str:
    with pytest.raises(ConfigError) as error:
        space(composer, words)
    return str(error.value)


SWEPT = [
    "model.activation=relu,sigmoid", "model.padding_mode=zeros,reflect,replicate,circular", "model.stride=range(1,4)",
    "model=glob(single*)", "model=choice(net,tudui)", "optimizer.lr=1e-3,1e-2", "seed=1,2", "+optimizer.eps=1e-8,1e-7",
    "model.activation={type:LeakyReLU,negative_slope:0.1},null,relu", "model.stride=shuffle(sort(3,1,2))",
    "model.stride=range(1,2,0.5)", "data.class_names='a,b','c'", "loss=cross_entropy,nll",
]  # fmt: skip
FIXED = ["trainer.max_epochs=3", "optimizer=sgd", "model.layers.0.bias=false", "scheduler=step", "data.mean=[0.5]"]


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.sampled_from([w for w in SWEPT if "shuffle" not in w]), min_size=1, max_size=3),
    st.lists(st.sampled_from(FIXED), max_size=3, unique=True),
    st.randoms(use_true_random=False),
)
def test_a_grid_is_the_one_of_hydras_own_sweeper(
    composer: Composer, swept: list[str], fixed: list[str], random: object
) -> None:
    words = [*swept, *fixed]
    random.shuffle(words)  # type: ignore[attr-defined]
    parser = OverridesParser.create(config_loader=composer.loader)
    expected = BasicSweeper.split_arguments(parser.parse_overrides(words), None)[0]
    found = space(composer, words).points
    assert [[text.lower() for text in point.overrides] for point in found] == [[t.lower() for t in e] for e in expected]


def test_the_last_factor_varies_fastest_and_seeds_vary_last(composer: Composer) -> None:
    found = space(composer, ["model.stride=1,2", "model.activation=relu,tanh", "sweep.seeds=2", "seed=5"])
    expected = [
        {"model.stride": s, "model.activation": a, "seed": n}
        for s, a, n in itertools.product("12", ["relu", "tanh"], "56")
    ]
    assert changes(found) == expected
    assert [point.number for point in found.points] == list(range(8))


def test_seeds_may_be_named(composer: Composer) -> None:
    assert changes(space(composer, ["sweep.seeds=[7,11]"])) == [{"seed": "7"}, {"seed": "11"}]


def test_zipped_values_go_together(composer: Composer) -> None:
    words = ["model.stride=1,2", "model.pool={type:MaxPool2d,kernel_size:2},null", "optimizer.lr=0.1,0.2"]
    found = space(composer, [*words, "sweep.zip=[[model.stride,model.pool]]"])
    assert [(c["model.stride"], c["model.pool"], c["optimizer.lr"]) for c in changes(found)] == [
        ("1", "{type:MaxPool2d,kernel_size:2}", "0.1"),
        ("1", "{type:MaxPool2d,kernel_size:2}", "0.2"),
        ("2", "null", "0.1"),
        ("2", "null", "0.2"),
    ]
    assert changes(space(composer, [*words, "sweep.zip=[model.stride,model.pool]"])) == changes(found)


@pytest.mark.parametrize(
    ("rule", "left"),
    [
        ("{model.stride:2,model.activation:tanh}", ["1 relu", "1 tanh", "2 relu"]),
        ("{model.stride:2}", ["1 relu", "1 tanh"]),
        ("{model.stride:[1,2],model.activation:relu}", ["1 tanh", "2 tanh"]),
        ("{model:tudui,model.stride:1}", ["2 relu", "2 tanh"]),
        ("{model:net,model.stride:1}", ["1 relu", "1 tanh", "2 relu", "2 tanh"]),
        ("{trainer.max_epochs:8,model.stride:1}", ["2 relu", "2 tanh"]),
    ],
)
def test_excluded_points_are_left_out(composer: Composer, rule: str, left: list[str]) -> None:
    found = space(composer, ["model.stride=1,2", "model.activation=relu,tanh", f"sweep.exclude=[{rule}]"])
    assert [" ".join(c.values()) for c in changes(found)] == left
    assert found.idle == ((0,) if len(left) == 4 else ())


@pytest.mark.parametrize(
    ("words", "left"),
    [
        (["optimizer=sgd,adam", "sweep.exclude=[{optimizer:sgd,optimizer.lr:0.001}]"], ["sgd", "adam"]),
        (["optimizer=sgd,adam", "sweep.exclude=[{optimizer.lr:0.001}]"], ["sgd"]),
        (["optimizer=sgd,adam", "sweep.exclude=[{optimizer.momentum:[0.0,0.9]}]"], ["adam"]),
        (["model=mlp,net", "sweep.exclude=[{model:mlp,model.activation:ReLU}]"], ["net"]),
        (["model=mlp,net", "sweep.exclude=[{data.num_classes:10}]", "data.batch_size=32"], None),
    ],
)
def test_a_rule_asks_the_point_itself(composer: Composer, words: list[str], left: list[str] | None) -> None:
    """What a key holds may come from a file that the sweep chooses."""
    if left is None:
        with pytest.raises(ConfigError, match="leaves out every point"):
            space(composer, words)
        return
    assert [next(iter(at.changed.values())) for at in space(composer, words).points] == left


def test_a_key_may_be_deleted_and_swept(composer: Composer) -> None:
    found = space(composer, ["~optimizer.lr", "+optimizer.lr=0.1,0.2"]).points
    assert [composer.compose(at.overrides).values["optimizer"]["lr"] for at in found] == [0.1, 0.2]
    assert [dict(at.changed) for at in found] == [{"optimizer.lr": "0.1"}, {"optimizer.lr": "0.2"}]


def test_a_key_that_some_group_has_is_no_typo(composer: Composer) -> None:
    assert len(space(composer, ["optimizer=sgd,adam", "sweep.exclude=[{optimizer.momentum:0.123}]"]).points) == 2
    with pytest.raises(ConfigError, match=r"names optimizer\.mometum, which is no key of the config"):
        space(composer, ["optimizer=sgd,adam", "sweep.exclude=[{optimizer.mometum:0.9}]"])


def test_a_study_is_a_file_and_the_command_line_wins(composer: Composer) -> None:
    whole = space(composer, ["sweep=padding"])
    assert whole.settings.name == "padding"
    assert len(whole.points) == 4 * 2 * 3
    less = space(composer, ["sweep=padding", "model.padding_mode=zeros", "sweep.seeds=null", "model.stride=1,2"])
    assert changes(less) == [
        {"model.activation": a, "model.stride": s} for a, s in itertools.product(["null", "ReLU"], "12")
    ]


@pytest.mark.parametrize("name", sorted(p.stem for p in Path("conf/sweep").glob("*.yaml") if p.stem != "default"))
@pytest.mark.slow
def test_every_shipped_study_fits(composer: Composer, name: str) -> None:
    from cnnexp.sweeps.preflight import inspect, problems

    points = list(inspect(composer, space(composer, [f"sweep={name}"])))
    assert problems(points) == []
    assert len({point.identity for point in points}) == len(points) > 6


def test_hydras_own_place_for_a_grid_is_read(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "defaults: [config, _self_]\nhydra: {sweeper: {params: {model.stride: '1,2', seed: 'range(3)'}}}\n"
    )
    found = space(Composer("mine", str(tmp_path)), [])
    assert [tuple(c.values()) for c in changes(found)] == list(itertools.product("12", "012"))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "model.stride: '1,'",
            "sweep.grid: 'model.stride=1,' cannot be read: a value is missing behind the last comma",
        ),
        ("seed: '1]'", "sweep.grid: 'seed=1]' cannot be read: extraneous input ']'"),
        ("seed: a=b", "sweep.grid: 'seed=a=b' cannot be read: mismatched input '='"),
        (
            "seed: glob(*)",
            "sweep.grid: 'seed=glob(*)' sweeps nothing: glob lists the files of a group, and seed is none\n"
            "  hint: write its values out: seed=a,b",
        ),
    ],
)
def test_a_mistake_in_the_grid_of_a_study_is_told_in_its_line(tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "mine.yaml").write_text(f"name: mine\ngrid:\n  optimizer.lr: [1, 2]\n  {line}\n")
    place = f"{tmp_path}/sweep/mine.yaml:4:3"
    text = told(Composer(config_dir=str(tmp_path)), ["sweep=mine"])
    assert text == f"error: {place} {said}\n1 problem; nothing was run"


def test_a_single_value_may_take_the_place_of_those_of_a_study(tmp_path: Path) -> None:
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "mine.yaml").write_text("name: mine\ngrid:\n  model: [mlp, net]\n")
    composer = Composer(config_dir=str(tmp_path))
    assert changes(space(composer, ["sweep=mine", "model=net", "seed=1,2"])) == [{"seed": "1"}, {"seed": "2"}]
    assert told(composer, ["sweep=mine", "model=net"]) == (
        "error: override 'model=net': nothing is swept: this single value took the place of what sweep.grid gives "
        "model\n"
        "  hint: leave it out, or give model several values\n"
        "1 problem; nothing was run"
    )


REFUSED = [
    (
        ["model=net"],
        "error: nothing is swept: --multirun wants several values for a key\n"
        "  hint: for example --multirun model.activation=relu,sigmoid\n"
        "1 problem; nothing was run",
    ),
    (
        ["optimizer.lr=0.1,0.2", "optimizer.lr=0.3", "optimizer.lr=0.4"],
        "error: override 'optimizer.lr=0.4': nothing is swept: this single value took the place of "
        "optimizer.lr=0.1,0.2\n"
        "  hint: leave it out, or give optimizer.lr several values\n"
        "1 problem; nothing was run",
    ),
    (
        ["seed=glob(*)"],
        "error: override 'seed=glob(*)': sweeps nothing: glob lists the files of a group, and seed is none\n"
        "  hint: write its values out: seed=a,b\n"
        "1 problem; nothing was run",
    ),
    (
        ["optimizer=glob(zz*)"],
        "error: override 'optimizer=glob(zz*)': sweeps nothing: no file of the group optimizer has such a name\n"
        "  hint: there are adam, adamw, rmsprop, sgd\n"
        "1 problem; nothing was run",
    ),
    (
        ["seed=range(1,1)"],
        "error: override 'seed=range(1,1)': has no value\n"
        "  hint: write its values out: seed=1,2\n"
        "1 problem; nothing was run",
    ),
    *(
        (
            [text],
            f"error: override '{text}': cannot be read: a value is missing {place}\n"
            "  hint: values follow each other without a space: optimizer.lr=1,2; "
            "for a single one leave the comma out\n"
            "1 problem; nothing was run",
        )
        for text, place in {
            "optimizer.lr=0.1,": "behind the last comma",
            "optimizer.lr=,0.1": "before the first comma",
            "optimizer.lr=0.1,,0.2": "between commas",
            "optimizer.lr={a:[1,2]},'x,y',": "behind the last comma",
        }.items()
    ),
    (
        ["sweep.exclude={seed:1}"],
        "error: override 'sweep.exclude={seed:1}': sweep.exclude must be a list of mappings, not a mapping\n"
        "1 problem; nothing was run",
    ),
    (
        ["sweep.grid=[1,2]"],
        "error: override 'sweep.grid=[1,2]': sweep.grid must be a mapping, not [1, 2]\n1 problem; nothing was run",
    ),
    (
        ["seed=1,2", "+sweep.x=3"],
        "error: override '+sweep.x=3': there is no key 'x' in sweep\n1 problem; nothing was run",
    ),
    (
        ["seed=1,2", "sweep.max_job=3"],
        "error: override 'sweep.max_job=3': there is no key 'max_job' in sweep; did you mean 'max_jobs'?\n"
        "1 problem; nothing was run",
    ),
    (
        ["seed=1,2", "sweep=paddin"],
        "error: override 'sweep=paddin': there is no sweep 'paddin'; did you mean 'padding'?\n"
        "  hint: choose one of activation, default, padding, stride_vs_pool\n"
        "1 problem; nothing was run",
    ),
    (
        ["seed=1,2", "sweep.seeds=3"],
        "error: override 'sweep.seeds=3': the seeds are named twice: by seed=… and by sweep.seeds\n"
        "1 problem; nothing was run",
    ),
    (
        ["seed=1,2", "sweep.name=a,b"],
        "error: override 'sweep.name=a,b': sweep.name says how the sweep is made; it cannot be swept itself\n"
        "1 problem; nothing was run",
    ),
    (
        ["seed=1,2", "+sweep.grid.optimizer.lr=[0.1,0.2]"],
        "error: conf/sweep/default.yaml:5:1 sweep.grid: optimizer holds a mapping, "
        "and wants the values of one key\n"
        "  hint: write whole keys: optimizer.lr: [1, 2]\n"
        "1 problem; nothing was run",
    ),
    (
        ["hydra.sweeper.params={optimizer.lr: '0.1,0.2'}"],
        "error: override 'hydra.sweeper.params={optimizer.lr: '0.1,0.2'}': hydra.sweeper.params is for a config file\n"
        "  hint: here, give the key its values: optimizer.lr=0.1,0.2\n"
        "1 problem; nothing was run",
    ),
    (
        ["hydra.verbose=true,false"],
        "error: override 'hydra.verbose=true,false': hydra.verbose says how the command works and changes no run; "
        "it cannot be swept\n"
        "1 problem; nothing was run",
    ),
    (
        ["outputs=a,b"],
        "error: override 'outputs=a,b': a sweep is recorded in one folder: outputs cannot be swept\n"
        "1 problem; nothing was run",
    ),
    (
        ["seed=range(2000)"],
        "error: conf/sweep/default.yaml:10:1 the grid has 2,000 points, more than sweep.max_jobs (1,000)\n"
        "  hint: if they are all meant: sweep.max_jobs=2000\n"
        "1 problem; nothing was run",
    ),
    (
        ["seed=range(20000)", "optimizer.lr=range(0,20000)"],
        "error: override 'optimizer.lr=range(0,20000)': has more than 10,000 values\n"
        "error: override 'seed=range(20000)': has more than 10,000 values\n"
        "2 problems; nothing was run",
    ),
    (
        ["seed=range(5000)", "optimizer.lr=range(0,5000)"],
        "error: conf/sweep/default.yaml:10:1 the grid has 25,000,000 points, more than sweep.max_jobs (1,000)\n"
        "  hint: if they are all meant: sweep.max_jobs=25000000\n"
        "1 problem; nothing was run",
    ),
    (
        ["model.stride=1,2", "model.activation=relu,tanh,gelu", "sweep.zip=[[model.stride,model.activation]]"],
        "error: override 'sweep.zip=[[model.stride,model.activation]]': sweep.zip takes values together, "
        "but their numbers differ: model.stride 2, model.activation 3\n"
        "  hint: give each of these keys as many values as the others\n"
        "1 problem; nothing was run",
    ),
    (
        ["model.stride=1,2", "sweep.zip=[[model.stride,model.strides]]"],
        "error: override 'sweep.zip=[[model.stride,model.strides]]': sweep.zip names model.strides, "
        "which is not swept; did you mean 'model.stride'?\n"
        "1 problem; nothing was run",
    ),
    (
        ["model.stride=1,2", "sweep.exclude=[{model.strid:2}]"],
        "error: override 'sweep.exclude=[{model.strid:2}]': sweep.exclude[0] names model.strid, "
        "which is no key of the config; did you mean 'model.stride'?\n"
        "1 problem; nothing was run",
    ),
    (
        ["model.stride=1,2", "sweep.exclude=[{model.stride:[1,2]}]"],
        "error: override 'sweep.exclude=[{model.stride:[1,2]}]': sweep.exclude leaves out every point\n"
        "1 problem; nothing was run",
    ),
    (
        ["model.stride=1,2,1"],
        "error: override 'model.stride=1,2,1': model.stride holds 1 twice\n"
        "  hint: take one of them out; sweep.seeds repeats a point\n"
        "1 problem; nothing was run",
    ),
    (
        ["seed=1,2", "sweep.seeds=0"],
        "error: override 'sweep.seeds=0': sweep.seeds must be at least 1, or null\n1 problem; nothing was run",
    ),
    (
        ["sweep.seeds=1000000000"],
        "error: conf/sweep/default.yaml:10:1 the grid has 1,000,000,000 points, more than sweep.max_jobs (1,000)\n"
        "  hint: if they are all meant: sweep.max_jobs=1000000000\n"
        "1 problem; nothing was run",
    ),
    (
        ["sweep.seeds=[7,7]"],
        "error: override 'sweep.seeds=[7,7]': sweep.seeds names a seed twice\n1 problem; nothing was run",
    ),
    (
        ["seed=1,1", "optimizer.lr=0.1,0.1", "sweep.zip=[seed,optimizer.lr]"],
        "error: override 'sweep.zip=[seed,optimizer.lr]': sweep.zip puts the same values together twice: "
        "seed=1 optimizer.lr=0.1\n"
        "1 problem; nothing was run",
    ),
    (
        ["seed=1,2", "sweep.time_limit=soon", "sweep.memory_limit=4GG"],
        "error: override 'sweep.memory_limit=4GG': sweep.memory_limit must be bytes or a size such as 4GiB or 500MB, "
        "not '4GG'\n"
        "error: override 'sweep.time_limit=soon': sweep.time_limit must be seconds or HH:MM:SS, not 'soon'\n"
        "2 problems; nothing was run",
    ),
    (
        ["optimizer.lr=interval(0,1)"],
        "error: override 'optimizer.lr=interval(0,1)': interval(…) has no end of values; "
        "a grid wants single ones: 0.1,0.2 or range(1,5)\n"
        "1 problem; nothing was run",
    ),
    (
        ["seed=1,2", "hydra/launcher=joblib"],
        "error: override 'hydra/launcher=joblib': hydra.launcher has no effect: sweeps are cnnexp's own\n"
        "  hint: sweep.slots, sweep.threads and their neighbours say how jobs are run\n"
        "1 problem; nothing was run",
    ),
    (
        ["seed=1,2", "hydra.sweep.dir=x"],
        "error: override 'hydra.sweep.dir=x': hydra.sweep has no effect: sweeps are cnnexp's own\n"
        "  hint: outputs=DIR and sweep.name=NAME say where a sweep is recorded\n"
        "1 problem; nothing was run",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("words", "text"), REFUSED, ids=lambda v: " ".join(v) if isinstance(v, list) else "")
def test_what_cannot_be_meant_is_told(composer: Composer, words: list[str], text: str) -> None:
    assert told(composer, words) == text


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("1.5", 1.5), ("2:30", 150), ("01:00:05", 3605), ("0:0:0.5", 0.5)]
)
def test_time_limits_are_read(text: str, seconds: float) -> None:
    assert read({"time_limit": text})[0].seconds == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [("4GiB", 4 * 2**30), ("500MB", 500_000_000), ("1.5 gib", 3 * 2**29), (1024, 1024), ("2k", 2000), ("7", 7)],
)
def test_memory_limits_are_read(text: str | int, size: int) -> None:
    assert read({"memory_limit": text})[0].memory == size
