"""Batched augmentation on the device (kornia), with parameters drawn for each sample from torch's global generator."""

from typing import Any, Literal

import kornia.augmentation as K
import torch
from torch import Tensor, nn

Strength = Literal["none", "light", "simclr"]


class Augment(nn.Module):
    """Random views of images.

    strength: `none`; `light` (mild crop and flip: for supervised training); `simclr` (crop, flip, colour jitter, and
    blur from 64 pixels on, as SimCLR does; its crop here keeps at least 30 % of the area, since drawings are small).
    channels: colour operations on hue and saturation need 3; grey images get brightness and contrast only.
    flip: False where left and right differ in meaning (spectrograms).

    Input and output: [n, channels, size, size] floats in [0, 1].
    """

    def __init__(self, strength: Strength, channels: int, size: int, flip: bool = True) -> None:
        super().__init__()
        self.strength = strength
        smallest = {"none": 1.0, "light": 0.6, "simclr": 0.3}[strength]
        geometry: list[Any] = [K.RandomResizedCrop((size, size), scale=(smallest, 1.0))]
        if flip:
            geometry.append(K.RandomHorizontalFlip())
        self.geometry = K.AugmentationSequential(*geometry)
        self.colour = K.AugmentationSequential(*self._colour_steps(channels, size))

    @staticmethod
    def _colour_steps(channels: int, size: int) -> list[Any]:
        if channels == 3:
            steps: list[Any] = [K.ColorJitter(0.4, 0.4, 0.4, 0.1, p=0.8), K.RandomGrayscale(p=0.2)]
        else:
            steps = [K.RandomBrightness((0.6, 1.4), p=0.8), K.RandomContrast((0.6, 1.4), p=0.8)]
        if size >= 64:
            kernel = size // 10 | 1  # a tenth of the image, odd
            steps.append(K.RandomGaussianBlur((kernel, kernel), (0.1, 2.0), p=0.5))
        return steps

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        if self.strength == "none":
            return x
        x = self.geometry(x)
        return self.colour(x) if self.strength == "simclr" else x

    @torch.no_grad()
    def pair(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Both modalities of a pair (or an image and its label map, as y) under one geometry, colours of x alone
        changed.

        For dense tasks, where a pixel of one must stay the pixel of the other. x: [n, c, s, s], y: [n, c', s, s].
        """
        if self.strength == "none":
            return x, y
        moved_x = self.geometry(x)
        moved_y = self.geometry(y, params=self.geometry._params)
        return (self.colour(moved_x) if self.strength == "simclr" else moved_x), moved_y
