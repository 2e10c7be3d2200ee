"""The JSON Schemas: every shipped file keeps them, mistakes break them, and what breaks them is a mistake."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator
from referencing import Registry
from referencing.jsonschema import DRAFT7

from cnnexp import schema
from cnnexp.architecture import catalog
from cnnexp.architecture.catalog import LAYERS
from cnnexp.architecture.composites import COMPOSITES, STRUCTURE
from cnnexp.architecture.initialize import INITIALISERS
from cnnexp.architecture.parsing import parse
from cnnexp.architecture.planning import make_plan
from cnnexp.components import Component, Parameter
from cnnexp.config import packaged
from cnnexp.kinds import Rule
from cnnexp.schema.values import of_parameter
from tests.layer_table import EVERY_ROW, ROWS, Row

CONF = Path(packaged())
MODELS = sorted(CONF.glob("model/*.yaml"))
BLOCKS = sorted(CONF.glob("model/blocks/*.yaml"))
STRICT = {**LAYERS.entries, **COMPOSITES.entries}


@cache
def of_model() -> schema.Schema:
    return schema.of_model()


@cache
def model_validator() -> Draft7Validator:
    return Draft7Validator(of_model())


@cache
def blocks_validator() -> Draft7Validator:
    beside = Registry().with_resource(schema.MODEL_FILE, DRAFT7.create_resource(of_model()))
    return Draft7Validator(schema.of_blocks(), registry=beside)


def part(definition: Any) -> Draft7Validator:
    """A validator for a part of the model's schema, whose references lead into the whole."""
    return model_validator().evolve(schema=definition)


def complaints(validator: Draft7Validator, value: Any) -> list[tuple[str | int, ...]]:
    """Where a value breaks the schema."""
    return sorted({tuple(error.absolute_path) for error in validator.iter_errors(value)}, key=str)


def accepts(model: Any) -> bool:
    return bool(model_validator().is_valid(model))


def test_the_schemas_are_draft_7_and_json() -> None:
    for made in (schema.of_model(), schema.of_blocks()):
        Draft7Validator.check_schema(made)
        assert made["$schema"] == "http://json-schema.org/draft-07/schema#"
        assert json.loads(schema.text(made)) == made


def test_the_same_catalogue_gives_the_same_text() -> None:
    assert schema.text(schema.of_model()) == schema.text(schema.of_model())


def test_every_reference_leads_somewhere() -> None:
    found = set(re.findall(r'"\$ref": "#/definitions/([^"]*)"', schema.text(of_model())))
    assert found <= set(of_model()["definitions"])
    assert set(of_model()["definitions"]) - found <= {"blocks_file"}


@pytest.mark.parametrize("name", ["model.schema.json", "blocks.schema.json"])
def test_the_shipped_schema_is_up_to_date(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "_declared", {})  # what other tests have declared as layers of their own
    made = schema.of_model() if name == schema.MODEL_FILE else schema.of_blocks()
    shipped = json.loads((CONF / name).read_text(encoding="utf-8"))
    other_torch = shipped["$comment"] != made["$comment"]
    assert other_torch or shipped == made, f"write it anew: cnnexp schema > conf/{name}"


def test_every_shipped_file_names_its_schema() -> None:
    without = []
    for file in (*MODELS, *BLOCKS):
        place = f"../{schema.MODEL_FILE}" if file in MODELS else "../../blocks.schema.json"
        assert (file.parent / place).is_file()
        if f"# yaml-language-server: $schema={place}" not in file.read_text(encoding="utf-8").splitlines():
            without.append(file.name)
    assert without == []


@pytest.mark.parametrize("file", MODELS, ids=lambda f: f.stem)
def test_every_shipped_model_keeps_the_schema(file: Path) -> None:
    assert complaints(model_validator(), yaml.safe_load(file.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("file", BLOCKS, ids=lambda f: f.stem)
def test_every_shipped_block_keeps_the_schema(file: Path) -> None:
    assert complaints(blocks_validator(), yaml.safe_load(file.read_text(encoding="utf-8"))) == []


def held(row: Row) -> bool:
    return row.type in STRICT


@EVERY_ROW
def test_every_layer_as_it_may_be_written_keeps_the_schema(row: Row) -> None:
    entry = json.loads(json.dumps({"type": row.type, **row.params}))
    assert complaints(model_validator(), {"layers": [entry]}) == []
    if held(row) and row.type != "Identity":
        assert complaints(model_validator(), {"layers": [{**entry, "sride": 1}]}) == [("layers", 0)]


def test_a_type_of_torchvision_may_be_a_block_and_passes() -> None:
    """Nothing keeps an author from calling a block MLP."""
    blocks = {"MLP": {"params": {"width": 3}, "layers": [{"type": "Linear", "out_features": "$width"}]}}
    model = {"blocks": blocks, "layers": ["MLP", {"type": "MLP", "width": 4}]}
    assert parse(model)[1] == []
    assert accepts(model)


MODEL: Mapping[str, Any] = {
    "activation": {"type": "ReLU"},
    "blocks": {
        "pair": {
            "params": {"width": "???", "end": "ReLU"},
            "layers": [{"type": "Linear", "out_features": "$width"}, "$end"],
        }
    },
    "layers": [
        {"type": "Conv2d", "out_channels": 8, "kernel_size": [3, 3], "padding": "same", "name": "first"},
        "BatchNorm2d",
        None,
        {"type": "Residual", "layers": ["ReLU"], "shortcut": [{"type": "Dropout", "p": 0.1}]},
        {"type": "Parallel", "branches": ["Identity", ["ReLU", "Tanh"]], "merge": "add"},
        {"type": "Repeat", "times": 2, "layers": ["ReLU"]},
        {"type": "Unpool", "pool": {"type": "MaxPool2d", "kernel_size": 2}, "layers": ["ReLU"]},
        "Flatten",
        {"type": "pair", "width": 3, "name": "last"},
    ],
    "init": [{"match": "Conv2d", "weight": {"type": "kaiming_normal_", "mode": "fan_out"}, "bias": "zeros_"}],
    "freeze": ["first"],
}


def mutated(*path: str | int, value: Any = ...) -> dict[str, Any]:
    """The model with a value put at a place, or with what is there taken away."""
    model = copy.deepcopy(dict(MODEL))
    *way, last = path
    place: Any = model
    for key in way:
        place = place[key]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return model


def mutation(*path: str | int, value: Any = ..., at: tuple[str | int, ...] | None = None) -> Any:
    """A case: where something is changed, to what, and where that breaks the schema (there, if nothing is said)."""
    shown = "none" if value is ... else json.dumps(value)
    return pytest.param(path, value, path if at is None else at, id=f"{'.'.join(map(str, path))}={shown}"[:70])


LAYER = ("layers", 0)
SEEN = [
    mutation("layers", at=()),
    mutation("layers", value=[]),
    mutation("layers", value="Conv2d"),
    mutation("layers", value={"0": "ReLU"}),
    mutation("layers", 0, value=3),
    mutation("layers", 0, value=["ReLU"]),
    mutation("layers", 0, value="Conv2d"),
    mutation("layers", 0, value={"kernel_size": 3}),
    mutation(*LAYER, "type", at=LAYER),
    mutation(*LAYER, "type", value=None),
    mutation(*LAYER, "type", value=2),
    mutation(*LAYER, "out_channels", at=LAYER),
    mutation(*LAYER, "kernel", value=3, at=LAYER),
    mutation(*LAYER, "out_channels", value="8"),
    mutation(*LAYER, "out_channels", value=0),
    mutation(*LAYER, "out_channels", value=2.5),
    mutation(*LAYER, "out_channels", value=True),
    mutation(*LAYER, "out_channels", value=None),
    mutation(*LAYER, "out_channels", value=[8]),
    mutation(*LAYER, "kernel_size", value=[3]),
    mutation(*LAYER, "kernel_size", value=[3, 3, 3]),
    mutation(*LAYER, "kernel_size", value=[3, 0], at=(*LAYER, "kernel_size", 1)),
    mutation(*LAYER, "stride", value=0),
    mutation(*LAYER, "padding", value="sane"),
    mutation(*LAYER, "padding", value=-1),
    mutation(*LAYER, "bias", value="false"),
    mutation(*LAYER, "bias", value=0),
    mutation(*LAYER, "padding_mode", value="zero"),
    mutation(*LAYER, "dtype", value="float"),
    mutation(*LAYER, "name", value="a.b"),
    mutation(*LAYER, "name", value="7"),
    mutation(*LAYER, "name", value=""),
    mutation(*LAYER, "name", value=7),
    mutation("layers", 3, "layers", at=("layers", 3)),
    mutation("layers", 3, "layers", value=[]),
    mutation("layers", 3, "layers", value="ReLU"),
    mutation("layers", 3, "shortcuts", value=None, at=("layers", 3)),
    mutation("layers", 3, "shortcut", value=[]),
    mutation("layers", 3, "shortcut", 0, "p", value=1.5),
    mutation("layers", 4, "branches", value=[]),
    mutation("layers", 4, "branches", 1, value=[]),
    mutation("layers", 4, "branches", 1, 0, value="Linear"),
    mutation("layers", 4, "merge", value="sum"),
    mutation("layers", 4, "dim", value="1"),
    mutation("layers", 5, "times", at=("layers", 5)),
    mutation("layers", 5, "times", value=0),
    mutation("layers", 5, "times", value=20_001),
    mutation("layers", 6, "pool", at=("layers", 6)),
    mutation("layers", 6, "pool", value=None),
    mutation("layers", 6, "pool", "kernel_size", at=("layers", 6, "pool")),
    mutation("blocks", value=[]),
    mutation("blocks", "two words", value={"layers": ["ReLU"]}),
    mutation("blocks", "pair", value=["ReLU"]),
    mutation("blocks", "pair", "parms", value={}, at=("blocks", "pair")),
    mutation("blocks", "pair", "layers", at=("blocks", "pair")),
    mutation("blocks", "pair", "layers", value=3),
    mutation("blocks", "pair", "layers", 0, "bias", value="no way"),
    mutation("blocks", "pair", "params", value=["width"]),
    mutation("blocks", "pair", "params", "type", value=1, at=("blocks", "pair", "params")),
    mutation("init", value={}),
    mutation("init", 0, value="zeros_"),
    mutation("init", 0, "match", at=("init", 0)),
    mutation("init", 0, value={"match": "Conv2d"}),
    mutation("init", 0, "match", value=[3], at=("init", 0, "match", 0)),
    mutation("init", 0, "weight", value=0),
    mutation("init", 0, "weight", value="constant_"),
    mutation("init", 0, "weight", "mode", value="fan"),
    mutation("init", 0, "weight", "gain", value=1, at=("init", 0, "weight")),
    mutation("freeze", value=3),
    mutation("freeze", value=[3], at=("freeze", 0)),
]
UNSEEN = [
    mutation(*LAYER, "in_channels", value=5),  # another size arrives
    mutation("layers", 6, "pool", "kernel_size", value=99),  # larger than what arrives
    mutation(*LAYER, "stride", value=2),  # `same` wants stride 1
    mutation(*LAYER, "groups", value=3),  # must divide the channels
    mutation(*LAYER, "out_channels", value=8.0),  # a whole number to JSON Schema
    mutation(*LAYER, "bias", value="no"),  # quoted or not: an editor sees the same
    mutation(*LAYER, value={"type": "conv2d", "kernel": 3}),  # another spelling is not held
    mutation(*LAYER, "type", value="Conv"),  # may be a block
    mutation("layers", 1, value="BatchNrm2d"),  # may be a block
    mutation("layers", 1, value="CrossEntropyLoss"),  # may be a block
    mutation("layers", 1, value="Upsample"),  # wants one of two parameters
    mutation("layers", 1, value="$norm"),  # no block is here
    mutation("layers", 1, value={"type": "ReLU", "name": "first"}),  # the name is taken
    mutation("layers", 6, "pool", value={"type": "AvgPool2d", "kernel_size": 2}),  # not a max pool
    mutation("layers", 8, "width"),  # the parameters of a block
    mutation("layers", 8, "with", value=3),
    mutation("blocks", "ReLU", value={"layers": ["Tanh"]}),  # the name of a type
    mutation("blocks", "pair", "layers", 0, "out_features", value="$wide"),  # no such parameter
    mutation("blocks", "pair", "layers", 1, value={"type": "pair", "width": 3}),  # uses itself
    mutation("init", 0, "match", value="Linaer"),  # matches nothing
    mutation("init", 0, "weight", value="kaiming"),  # may be another spelling
]


def problems(model: Any) -> list[Any]:
    stack, found = parse(model)
    return [*found, *make_plan(stack, (4, 16, 16))[1]]


def test_the_model_that_is_mutated_is_right() -> None:
    assert problems(MODEL) == []
    assert complaints(model_validator(), MODEL) == []


@pytest.mark.one_in(4)
@pytest.mark.parametrize(("path", "value", "at"), SEEN)
def test_a_mistake_that_the_schema_sees(path: Any, value: Any, at: Any) -> None:
    model = mutated(*path, value=value)
    assert parse(model)[1] != []
    assert complaints(model_validator(), model) == [at]


@pytest.mark.parametrize(("path", "value", "at"), UNSEEN)
def test_a_mistake_that_only_check_sees(path: Any, value: Any, at: Any) -> None:
    model = mutated(*path, value=value)
    assert problems(model) != []
    assert complaints(model_validator(), model) == []


MORE_THAN_PLAIN = [
    mutation(*LAYER, "out_channels", value="${model.width}"),
    mutation(*LAYER, "kernel_size", value=["${model.size}", 3]),
    mutation(*LAYER, "bias", value="${not:${model.norm}}"),
    mutation(*LAYER, "padding", value="${model.padding}"),
    mutation(*LAYER, "out_channels", value="???"),
    mutation(*LAYER, "type", value="${model.kind}"),
    mutation(*LAYER, "type", value="Conv${model.dims}d"),
    mutation(*LAYER, "type", value="conv_2D"),
    mutation(*LAYER, "name", value="${model.name}"),
    mutation(*LAYER, "name", value="block_${model.number}"),
    mutation(*LAYER, "name", value=None),
    mutation(*LAYER, value="${model.first}"),
    mutation(*LAYER, "out_channels", value="1_000"),
    mutation(*LAYER, "bias", value="no"),
    mutation("layers", value="${model.all}"),
    mutation("layers", 3, "shortcut", value="${model.shortcut}"),
    mutation("layers", 4, "branches", value="${model.branches}"),
    mutation("blocks", "pair", value=None),
    mutation("blocks", "pair", "layers", value="$layers"),
    mutation("blocks", "pair", "layers", 0, value={"type": "$kind", "out_features": 3}),
    mutation("blocks", "pair", "layers", 0, "out_features", value="$width"),
    mutation("init", value=None),
    mutation("init", 0, value={"from": "run"}),
    mutation("freeze", value="first*"),
    mutation("no_advice", value=["bias-before-norm"]),
    mutation("extensions", value=["my_layers"]),
    mutation("anything else", value={"may": ["be", {"here": 1}]}),
]


@pytest.mark.parametrize(("path", "value", "at"), MORE_THAN_PLAIN)
def test_what_may_stand_for_a_value_passes(path: Any, value: Any, at: Any) -> None:
    assert complaints(model_validator(), mutated(*path, value=value)) == []


DEFAULTS = [
    ({"defaults": ["resnet18"]}, True),
    ({"defaults": ["resnet18", "_self_"], "blocks": {"pair": {"params": {"width": 3}}}}, True),
    ({"defaults": [{"/model@_here_": "resnet18"}]}, True),
    ({"defaults": [{"blocks": "conv"}], "layers": ["ReLU"], "blocks": {"conv": {"params": {"width": 3}}}}, True),
    ({"defaults": [{"blocks": "conv"}]}, False),
    ({"defaults": [{"override /data@_global_.data": "digits"}, "_self_"]}, False),
    ({"defaults": {"blocks": "conv"}, "layers": ["ReLU"]}, False),
    ({"defaults": [3], "layers": ["ReLU"]}, False),
    ({"defaults": [{"a": "b", "c": "d"}], "layers": ["ReLU"]}, False),
    ({"layers": ["ReLU"], "blocks": {"conv": {"params": {"width": 3}}}}, False),
    (["ReLU"], False),
]


@pytest.mark.parametrize(("model", "right"), DEFAULTS, ids=lambda case: json.dumps(case)[:60])
def test_a_file_that_builds_on_others_may_leave_to_them_what_they_hold(model: Any, right: bool) -> None:
    assert accepts(model) is right


FILES_OF_BLOCKS = [
    ({"one": {"layers": ["ReLU"]}}, True),
    ({"one": {"params": {"width": "???"}, "layers": [{"type": "Linear", "out_features": "$width"}]}}, True),
    ({"defaults": ["other"], "one": {"params": {"width": 3}}}, True),
    ({"layers": ["ReLU"]}, False),
    ({"one": ["ReLU"]}, False),
    ({"one": {"layers": [{"type": "Linear", "out": 3}]}}, False),
    ({"one-two": {"layers": ["ReLU"]}}, False),
    ({"defaults": "other"}, False),
]


@pytest.mark.parametrize(("file", "right"), FILES_OF_BLOCKS, ids=lambda case: json.dumps(case)[:60])
def test_a_file_of_blocks(file: Any, right: bool) -> None:
    assert blocks_validator().is_valid(file) is right


def test_an_editor_finds_types_parameters_defaults_and_words() -> None:
    definitions = of_model()["definitions"]
    offered = {option["const"]: option["description"] for option in definitions["type"]["anyOf"] if option}
    assert set(STRICT) <= set(offered)
    assert {"StochasticDepth", "SqueezeExcitation", "Permute"} <= set(offered)
    assert offered["ReLU"] == "Lets positive values pass and sets negative ones to zero."
    for name, component in STRICT.items():
        properties = definitions[name]["properties"]
        assert list(properties) == ["type", "name", *STRUCTURE.get(name, ()), *component.parameters]
    stride = next(found(definitions["MaxPool2d"]["properties"]["stride"]))
    assert stride["default"] is None
    assert stride["description"].startswith("pixels between the starts of two neighbouring windows")
    assert definitions["Conv2d"]["required"] == ["out_channels", "kernel_size"]
    assert next(found(definitions["Conv2d"]["properties"]["padding_mode"]))["anyOf"][0] == {
        "enum": ["zeros", "reflect", "replicate", "circular"]
    }
    alone = {option["const"] for option in definitions["entry"]["anyOf"] if option}
    assert {"ReLU", "BatchNorm2d", "Flatten"} <= alone
    assert not {"Conv2d", "Linear", "Sequential"} & alone


def found(content: Any) -> Iterator[Any]:
    """A part of the schema, references followed."""
    while "$ref" in content:
        content = of_model()["definitions"][content["$ref"].rpartition("/")[2]]
    yield content


VALUES: tuple[Any, ...] = (
    *(0, 1, 2, 7, -1, 0.5, 1.5, -0.5, 25_000, True, False, None, {"a": 1}),
    *("x", "same", "valid", "zeros", "none", "tanh", "relu", "bilinear", "float64", "cpu", "false", "3", "", "add"),
    *([], [1], [1, 1], [1, 1, 1], [1, 2, 3, 4], [0] * 6, [0, -1], [0.5, 0.5], [None], [None, 2], [True], ["a"], [[1]]),
)


@pytest.mark.parametrize("component", [*STRICT.values(), *INITIALISERS.entries.values()], ids=lambda c: c.name)
def test_every_parameter_takes_what_the_check_takes(component: Component) -> None:
    definition = of_model()["definitions"][component.name]
    for name, parameter in component.parameters.items():
        validator = part(definition["properties"][name])
        taken = [value for value in VALUES if parameter.complaint(value) is None]
        assert [value for value in VALUES if validator.is_valid(value)] == taken, name


ANNOTATIONS: list[tuple[Any, Rule, dict[str, Any]]] = [
    (int, Rule(least=1), {"type": ["integer", "string"], "minimum": 1}),
    (float, Rule(above=0, below=1), {"type": ["number", "string"], "exclusiveMinimum": 0, "exclusiveMaximum": 1}),
    (str, Rule(), {"type": ["string"]}),
    (list[str] | None, Rule(), {"type": ["array", "null", "string"], "items": {"type": ["string"]}}),
    (Any, Rule(), {"type": ["array", "boolean", "null", "number", "string"]}),
]


@pytest.mark.parametrize(("annotation", "rule", "expected"), ANNOTATIONS, ids=str)
def test_annotations_in_the_words_of_json_schema(annotation: Any, rule: Rule, expected: dict[str, Any]) -> None:
    assert bare(of_parameter(Parameter("x", annotation, ..., rule))) == expected


def bare(content: Any) -> Any:
    """A schema without patterns and messages."""
    if isinstance(content, dict):
        return {k: bare(v) for k, v in content.items() if k not in ("pattern", "errorMessage")}
    return content


OLD = ["no", "No", "ON", "off", "1_000", "-1_0.5", "0b11", "1:30"]
PLAIN = ["${model.x}", "a${model.x}", "$x", "???"]


@pytest.mark.parametrize("text", [*OLD, *PLAIN])
def test_what_yaml_1_1_reads_as_a_number_or_a_truth_value_is_no_mistake(text: str) -> None:
    meant = yaml.safe_load(text)
    truth, number = (part(of_parameter(Parameter("x", kind, ...))).is_valid(text) for kind in (bool, float))
    assert truth == (isinstance(meant, bool) or text in PLAIN)
    assert number == ((isinstance(meant, (int, float)) and not isinstance(meant, bool)) or text in PLAIN)


junk = st.sampled_from(VALUES)
HELD = [row for row in ROWS if held(row)]


def mostly(right: st.SearchStrategy[Any], wrong: st.SearchStrategy[Any] = junk) -> st.SearchStrategy[Any]:
    return st.integers(0, 19).flatmap(lambda n: wrong if n == 13 else right)


@st.composite
def leaves(draw: st.DrawFn) -> Any:
    """An entry of a plain layer, most of them right."""
    row = draw(st.sampled_from(HELD))
    entry: dict[str, Any] = {"type": row.type, **row.params}
    for name, parameter in STRICT[row.type].parameters.items():
        if draw(st.integers(0, 7)) == 5:
            taken = [value for value in VALUES if parameter.complaint(value) is None]
            entry[name] = draw(mostly(st.sampled_from(taken)))
    key = draw(mostly(st.none(), st.sampled_from([*entry, "extra"])))
    if key in entry:
        del entry[key]
    elif key is not None:
        entry[key] = draw(junk)
    name = draw(mostly(st.none(), st.text("ab1.", max_size=2) | junk))
    return row.type if entry == {"type": row.type} else {**entry, "name": name} if name is not None else entry


def composites(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    several = mostly(st.lists(mostly(inner), min_size=1, max_size=2), st.just([]) | junk)
    pool = mostly(st.just({"type": "MaxPool2d", "kernel_size": 2}), inner | junk)
    keys = {
        "Sequential": {"layers": several},
        "Residual": {"layers": several, "shortcut": mostly(inner | several)},
        "Parallel": {
            "branches": mostly(st.lists(inner | several, min_size=1, max_size=2)),
            "merge": mostly(st.sampled_from(["concat", "add", "multiply"])),
            "dim": mostly(st.integers(-1, 3)),
        },
        "Repeat": {"layers": several, "times": mostly(st.integers(1, 3))},
        "Unpool": {"pool": pool, "layers": several},
    }
    optional = {"Residual": ("shortcut",), "Parallel": ("merge", "dim")}
    return st.one_of(
        *(
            st.fixed_dictionaries(
                {"type": st.just(name), **{k: v for k, v in held_.items() if k not in optional.get(name, ())}},
                optional={k: v for k, v in held_.items() if k in optional.get(name, ())},
            )
            for name, held_ in keys.items()
        )
    )


entries = st.recursive(leaves(), composites, max_leaves=4)
stacks = mostly(st.lists(mostly(entries), min_size=1, max_size=2))
bodies = st.fixed_dictionaries(
    {"layers": stacks},
    optional={"params": mostly(st.dictionaries(mostly(st.just("a"), st.just("type")), junk, max_size=1))},
)
initialisers = st.sampled_from(
    [n for n, c in INITIALISERS.entries.items() if not any(p.required for p in c.parameters.values())]
)
fills = mostly(
    initialisers,
    st.fixed_dictionaries({"type": st.sampled_from(list(INITIALISERS.entries))}, optional={"a": junk, "mode": junk})
    | junk,
)
rules = st.fixed_dictionaries({"match": mostly(st.just("x*"))}, optional={"weight": fills, "bias": fills}) | st.just(
    {"from": "run"}
)
models = st.fixed_dictionaries(
    {"layers": stacks},
    optional={
        "blocks": st.dictionaries(
            mostly(st.sampled_from(["one", "two"]), st.sampled_from(["1", "a b"])), mostly(bodies), max_size=2
        ),
        "init": mostly(st.lists(mostly(rules), max_size=2)),
        "freeze": mostly(st.sampled_from(["x*", ["x*"], [], None])),
        "variable": junk,
    },
)


@pytest.mark.slow
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(models)
def test_what_the_schema_refuses_the_check_refuses(model: dict[str, Any]) -> None:
    blocks = model.get("blocks")
    uses = [{"type": name} for name in blocks] if isinstance(blocks, dict) else []
    if isinstance(model["layers"], list):
        model = {**model, "layers": [*model["layers"], *uses]}  # what no layer uses, the check does not read
    right = parse(model)[1] == []
    event("right" if right else "wrong")
    assert accepts(model) or not right
