"""A depthwise convolution that trains fast on a CPU."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class _DepthwiseOnCPU(torch.autograd.Function):
    """A depthwise convolution whose weight gradient is put together from 3 x 3 pieces.

    On a CPU the weight gradient of a depthwise convolution larger than 3 x 3 takes most of a training step: PyTorch
    has a fast kernel for 3 x 3 only. The gradient at the taps (i..i+2, j..j+2) of a k x k kernel equals that of a
    3 x 3 kernel on the image shifted by (i, j), so nine fast calls replace a slow one for 7 x 7. It is the
    same sum, and 3 to 5 times faster in bfloat16.
    """

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return F.conv2d(x, weight, padding=weight.shape[-1] // 2, groups=weight.shape[0])

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        channels, _, size, _ = weight.shape
        half = size // 2
        arguments = [0], [1, 1], [half, half], [1, 1], False, [0, 0], channels
        grad_x = torch.ops.aten.convolution_backward(grad, x, weight, *arguments, [True, False, False])[0]
        # Pieces of the batch that stay in the cache are twice as fast as the whole.
        images = max(1, 2_500_000 // (channels * (x.shape[2] + 2 * half) * (x.shape[3] + 2 * half)))
        pieces = zip(x.split(images), grad.split(images), strict=True)
        grad_weight = sum(_tiled_weight_gradient(*piece, size).float() for piece in pieces)
        return grad_x, grad_weight.to(weight.dtype)


def _tiled_weight_gradient(x: Tensor, grad: Tensor, size: int) -> Tensor:
    """Gradient [C, 1, size, size] of a depthwise kernel from its input and its output's gradient, both [N, C, H, W].

    The shifted images are views of one padded buffer, at an offset, so nothing is copied. A row of a view runs on
    into the next row of the buffer; what it meets there is multiplied by the zeros that pad the gradient.
    """
    number, channels, height, width = x.shape
    half = size // 2
    tall, wide = height + 2 * half, width + 2 * half
    values = number * tall * wide * channels
    buffer = x.new_zeros(values + (2 * half + 2) * (wide + 1) * channels)
    padded = buffer[:values].view(number, tall, wide, channels)
    padded[:, half : half + height, half : half + width] = x.permute(0, 2, 3, 1)
    strides = (tall * wide * channels, 1, wide * channels, channels)
    grad = F.pad(grad, (0, 2 * half - 2, 0, 2 * half - 2)).contiguous(memory_format=torch.channels_last)

    tiles = math.ceil(size / 3)
    gradient = x.new_empty(channels, 1, 3 * tiles, 3 * tiles)
    tile = x.new_empty(channels, 1, 3, 3)
    arguments = [0], [1, 1], [0, 0], [1, 1], False, [0, 0], channels, [False, True, False]
    for i in range(0, size, 3):
        for j in range(0, size, 3):
            shifted = buffer.as_strided((number, channels, tall, wide), strides, (i * wide + j) * channels)
            piece = torch.ops.aten.convolution_backward(grad, shifted, tile, *arguments)[1]
            gradient[:, :, i : i + 3, j : j + 3] = piece
    return gradient[:, :, :size, :size]


class Depthwise(nn.Conv2d):
    """A plain depthwise `Conv2d` (weight [C, 1, k, k]) that trains fast on a CPU as well."""

    def __init__(self, channels: int, size: int):
        super().__init__(channels, channels, size, padding=size // 2, groups=channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" or self.kernel_size[0] <= 3:
            return super().forward(x)
        if torch.is_autocast_enabled("cpu"):  # autocast does not look into an autograd.Function
            dtype = torch.get_autocast_dtype("cpu")
            return _DepthwiseOnCPU.apply(x.to(dtype), self.weight.to(dtype))
        return _DepthwiseOnCPU.apply(x, self.weight)
