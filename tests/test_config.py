"""Composition: every mistake in a choice, a key, a reference or a component is told with its place and its cure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from cnnexp.cli import main
from cnnexp.config import packaged

HEAD = "# @package _global_\n"
NO_MODEL = "choose one of " + ", ".join(sorted(f.stem for f in (packaged() / "model").glob("*.yaml")))
TOP = (
    "the keys there are seed, memory_format, compile, check_finite_every_n_steps, checkpoint, extensions, outputs,"
    " data, task, model, loss, optimizer, scheduler, trainer, logger, views, sweep, show"
)
MULTIRUN = ("several values need --multirun", "or quote the value to mean one text")
OUTSIDE = "copy the file into conf/ and name it from there"
REFERENCE = "references are written from the top: ${model.stride}"

Check = Callable[..., tuple[int, str]]


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Check:
    """`cnnexp check` with these overrides and files: its exit code and what it says on standard error."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str, files: Mapping[str, str] | None = None) -> tuple[int, str]:
        for name, text in (files or {}).items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        code = main(["check", *words])
        return code, capsys.readouterr().err

    return run


def refused(override: str, message: str, hint: str | None = None) -> str:
    cure = f"\n  hint: {hint}" if hint else ""
    return f"error: override '{override}': {message}{cure}\n1 problem; nothing was run\n"


KEYS = {
    "modell=tudui": ("there is no key 'modell'; did you mean 'model'?", None),
    "+modell=x": ("there is no key 'modell'; did you mean 'model'?", None),
    "seedd=1": ("there is no key 'seedd'; did you mean 'seed'?", None),
    "zzz=1": ("there is no key 'zzz'", TOP),
    "~zzz": ("there is no key 'zzz'", TOP),
    "+typo=1": ("there is no key 'typo'", None),
    "++typo=1": ("there is no key 'typo'", None),
    "trainer.max_epoch=3": ("there is no key 'max_epoch' in trainer; did you mean 'max_epochs'?", None),
    "+trainer.max_epoch=3": ("there is no key 'max_epoch' in trainer; did you mean 'max_epochs'?", None),
    "trainer={max_epoch:3}": ("there is no key 'max_epoch' in trainer; did you mean 'max_epochs'?", None),
    "data.batchsize=3": ("there is no key 'batchsize' in data; did you mean 'batch_size'?", None),
    "data.path=x": (
        "there is no key 'path' in data",
        "the keys there are name, shape, num_classes, class_names, mean, std, validation, batch_size, shuffle,"
        " drop_last",
    ),
    "model.strid=2": ("there is no key 'strid' in model; did you mean 'stride'?", None),
    "model.layers.99.stride=2": ("there is no entry 99 in model.layers, which has 12 (0 to 11)", None),
    "model.layers.x=2": ("there is no entry x in model.layers, which has 12 (0 to 11)", None),
    "model.layers.0.strid=2": ("layers[0] Conv2d: unknown parameter 'strid'; did you mean 'stride'?", None),
    "task.metrics.acuracy.average=macro": (
        "there is no key 'acuracy' in task.metrics; did you mean 'accuracy'?", None
    ),
    "hydra.zzz=1": (
        "there is no key 'zzz' in hydra",
        "the keys there are run, sweep, launcher, sweeper, help, hydra_help, hydra_logging, job_logging, env, mode,"
        " searchpath, callbacks, output_subdir, overrides, job, runtime, verbose",
    ),
}  # fmt: skip

CHOICES = {
    "model=tudi": ("there is no model 'tudi'; did you mean 'tudui'?", NO_MODEL),
    "model=zzzz": ("there is no model 'zzzz'", NO_MODEL),
    "model=": ("there is no model ''", NO_MODEL),
    "model=a/b": ("there is no model 'a/b'", NO_MODEL),
    "task=${oc.select:x}": ("there is no task '${oc.select:x}'", "choose one of classification, none"),
    "model=3": (f"'model' is chosen by name: {NO_MODEL.removeprefix('choose one of ')}", None),
    "trainer=null": ("'trainer' is chosen by name: cpu, ddp, default, fsdp, gpu, smoke", None),
    "trainer=3": ("'trainer' is chosen by name: cpu, ddp, default, fsdp, gpu, smoke", None),
    "task=clasification": (
        "there is no task 'clasification'; did you mean 'classification'?", "choose one of classification, none"
    ),
    "logger=wandb": ("there is no logger 'wandb'", "choose one of none, tensorboard"),
    "experiment=x": ("there is no experiment 'x'", "choose one of tutorial_cifar10"),
    "hydra/job_logging=x": ("there is no hydra/job_logging 'x'", "choose one of default, disabled, none, stdout"),
    "model=../../../x": ("'../../../x' lies outside the config folders", OUTSIDE),
    "+model=../../../x": ("'../../../x' lies outside the config folders", OUTSIDE),
    "model=/etc/passwd": ("'/etc/passwd' lies outside the config folders", OUTSIDE),
    "+model=/etc/passwd": ("'/etc/passwd' lies outside the config folders", OUTSIDE),
    "model=net/../tudui": ("'net/../tudui' lies outside the config folders", OUTSIDE),
}  # fmt: skip

FORMS = {
    "foo": ("an override is written key=value", None),
    "": ("an override is written key=value", None),
    "=3": ("an override is written key=value", None),
    "@=3": ("an override is written key=value", None),
    "+=3": ("an override is written key=value", None),
    "~": ("an override is written key=value", None),
    "~=": ("an override is written key=value", None),
    "seed=a=b": (
        "cannot be read: mismatched input '=' expecting <EOF>", "quote it for the shell and for Hydra: 'seed=\"a=b\"'"
    ),
    "seed=[1": (
        "cannot be read: no viable alternative at input '[1'", "quote it for the shell and for Hydra: 'seed=\"[1\"'"
    ),
    "model.activation={type:ReLU": (
        "cannot be read: no viable alternative at input '{type:ReLU'",
        "quote it for the shell and for Hydra: 'model.activation=\"{type:ReLU\"'",
    ),
    'seed="x': ("cannot be read: token recognition error at: '\"x'", "close the quote"),
    "model.layers[0].stride=2": (
        "the entry of a list is written with a dot", "write model.layers.0.stride=2"
    ),
    "~model.layers[1]": (
        "an entry of a list cannot be deleted from the command line",
        "set it to null to leave it out: model.layers.1=null",
    ),
    "~model.layers.1": (
        "an entry of a list cannot be deleted from the command line",
        "set it to null to leave it out: model.layers.1=null",
    ),
    "model.activation=relu,sigmoid": MULTIRUN,
    "seed=1,2": MULTIRUN,
    "seed=range(1,3)": MULTIRUN,
    "seed=choice(1,2)": MULTIRUN,
    "model=net,tudui": MULTIRUN,
}  # fmt: skip

REFERENCES = {
    "model.stride=${nope}": ("model.stride: Interpolation key 'nope' not found", REFERENCE),
    "model.stride=${model.nope}": ("model.stride: Interpolation key 'model.nope' not found", REFERENCE),
    "model.stride=${model.stride}": ("model.stride: Recursive interpolation detected", None),
    "model.stride=${foo:1}": ("model.stride: Unsupported interpolation type foo", None),
    "seed=???": ("seed must be given", "add seed=… to the command"),
    "optimizer.lr=???": ("optimizer.lr must be given", "add optimizer.lr=… to the command"),
    "model.layers.0.out_channels=???": (
        "model.layers[0].out_channels must be given", "add model.layers.0.out_channels=… to the command"
    ),
}  # fmt: skip

COMPONENTS = {
    "optimizer.type=Addam": ("optimizer: unknown optimizer 'Addam'; did you mean 'Adam'?", None),
    "optimizer.type=SparseAdam": (
        "optimizer: SparseAdam cannot be used here: it takes sparse gradients only, which no layer of a stack gives",
        None,
    ),
    "optimizer.type=null": ("optimizer: 'type' is missing", "write the optimizer as 'type: Name'"),
    "optimizer.beta=1": ("optimizer Adam: unknown parameter 'beta'; did you mean 'betas'?", None),
    "optimizer.momentun=0.9": (
        "optimizer Adam: unknown parameter 'momentun'",
        "Adam takes lr, betas, eps, weight_decay, amsgrad, foreach, maximize, capturable, differentiable, fused,"
        " decoupled_weight_decay",
    ),
    "optimizer.lr=-1": ("optimizer Adam: lr must be at least 0, not -1", None),
    "optimizer.lr='0.1'": ("optimizer Adam: lr must be a number, not '0.1'", "write 0.1, without quotes"),
    "optimizer.betas=0.9": ("optimizer Adam: betas must be a list of 2 numbers, not 0.9", None),
    "optimizer.betas=[0.9,1.0]": ("optimizer Adam: betas must be less than 1, not [0.9, 1.0]", None),
    "optimizer.amsgrad=yes": (
        "optimizer Adam: amsgrad must be true or false, not 'yes'", "write true, without quotes"
    ),
    "loss.type=MSELos": ("loss: unknown loss 'MSELos'; did you mean 'MSELoss'?", None),
    "loss.type=CTCLoss": (
        "loss: CTCLoss cannot be used here: it takes 4 inputs (log_probs, targets, input_lengths, target_lengths),"
        " not an output and a target",
        None,
    ),
    "loss.type=AdaptiveLogSoftmaxWithLoss": (
        "loss: AdaptiveLogSoftmaxWithLoss cannot be used here: it has a linear layer of its own;"
        " end the network in Linear and use CrossEntropyLoss",
        None,
    ),
    "loss.label_smoothing=2": ("loss CrossEntropyLoss: label_smoothing must be between 0 and 1, not 2", None),
    "loss.reduction=none": ("loss CrossEntropyLoss: reduction must be one of mean, sum, not 'none'", None),
    "loss.weight=[1,2]": ("loss: weight has 2 numbers for 10 classes", None),
    "loss.weight=[1,1,1,1,1,1,1,1,1,-1]": ("loss: weight must not hold negative numbers", None),
    "scheduler.type=Foo": ("scheduler: unknown scheduler 'Foo'", None),
    "scheduler.type=LambdaLR": (
        "scheduler: LambdaLR cannot be used here: its parameter 'lr_lambda' is a function, which YAML cannot hold", None
    ),
}  # fmt: skip

ROWS = {**KEYS, **CHOICES, **FORMS, **REFERENCES, **COMPONENTS}


@pytest.mark.one_in(8)
@pytest.mark.parametrize("override", ROWS)
def test_an_override_that_is_wrong_is_one_problem(check: Check, override: str) -> None:
    code, told = check(override)

    assert told == refused(override, *ROWS[override])
    assert code == 2


SCHEDULERS = {
    ("step", "step_sise=3"): "scheduler StepLR: unknown parameter 'step_sise'; did you mean 'step_size'?",
    ("step", "step_size=0"): "scheduler StepLR: step_size must be at least 1, not 0",
    ("step", "interval=batch"): "scheduler: interval must be epoch or step, not 'batch'",
    ("step", "frequency=0"): "scheduler: frequency must be a whole number of at least 1, not 0",
    ("plateau", "mode=maxi"): "scheduler ReduceLROnPlateau: mode must be one of min, max, not 'maxi'",
    ("plateau", "monitor=val_acc"): "scheduler: monitor 'val_acc' is not measured; did you mean 'val_accuracy'?",
    ("one_cycle", "max_lr=-1"): "scheduler OneCycleLR: max_lr must be at least 0, not -1",
    ("warmup_cosine", "schedulers=[]"): "scheduler SequentialLR: needs a list 'schedulers'",
    ("warmup_cosine", "schedulers.0.type=LinearL"): (
        "scheduler.schedulers[0]: unknown scheduler 'LinearL'; did you mean 'LinearLR'?"
    ),
    ("warmup_cosine", "schedulers.0.start_factor=0"): (
        "scheduler.schedulers[0] LinearLR: torch refuses it: Starting multiplicative factor expected to be greater"
        " than 0 and less or equal to 1"
    ),
    ("warmup_cosine", "milestones=[3,4]"): (
        "scheduler SequentialLR: milestones must hold 1 number, one less than there are schedulers, not 2"
    ),
}


@pytest.mark.one_in(6)
@pytest.mark.parametrize(("name", "override"), SCHEDULERS)
def test_a_scheduler_that_is_wrong_is_one_problem(check: Check, name: str, override: str) -> None:
    code, told = check(f"scheduler={name}", f"scheduler.{override}")

    assert told.splitlines()[0] == f"error: override 'scheduler.{override}': {SCHEDULERS[name, override]}"
    assert told.splitlines()[-1] == "1 problem; nothing was run"
    assert code == 2


def test_a_scheduler_that_does_not_go_with_the_optimizer(check: Check) -> None:
    code, told = check("optimizer=rmsprop", "optimizer.type=Adagrad", "scheduler=one_cycle")

    assert told == (
        f"error: {packaged()}/scheduler/one_cycle.yaml:3:1 scheduler OneCycleLR: torch refuses it:"
        " optimizer must support momentum or beta1 with `cycle_momentum` option enabled\n1 problem; nothing was run\n"
    )
    assert code == 2


def test_a_loss_that_torch_refuses(check: Check) -> None:
    code, told = check("loss=multi_margin", "loss.p=3")

    assert told == refused("loss.p=3", "loss MultiMarginLoss: torch refuses it: only p == 1 and p == 2 supported")
    assert code == 2


def test_an_optimizer_that_torch_refuses(check: Check) -> None:
    code, told = check("optimizer=sgd", "optimizer.nesterov=true")

    assert told == refused(
        "optimizer.nesterov=true",
        "optimizer SGD: torch refuses it: Nesterov momentum requires a momentum and zero dampening",
    )
    assert code == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ("optimizer.amsgrad=true",),
        ("+optimizer.amsgrad=true",),
        ("++optimizer.amsgrad=true",),
        ("loss.weight=[1,1,1,1,1,1,1,1,1,2]",),
        ("model.layers.11.bias=false",),
        ("model.layers.0={out_channels:16}",),
        ("model.activation={type:LeakyReLU,negative_slope:0.2}",),
        ("trainer={max_epochs:3}",),
        ("trainer.callbacks=[{type:EarlyStopping,monitor:val_loss,patience:3}]",),
        ("optimizer=sgd", "optimizer.nesterov=true", "optimizer.momentum=0.9"),
        ("experiment=[]",),
        ("hydra.verbose=false",),
        ("model.freeze=[Conv2d]",),
        ("model.init=[{match: Linear, weight: zeros_}]",),
        ("model.no_advice=[one-layer]",),
    ],
)
def test_what_a_component_takes_may_be_set_without_a_plus(check: Check, words: tuple[str, ...]) -> None:
    assert check(*words) == (0, "")


def test_several_mistakes_are_told_at_once(check: Check) -> None:
    words = ("modell=x", "trainer.max_epoch=3", "optimizer=sgd", "optimizer.momentun=0.9", "optimizer.lr=-1", "seed=x")
    code, told = check(*words)

    assert sorted(told.splitlines()[:-1]) == [
        "error: override 'modell=x': there is no key 'modell'; did you mean 'model'?",
        "error: override 'optimizer.lr=-1': optimizer SGD: lr must be at least 0, not -1",
        "error: override 'optimizer.momentun=0.9': optimizer SGD: unknown parameter 'momentun';"
        " did you mean 'momentum'?",
        "error: override 'seed=x': seed must be a whole number, not 'x'",
        "error: override 'trainer.max_epoch=3': there is no key 'max_epoch' in trainer; did you mean 'max_epochs'?",
    ]
    assert told.splitlines()[-1] == "5 problems; nothing was run"
    assert code == 2


def test_a_reference_in_a_file_that_leads_nowhere_is_told_once(check: Check) -> None:
    text = 'layers:\n  - Flatten\n  - {type: Linear, out_features: "${data.num_clases}"}\n'
    code, told = check("model=mine", files={"conf/model/mine.yaml": text})

    assert told == (
        "error: conf/model/mine.yaml:3:20 model.layers[1].out_features: Interpolation key 'data.num_clases' not found\n"
        f"  hint: {REFERENCE}\n1 problem; nothing was run\n"
    )
    assert code == 2


def test_references_in_a_circle_are_told_once(check: Check) -> None:
    text = "a: ${model.b}\nb: ${model.a}\nlayers: [Flatten, {type: Linear, out_features: 10}]\n"
    code, told = check("model=mine", files={"conf/model/mine.yaml": text})

    assert told.count("Recursive interpolation detected") == 1
    assert told.startswith("error: conf/model/mine.yaml:")
    assert code == 2


def test_a_value_that_must_be_given(check: Check) -> None:
    assert check("data=arrays") == (
        2,
        f"error: {packaged()}/data/arrays.yaml:4:1 data.path must be given\n"
        "  hint: add data.path=… to the command\n1 problem; nothing was run\n",
    )


def test_a_value_that_was_given_is_not_blamed_for_another_one(check: Check) -> None:
    code, told = check("data=arrays", "data.path=nowhere.npz", "data.shape=[4]", "data.num_classes=2", "data.size=3")
    assert code == 2
    first = "error: override 'data.size=3': there is no key 'size' in data; did you mean 'batch_size'?"
    assert told.splitlines()[0] == first
    assert "data.path must be given" not in told
    assert "'path'" not in told


FILES = {
    "a key of the trainer in an experiment": (
        "experiment", f"{HEAD}trainer: {{max_epoch: 3}}\n",
        "2:11 there is no key 'max_epoch' in trainer; did you mean 'max_epochs'?",
    ),
    "a group in an experiment": (
        "experiment", f"{HEAD}modell:\n  stride: 2\n", "2:1 there is no key 'modell'; did you mean 'model'?"
    ),
    "a group that is no mapping": ("experiment", f"{HEAD}trainer: 3\n", "2:1 'trainer' must be a mapping, not 3"),
    "a list for a mapping": ("experiment", f"{HEAD}logger: [1]\n", "2:1 'logger' must be a mapping, not [1]"),
    "null for an optimizer": (
        "experiment", f"{HEAD}optimizer: null\n",
        "2:1 optimizer must be an optimizer or a mapping with 'type', not null"
    ),
    "an unknown choice": (
        "experiment", f"{HEAD}defaults:\n  - override /model: tuduii\n",
        "3:5 there is no model 'tuduii'; did you mean 'tudui'?",
    ),
    "an unknown group": (
        "experiment", f"{HEAD}defaults:\n  - override /modl: tudui\n",
        "3:5 there is no group 'modl'; did you mean 'model'?",
    ),
    "a choice without override": (
        "experiment", f"{HEAD}defaults:\n  - /model: net\n", "3:5 'model' is chosen already; write override /model: net"
    ),
    "a file that does not exist": ("experiment", f"{HEAD}defaults:\n  - foo\n", "3:5 there is no experiment 'foo'"),
    "a file that names itself": ("experiment", f"{HEAD}defaults:\n  - mine\n", "3:5 the file names itself"),
    "a file outside": (
        "experiment", f"{HEAD}defaults:\n  - ../model/tudui\n", "3:5 '../model/tudui' lies outside the config folders"
    ),
    "a defaults list that is none": ("experiment", f"{HEAD}defaults: 3\n", "2:1 'defaults' must be a list, not 3"),
    "a number in the defaults list": (
        "experiment", f"{HEAD}defaults:\n  - 3\n", "3:5 a default must be a name or 'group: name', not 3"
    ),
    "no package": (
        "experiment", "trainer:\n  max_epochs: 3\n", "1:1 there is no key 'experiment'"
    ),
    "a wrong package": ("experiment", "# @package foo\ntrainer:\n  max_epochs: 3\n", "1:1 there is no key 'foo'"),
    "a key of a trainer file": (
        "trainer", "defaults: [default, _self_]\nmax_epoch: 3\n",
        "2:1 there is no key 'max_epoch' in trainer; did you mean 'max_epochs'?",
    ),
    "a text for a number": (
        "trainer", 'max_epochs: "3"\n', "1:1 trainer.max_epochs must be a whole number or null, not '3'"
    ),
    "a data set of that name": ("data", "name: foo\nshape: [3, 32, 32]\nnum_classes: 10\n", "1:1 unknown data 'foo'"),
    "a list for a name": (
        "data", "name: [a]\nshape: [3, 32, 32]\nnum_classes: 10\n", "1:1 data.name must be a text, not ['a']"
    ),
    "a data set without a name": ("data", "shape: [3, 32, 32]\nnum_classes: 10\n", "1:1 data.name is missing"),
    "a size that is no number": (
        "data", "name: digits\nshape: [3, 32, x]\nnum_classes: 10\n",
        "2:1 data.shape must be a list of whole numbers, not [3, 32, 'x']",
    ),
    "a size that no machine can hold": (
        "data", "name: synthetic\nshape: [9223372036854775807, 2, 2]\nnum_classes: 10\nsamples: 100\nnoise: 0\n",
        "2:1 data.shape: a sample of 9223372036854775807×2×2 is larger than torch can count",
    ),
    "an unknown task": ("task", "type: classify\n", "1:1 unknown task 'classify'; did you mean 'classification'?"),
    "a key of a logger": ("logger", "type: none\nfoo: 3\n", "2:1 there is no key 'foo' in logger"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("group", "text", "told"), FILES.values(), ids=FILES)
def test_a_mistake_in_a_file_of_ones_own(check: Check, group: str, text: str, told: str) -> None:
    name = f"conf/{group}/mine.yaml"
    code, err = check(f"{group}=mine", files={name: text})

    assert err.splitlines()[0] == f"error: {name}:{told}"
    assert err.splitlines()[-1] == "1 problem; nothing was run"
    assert code == 2
