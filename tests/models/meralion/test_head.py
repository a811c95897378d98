"""Head and outputs against a second reading of the specification, in numpy and in double precision.

Written from the text of the specification with explicit loops over frames' offsets, chunks,
scales and levels, and with none of the network's modules: only its weights, by name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pytest
import torch

from affectstream_models.meralion_config import MeralionConfig
from tests.models.meralion.helpers import SMALL, lively

A = npt.NDArray[np.float64]
_erf = np.vectorize(math.erf, otypes=[np.float64])


class SecondReading:
    """One item at a time: channels by frames."""

    def __init__(self, weights: Mapping[str, torch.Tensor]) -> None:
        self.weights = {name: tensor.double().numpy() for name, tensor in weights.items()}

    def w(self, name: str) -> A:
        return np.asarray(self.weights[name])

    def linear(self, name: str, x: A) -> A:
        """Over the last axis."""
        return np.asarray(x @ self.w(f"{name}.weight").T + self.w(f"{name}.bias"))

    def conv(self, name: str, x: A, *, padding: int = 0, dilation: int = 1, groups: int = 1) -> A:
        weight = self.w(f"{name}.weight")
        outputs, _, kernel = weight.shape
        padded = np.pad(x, ((0, 0), (padding, padding)))
        frames = padded.shape[1] - dilation * (kernel - 1)
        y = np.zeros((outputs, frames))
        share_in, share_out = len(x) // groups, outputs // groups
        for group in range(groups):
            rows = slice(group * share_out, (group + 1) * share_out)
            columns = padded[group * share_in : (group + 1) * share_in]
            for tap in range(kernel):
                start = tap * dilation
                y[rows] += weight[rows, :, tap] @ columns[:, start : start + frames]
        bias = self.weights.get(f"{name}.bias")
        return y if bias is None else y + bias[:, None]

    def layer_norm(self, name: str, x: A) -> A:
        centred = x - x.mean(-1, keepdims=True)
        normal = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
        return np.asarray(normal * self.w(f"{name}.weight") + self.w(f"{name}.bias"))

    def group_norm(self, name: str, x: A) -> A:
        groups = x.reshape(32, -1)
        centred = groups - groups.mean(1, keepdims=True)
        normal = (centred / np.sqrt((centred**2).mean(1, keepdims=True) + 1e-5)).reshape(x.shape)
        return np.asarray(normal * self.w(f"{name}.weight")[:, None] + self.w(f"{name}.bias")[:, None])

    def rms_norm(self, name: str, x: A) -> A:
        root = np.sqrt((x**2).mean(-1, keepdims=True) + 1.1920929e-07)
        return np.asarray(x / root * self.w(f"{name}.weight"))

    def projection(self, linear: str, norm: str, x: A) -> A:
        return gelu(self.layer_norm(norm, self.linear(linear, x)))

    def block(self, name: str, x: A, dilation: int) -> A:
        y = relu(self.group_norm(f"{name}.norm1", self.conv(f"{name}.conv1", x)))
        chunk = np.split(y, 4)
        done = [chunk[0]]
        for i in (1, 2, 3):
            fed = chunk[i] if i == 1 else chunk[i] + done[i - 1]
            done.append(self.conv(f"{name}.res2.convs.{i - 1}", fed, padding=dilation, dilation=dilation))
        y = relu(self.group_norm(f"{name}.res2.norm", np.concatenate(done)))
        squeezed = relu(self.conv(f"{name}.se.fc.0", y.mean(1, keepdims=True)))
        y = y * sigmoid(self.conv(f"{name}.se.fc.2", squeezed))
        return relu(self.group_norm(f"{name}.norm2", self.conv(f"{name}.conv2", y)) + x)

    def pool(self, name: str, x: A) -> tuple[A, A]:
        weights = softmax(self.linear(name, x.T)[:, 0])
        return (x * weights).sum(1), weights

    def embedding(self, states: A, groups: int) -> tuple[A, A]:
        """Encoder states `[T, width]` → embedding and frame attention."""
        d = "downstream_model"
        x = self.projection(f"{d}.proj_in.0", f"{d}.proj_in.1", states).T
        outputs = [x]
        for i, dilation in enumerate((1, 2, 3)):
            outputs.append(self.block(f"{d}.blocks.{i}", outputs[-1], dilation))
        x = gelu(self.group_norm(f"{d}.mfa.1", self.conv(f"{d}.mfa.0", np.concatenate(outputs))))

        m = f"{d}.pooling.multiscale"
        hidden = relu(self.linear(f"{m}.resolution_weight_net.0", x.mean(1)))
        shares = softmax(self.linear(f"{m}.resolution_weight_net.2", hidden))
        mixed, looked = np.zeros(len(x)), np.zeros(x.shape[1])
        for i, share in enumerate(shares):
            kernel = self.w(f"{m}.resolution_convs.{i}.weight").shape[2]
            y = self.conv(f"{m}.resolution_convs.{i}", x, padding=kernel // 2, groups=groups)
            pooled, weights = self.pool(f"{m}.resolution_attentions.{i}", y)
            mixed += share * pooled
            for position, weight in enumerate(weights):
                if len(weights) == x.shape[1]:
                    looked[position] += share * weight
                else:  # between two frames
                    looked[max(position - 1, 0)] += share * weight / 2
                    looked[min(position, x.shape[1] - 1)] += share * weight / 2
        by_scale = self.linear(f"{m}.final_proj", mixed)

        s = f"{d}.pooling.segment"
        parts, level_x, heard = [], x, np.zeros(x.shape[1])
        for level in range(3):
            if level:
                even = level_x[:, : level_x.shape[1] // 2 * 2]
                level_x = (even[:, ::2] + even[:, 1::2]) / 2
            pooled, weights = self.pool(f"{s}.level_attentions.{level}", level_x)
            parts.append(pooled)
            for position, weight in enumerate(weights):
                heard[position * 2**level : (position + 1) * 2**level] += weight / 2**level / 3
        by_level = self.linear(f"{s}.combiner", np.concatenate(parts))

        y = self.linear(f"{d}.pooling.combiner", np.concatenate([by_scale, by_level]))
        y = self.projection(f"{d}.embed.0", f"{d}.embed.1", y)
        return self.projection(f"{d}.embed.4", f"{d}.embed.5", y), (looked + heard) / 2

    def outputs(self, embedding: A) -> tuple[A, A]:
        """Logits and dims."""
        y = gelu(self.rms_norm("dim_layer.1", self.linear("dim_layer.0", embedding)))
        dims = sigmoid(self.linear("dim_layer.3", y))
        y = self.linear("emotion_layer", embedding)
        y = gelu(self.rms_norm("emotion_classification_layer.0", y))
        return self.linear("emotion_classification_layer.2", y), dims


def relu(x: A) -> A:
    return np.maximum(x, 0)


def sigmoid(x: A) -> A:
    return np.asarray(1 / (1 + np.exp(-x)))


def softmax(x: A) -> A:
    shifted = np.exp(x - x.max())
    return np.asarray(shifted / shifted.sum())


def gelu(x: A) -> A:
    return np.asarray(x * (1 + _erf(x / math.sqrt(2))) / 2)


PUBLISHED_HEAD = MeralionConfig(layers=1)


@pytest.mark.parametrize("config", [SMALL, PUBLISHED_HEAD], ids=["small", "published size"])
def test_head_and_outputs_are_the_specifications(config: MeralionConfig) -> None:
    model = lively(config, seed=5)
    states = torch.randn(2, config.frames, config.width)
    with torch.inference_mode():
        embedding, attention = model.downstream_model(states)
        dims = model.dim_layer(embedding)
        logits = model.emotion_classification_layer(model.emotion_layer(embedding))
    reading = SecondReading(model.state_dict())
    for item in range(2):
        expected, looked = reading.embedding(states[item].double().numpy(), config.kernel_groups)
        expected_logits, expected_dims = reading.outputs(expected)
        assert np.abs(embedding[item].numpy() - expected).max() < 1e-4
        assert np.abs(logits[item].numpy() - expected_logits).max() < 1e-4
        assert np.abs(dims[item].numpy() - expected_dims).max() < 1e-5
        assert np.abs(attention[item].numpy() - looked).max() < 1e-5
    assert (logits[0] - logits[1]).abs().max() > 0.01, "two items must not be alike"


def test_frame_attention_is_a_distribution_over_frames() -> None:
    model = lively(SMALL)
    with torch.inference_mode():
        out = model(torch.randn(3, SMALL.window_samples) * 0.1)
    assert out.frame_attention.shape == (3, SMALL.frames)
    assert torch.allclose(out.frame_attention.sum(1), torch.ones(3), atol=1e-6)
    assert (out.frame_attention >= 0).all()


def test_published_pooling_has_one_more_position_for_even_kernels() -> None:
    scales = lively(PUBLISHED_HEAD).downstream_model.pooling.multiscale
    with torch.inference_mode():
        lengths = [conv(torch.zeros(1, 512, 1500)).shape[2] for conv in scales.resolution_convs]
    assert lengths == [1501 if kernel % 2 == 0 else 1500 for kernel in (1, 2, 6, 16)]
