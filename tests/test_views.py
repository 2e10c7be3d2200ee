"""What a network sees, against torch run by hand on the same weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c
from torch import Tensor, nn
from torch.nn import functional

import cnnexp
from cnnexp.architecture.plan import Plan
from cnnexp.pictures.scale import MARK
from cnnexp.views import checksum
from cnnexp.views.images import View, _heading, kernel_views, outputs
from cnnexp.views.kernels import kernels
from cnnexp.views.kinds import like_pixels, tokens
from cnnexp.views.look import look

pytestmark = pytest.mark.slow

NETWORKS = {
    "tudui": (3, 32, 32),
    "lenet5": (1, 32, 32),
    "unet": (3, 16, 16),
    "resnet20_cifar": (3, 32, 32),
    "densenet121": (3, 32, 32),
    "segnet": (3, 32, 32),
    "depthwise_separable": (3, 32, 32),
    "googlenet": (3, 64, 64),
    "conv1d_sequence": (3, 128),
    "conv3d_volume": (1, 16, 16, 16),
    "mlp": (1, 28, 28),
}
TRANSFORMER = [
    {"type": "Conv2d", "out_channels": 8, "kernel_size": 4, "stride": 4},
    {"type": "Flatten", "start_dim": 2},
    {"type": "TransformerEncoderLayer", "nhead": 4, "dim_feedforward": 32, "batch_first": True, "d_model": 64},
    {"type": "LayerNorm"},
    {"type": "Dropout", "p": 0.5},
    {"type": "Conv1d", "out_channels": 3, "kernel_size": 3},
    "Flatten",
    {"type": "Linear", "out_features": 5},
]


def planned(layers: Any, shape: tuple[int, ...]) -> Plan:
    return cnnexp.plan(layers if isinstance(layers, str) else {"layers": layers}, input_shape=shape)


def batch(plan: Plan, n: int = 4) -> Tensor:
    return torch.randn((n, *plan.input_shape), generator=torch.Generator().manual_seed(1))


def views(
    model: nn.Sequential, plan: Plan, images: Tensor, pixels: Tensor, channels: int | None, samples: int
) -> list[View]:
    seen = look(model, plan, images, samples)
    return [*outputs(seen, plan, pixels, channels), *kernel_views(model, plan, channels)]


def drawn(layers: Any, pixels: Tensor, images: Tensor | None = None, **more: Any) -> dict[str, View]:
    plan = planned(layers, tuple(pixels.shape[1:]))
    given = pixels / 255 if images is None else images
    found = views(plan.build(0), plan, given, pixels, more.get("channels"), more.get("samples", 8))
    return {view.file: view for view in found}


def uint8(*shape: int) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(2))


def by_hand(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Every module's output when torch itself calls the whole network, the tensor alone where a pool gives more."""
    found: dict[str, Tensor] = {}
    for name, module in model.named_modules():

        def keep(_m: nn.Module, _i: Any, out: Any, name: str = name) -> None:
            found[name] = (out[0] if isinstance(out, tuple) else out).clone()

        module.register_forward_hook(keep)
    with torch.no_grad():
        model.eval()(x)
    return found


@pytest.mark.parametrize("name", NETWORKS)
def test_every_output_is_what_torch_makes_by_hand(name: str) -> None:
    plan = planned(name, NETWORKS[name])
    x = batch(plan)
    seen = look(plan.build(0).train(), plan, x)
    expected = by_hand(plan.build(0), x)
    assert [s.name for s in seen] == ["input", *(name for _, name, _ in plan.walk())]
    torch.testing.assert_close(seen[0].output, x)
    for one, (_, _, layer) in zip(seen[1:], plan.walk(), strict=True):
        assert tuple(one.output.shape[1:]) == layer.output_shape
        torch.testing.assert_close(one.output, expected[one.name])


def test_a_transformers_outputs_are_what_torch_makes_layer_by_layer() -> None:
    plan = planned(TRANSFORMER, (3, 32, 32))
    model, x = plan.build(0).eval(), batch(plan)
    with torch.no_grad():
        for one, layer in zip(look(model, plan, x)[1:], model, strict=True):
            x = layer(x)
            torch.testing.assert_close(one.output, x)


def test_what_a_layer_gave_is_kept_though_the_next_one_works_in_place() -> None:
    layers = [{"type": "ReLU", "inplace": True}, {"type": "Conv2d", "out_channels": 2, "kernel_size": 1}]
    layers += [{"type": "ReLU", "inplace": True}]
    plan = planned(layers, (3, 4, 4))
    model, x = plan.build(0), batch(plan)
    before = x.clone()
    seen = {s.name: s.output for s in look(model, plan, x)}
    assert torch.equal(x, before)
    assert torch.equal(seen["0"], before.relu())
    conv = model[1]
    assert isinstance(conv, nn.Conv2d)
    expected = functional.conv2d(before.relu(), conv.weight, conv.bias).detach()
    torch.testing.assert_close(seen["1"], expected)
    torch.testing.assert_close(seen["2"], expected.relu())


def test_looking_leaves_modes_statistics_hooks_and_the_generator_as_they_were() -> None:
    layers = [
        {"type": "Conv2d", "out_channels": 4, "kernel_size": 3},
        "BatchNorm2d",
        "Dropout",
        {"type": "FractionalMaxPool2d", "kernel_size": 2, "output_size": [3, 3]},
    ]
    plan = planned(layers, (3, 8, 8))
    model = plan.build(0).train()
    model[1].eval()
    modes = [m.training for m in model.modules()]
    state = {k: v.clone() for k, v in model.state_dict().items()}
    torch.manual_seed(5)
    before = torch.get_rng_state()
    look(model, plan, batch(plan))
    assert torch.equal(torch.get_rng_state(), before)
    assert [m.training for m in model.modules()] == modes
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
    assert not any(m._forward_hooks for m in model.modules())
    assert all(p.grad is None for p in model.parameters())


def test_a_network_that_fails_is_left_as_it_was() -> None:
    plan = planned([{"type": "Conv2d", "out_channels": 4, "kernel_size": 3}], (3, 8, 8))
    model = plan.build(0).train()
    with pytest.raises(RuntimeError):
        look(model, plan, torch.zeros(2, 5, 8, 8))
    assert model[0].training
    assert not model[0]._forward_hooks


def test_of_a_batch_only_the_first_samples_are_kept() -> None:
    plan = planned("lenet5", (1, 32, 32))
    x = batch(plan, 6)
    few, every = (look(plan.build(0), plan, x, n) for n in (2, None))
    for a, b in zip(few, every, strict=True):
        assert torch.equal(a.output, b.output[:2])


def test_kernels_are_the_weights_and_transposed_ones_are_turned() -> None:
    layers = [
        {"type": "Conv2d", "out_channels": 6, "kernel_size": 3},
        {"type": "ConvTranspose2d", "out_channels": 4, "kernel_size": 2, "groups": 2},
        {"type": "Conv2d", "out_channels": 8, "kernel_size": 1, "groups": 4},
    ]
    plan = planned(layers, (3, 8, 8))
    model = plan.build(0)
    plain, turned, grouped = kernels(model, plan)
    assert [k.groups for k in (plain, turned, grouped)] == [1, 2, 4]
    torch.testing.assert_close(plain.weight, model[0].weight.detach())
    torch.testing.assert_close(grouped.weight, model[2].weight.detach())
    # What one input channel puts onto the output is the kernel from that channel to each output channel of its group.
    up = model[1]
    assert isinstance(up, nn.ConvTranspose2d)
    with torch.no_grad():
        up.bias.zero_()  # type: ignore[union-attr]
        for channel in range(6):
            point = torch.zeros(1, 6, 1, 1)
            point[0, channel] = 1
            stamp = up(point)[0]
            group, within = divmod(channel, 3)
            for out in range(4):
                own = out // 2 == group
                expected = turned.weight[out, within] if own else torch.zeros(2, 2)
                torch.testing.assert_close(stamp[out], expected)


def test_kernels_inside_a_layer_of_another_library_are_found() -> None:
    found = drawn([{"type": "SqueezeExcitation", "squeeze_channels": 2}], uint8(2, 3, 4, 4))
    assert [f for f in found if "kernels" in f] == [
        "00_SqueezeExcitation_fc1_kernels.png",
        "00_SqueezeExcitation_fc2_kernels.png",
    ]


def plain_greys(view: View, count: int, size: tuple[int, int]) -> np.ndarray:
    """The tiles of a picture without words that has one line: (count, height, width, …)."""
    page = np.asarray(view.plain)
    for factor in range(60, 0, -1):
        for gap in (0, 1, 2, 4):
            wide, tall = size[1] * factor + gap, size[0] * factor + gap
            if page.shape[:2] == (tall + gap, count * wide + gap):
                return np.stack(
                    [page[gap:, gap + i * wide :][: tall - gap : factor, : wide - gap : factor] for i in range(count)]
                )
    raise AssertionError(page.shape)


def test_a_known_output_has_exactly_these_greys() -> None:
    pixels = torch.tensor([[[[0, 51, 102], [153, 204, 255], [25, 26, 27]]]], dtype=torch.uint8)
    found = drawn(["Identity"], pixels)["00_Identity_output.png"]
    assert np.asarray(found.image).ndim == 3  # its first picture is in the range of the pixels
    colour, grey = plain_greys(found, 2, (3, 3))
    assert (colour == grey).all()
    assert grey[..., 0].tolist() == [[0, 51, 102], [153, 204, 255], [25, 26, 27]]


def test_the_channels_of_a_convolution_are_grey_pictures_of_their_own() -> None:
    pixels = uint8(1, 3, 8, 8)
    plan = planned([{"type": "Conv2d", "out_channels": 6, "kernel_size": 3}], (3, 8, 8))
    model = plan.build(0)
    out = functional.conv2d(pixels / 255, model[0].weight, model[0].bias).detach().double().numpy()[0]
    expected = np.rint((out - out.min()) / (out.max() - out.min()) * 255)
    view = drawn([{"type": "Conv2d", "out_channels": 6, "kernel_size": 3}], pixels)["00_Conv2d_output.png"]
    assert view.shape == (6, 6, 6)
    assert view.image.mode == "L"
    np.testing.assert_array_equal(plain_greys(view, 6, (6, 6)), expected)


def test_the_first_kernels_are_in_colour_and_deeper_ones_grey_around_zero() -> None:
    layers = [
        {"type": "Conv2d", "out_channels": 5, "kernel_size": 3},
        {"type": "Conv2d", "out_channels": 1, "kernel_size": 3},
    ]
    found = drawn(layers, uint8(1, 3, 8, 8))
    model = planned(layers, (3, 8, 8)).build(0)
    first, second = (layer.weight.detach().double().numpy() for layer in model)
    for view, weight in ((found["00_Conv2d_kernels.png"], first), (found["01_Conv2d_kernels.png"], second)):
        expected = np.rint((weight / np.abs(weight).max() + 1) / 2 * 255)
        wanted = np.moveaxis(expected, 1, -1) if view.layer == "0" else expected[0]
        np.testing.assert_array_equal(plain_greys(view, 5, (3, 3)), wanted)


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize("statistics", [(0.0, 1.0), (0.305, 0.324)])
def test_a_pool_of_the_pixels_is_also_seen_in_their_colours(ceil_mode: bool, statistics: tuple[float, float]) -> None:
    pixels = uint8(1, 3, 8, 8)
    images = (pixels / 255 - statistics[0]) / statistics[1]
    layers = [{"type": "MaxPool2d", "kernel_size": 3, "ceil_mode": ceil_mode}]
    view = drawn(layers, pixels, images)["00_MaxPool2d_output.png"]
    pooled = functional.max_pool2d(pixels.double(), 3, ceil_mode=ceil_mode)[0].numpy()
    colours = plain_greys(view, 4, pooled.shape[1:])[0]
    np.testing.assert_array_equal(colours, np.moveaxis(pooled, 0, -1))


def test_a_sigmoid_of_the_pixels_is_also_seen_in_their_colours() -> None:
    pixels = uint8(1, 3, 8, 8)
    view = drawn(["Sigmoid"], pixels)["00_Sigmoid_output.png"]
    expected = np.rint(torch.sigmoid(pixels.double() / 255)[0].numpy() * 255)
    colours = plain_greys(view, 4, (8, 8))[0].astype(int)
    assert np.abs(colours - np.moveaxis(expected, 0, -1)).max() <= 1  # the sigmoid itself is taken in float32


def test_samples_of_one_value_are_mid_grey_as_pixels_and_as_an_output() -> None:
    seen = drawn(["Identity"], torch.ones(2, 3, 4, 4))
    for view in (seen["input.png"], seen["00_Identity_output.png"]):
        assert {128, 205} == set(np.asarray(view.plain).ravel().tolist())  # the tiles and the mat


def test_only_layers_that_keep_the_channels_apart_are_seen_in_colour() -> None:
    layers: list[Any] = [
        {"type": "Sequential", "layers": ["ReLU", {"type": "MaxPool2d", "kernel_size": 2}]},
        {"type": "ZeroPad2d", "padding": 1},
        "Softmax2d",
        "Sigmoid",
    ]
    assert like_pixels(planned(layers, (3, 8, 8))) == {"0", "0.0", "0.1", "1"}
    assert not like_pixels(planned(["Sigmoid"], (5, 8, 8)))


def test_two_axes_are_channels_and_a_length_or_tokens_and_features() -> None:
    assert tokens(planned(TRANSFORMER, (3, 32, 32))) >= {"2", "3", "4"}
    assert not tokens(planned(TRANSFORMER, (3, 32, 32))) & {"1", "5"}


def test_values_that_are_not_finite_are_coloured() -> None:
    plan = planned([{"type": "Conv2d", "out_channels": 2, "kernel_size": 1}], (1, 4, 4))
    model = plan.build(0)
    with torch.no_grad():
        model[0].weight[1] = float("nan")  # type: ignore[index, operator]
    pixels = uint8(1, 1, 4, 4)
    view = views(model, plan, pixels / 255, pixels, None, 8)[1]
    good, bad = plain_greys(view, 2, (4, 4))
    assert (bad == MARK).all()
    assert not (good == MARK).all(axis=-1).any()


@pytest.mark.parametrize("shape", [(1,), (7,), (4, 9), (2, 6, 5), (3, 6, 5), (2, 3, 5, 5), (2, 2, 2, 3, 3)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_samples_of_any_rank_and_their_outputs_are_drawn(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    pixels = (torch.rand((3, *shape)) * 200).to(dtype)
    found = drawn(["Tanh"], pixels, pixels.float())
    assert list(found) == ["input.png", "00_Tanh_output.png"]
    assert all(min(view.image.size) > 50 for view in found.values())


@pytest.mark.parametrize("name", ["conv1d_sequence", "conv3d_volume", "unet", "depthwise_separable"])
def test_files_are_unique_safe_and_in_the_order_of_the_layers(name: str) -> None:
    plan = planned(name, NETWORKS[name])
    pixels = uint8(2, *plan.input_shape)
    found = views(plan.build(0), plan, pixels / 255, pixels, 4, 2)
    outputs = [v.file for v in found if v.kind == "output"]
    assert outputs == sorted(outputs)
    assert len({v.file.lower() for v in found}) == len(found)
    assert [v.layer for v in found if v.kind == "output"] == [n for _, n, _ in plan.walk()]
    convolutions = [n for n, m in plan.build(0).named_modules() if "Conv" in type(m).__name__]
    assert [v.layer for v in found if v.kind == "kernels"] == convolutions


def test_a_block_with_a_name_that_not_every_file_can_have_gets_a_file() -> None:
    model = {"blocks": {"卷积": {"layers": ["ReLU"]}}, "layers": [{"type": "卷积"}]}
    plan = cnnexp.plan(model, input_shape=(1, 4, 4))
    found = views(plan.build(0), plan, torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4), None, 1)
    assert all(v.file.isascii() and "/" not in v.file for v in found)


def test_a_title_without_letters_in_the_font_says_what_the_file_is_called() -> None:
    layer = {"type": "Conv2d", "out_channels": 2, "kernel_size": 3}
    pixels = uint8(2, 3, 5, 5)
    titles = []
    for name in ("卷积", "池化", "a"):
        view = drawn([{**layer, "name": name}], pixels)["00_Conv2d_output.png"]
        titles.append(np.asarray(view.image)[:30].tobytes())
    assert titles[0] == titles[1] != titles[2]
    assert _heading("卷积", "Conv2d", "00_Conv2d") == "layer 00  Conv2d"
    assert _heading("a", "Conv2d", "00_Conv2d") == "a  Conv2d"


def test_only_as_many_channels_and_samples_are_drawn_as_are_asked_for() -> None:
    layers = [{"type": "Conv2d", "out_channels": 9, "kernel_size": 1}]
    view = drawn(layers, uint8(5, 2, 6, 6), channels=4, samples=1)["00_Conv2d_output.png"]
    assert plain_greys(view, 4, (6, 6)).shape == (4, 6, 6)


def test_a_network_that_was_compiled_in_place_is_not_compiled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = planned("lenet5", (1, 32, 32))
    model = plan.build(0)

    def compiled(*_: Any) -> None:
        raise AssertionError("the whole network was called")

    monkeypatch.setattr(model, "_compiled_call_impl", compiled)  # what nn.Module.compile() sets, and a call then calls
    with pytest.raises(AssertionError):
        model(batch(plan))
    assert len(look(model, plan, batch(plan))) == 13


@given(st.binary(max_size=300))
def test_the_checksum_is_tensorboards(data: bytes) -> None:
    assert checksum.masked(data) == masked_crc32c(data)
