"""Batched augmentation on the device, with parameters drawn for each sample from torch's global generator.

Images are cropped, flipped and recoloured (kornia); spectrograms are cropped in time and masked; of vectors, some
entries are replaced.
"""

from typing import Any, ClassVar, Literal

import kornia.augmentation as K
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xkd_bench import distributed
from xkd_bench.errors import UsageError

Strength = Literal["none", "light", "simclr", "dense", "dense-steps"]


class Augment(nn.Module):
    """Random views of images.

    strength: `none`; `light` (mild crop and flip: for supervised training); `simclr` (crop, flip, colour jitter, and
    blur from 64 pixels on, as SimCLR does; its crop here keeps at least 30 % of the area, since drawings are small).
    channels: colour operations on hue and saturation need 3; grey images get brightness and contrast only.

    Input and output: [n, channels, h, w] floats in [0, 1]. size: (h, w), or one number for both.
    """

    def __init__(self, strength: Strength, channels: int, size: int | tuple[int, ...]) -> None:
        super().__init__()
        self.strength = strength
        height, width = (size, size) if isinstance(size, int) else size
        if strength.startswith("dense"):
            raise ValueError(f"augmentation '{strength}' moves images with their label maps: it is for dense tasks")
        smallest = {"none": 1.0, "light": 0.6, "simclr": 0.3}[strength]
        crop = K.RandomResizedCrop((height, width), scale=(smallest, 1.0))
        self.geometry = K.AugmentationSequential(crop, K.RandomHorizontalFlip())
        self.colour = K.AugmentationSequential(*self._colour_steps(channels, min(height, width)))

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

    def forward(self, x: Tensor) -> Tensor:
        return self.view(x)[0]

    @torch.no_grad()
    def view(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """An augmented view of each image, and how it was moved: what `moved` takes."""
        if self.strength == "none":
            return x, torch.eye(2, 3, device=x.device).expand(len(x), 2, 3)
        y = _shared(self.geometry, x)
        matrix = self.geometry.transform_matrix
        assert matrix is not None
        move = _relative(matrix, *x.shape[-2:])
        return self.recolour(y), move

    @torch.no_grad()
    def recolour(self, x: Tensor) -> Tensor:
        """The colour operations alone (of `simclr`; the others have none)."""
        return _shared(self.colour, x) if self.strength == "simclr" else x

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
        return self.recolour(moved_x), moved_y


def _shared(steps: Any, x: Tensor) -> Tensor:
    """The steps on x; where x is one process's share of a batch, with its part of what is drawn for all of it."""
    share = distributed.share()
    if share is None:
        return steps(x)
    n, mine = share
    drawn = steps.forward_parameters(torch.Size((n, *x.shape[1:])))
    for item in drawn:
        for name, value in item.data.items():
            if name == "forward_input_shape":
                item.data[name] = torch.tensor(x.shape)
            elif name != "order":  # of the colour operations, one for all images
                if len(value) != n:
                    raise UsageError("several devices need kornia 0.9 or newer, which draws for every image")
                item.data[name] = value[mine]
    return steps(x, params=drawn)


class Mask(nn.Module):
    """Random views of spectrograms [n, 1, bands, frames] in [0, 1]: neither mirrored nor moved in pitch.

    Each is cropped in time, stretched back to its width, and then loses one run of bands and one of frames, each of a
    width drawn evenly from 0 up to a bound, at a place drawn evenly, and set to the spectrogram's own mean. This is
    SpecAugment (Park et al., Interspeech 2019), which normalises to mean 0 and masks with 0, with a crop for its time
    warping. Bounds of `simclr`: 27 of 80 bands (policy LB) and a fifth of the frames (the bound p of policies SM and
    SS) [PAPER, both]; of `light`: half of these (ours). The crop keeps 60 % of the time at least, under `light` 80 %
    (ours).
    """

    BOUNDS: ClassVar[dict[Strength, tuple[float, float, float]]] = {
        "none": (1.0, 0.0, 0.0),
        "light": (0.8, 27 / 160, 0.1),
        "simclr": (0.6, 27 / 80, 0.2),
    }
    """Share of the time that a crop keeps at least; of the bands, and of the frames, that a mask hides at most."""

    def __init__(self, strength: Strength) -> None:
        super().__init__()
        if strength not in self.BOUNDS:
            raise ValueError(f"augmentation '{strength}' is not for spectrograms: {', '.join(self.BOUNDS)}")
        self.strength = strength
        self.kept, self.bands, self.frames = self.BOUNDS[strength]

    def forward(self, x: Tensor) -> Tensor:
        return self.view(x)[0]

    @torch.no_grad()
    def view(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """As `Augment.view`."""
        move = torch.eye(2, 3, device=x.device).repeat(len(x), 1, 1)
        if self.strength == "none":
            return x, move
        kept = 1 - (1 - self.kept) * torch.rand(len(x), device=x.device)
        move[:, 0, 0] = kept
        move[:, 0, 2] = (1 - kept) * (2 * torch.rand(len(x), device=x.device) - 1)
        return self.recolour(moved(x, move)), move

    @torch.no_grad()
    def recolour(self, x: Tensor) -> Tensor:
        """The masks alone."""
        if self.strength == "none":
            return x
        hidden = _runs(x, 2, self.bands)[:, None, :, None] | _runs(x, 3, self.frames)[:, None, None, :]
        return torch.where(hidden, x.mean((1, 2, 3), keepdim=True), x)


def _runs(x: Tensor, axis: int, most: float) -> Tensor:
    """[n, length of this axis of x] bool: one run each, of a width from 0 to `most` of the length."""
    n, length = len(x), x.shape[axis]
    width = (torch.rand(n, 1, device=x.device) * most * length).round()
    start = torch.rand(n, 1, device=x.device) * (length - width)
    place = torch.arange(length, device=x.device) + 0.5
    return (place >= start) & (place < start + width)


class Corrupt(nn.Module):
    """Random views of vectors: each entry, with a probability, is replaced by that entry of a random row of the batch.

    This draws from the entries' marginals and needs no scale, as SCARF does (Bahri et al. 2022, "Self-supervised
    contrastive learning using random feature corruption"). SCARF corrupts 60 % of one of two views; here both are made
    alike, so `simclr` corrupts 37 % of each: as many entries, 40 %, are left alone in both. `light` (ours): 10 %.

    Input and output: [n, d] floats.
    """

    RATES: ClassVar[dict[Strength, float]] = {"none": 0.0, "light": 0.1, "simclr": 1 - 0.4**0.5}

    def __init__(self, strength: Strength) -> None:
        super().__init__()
        self.rate = self.RATES[strength]

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        if not self.rate:
            return x
        drawn = x.gather(0, torch.randint(len(x), x.shape, device=x.device))
        return torch.where(torch.rand(x.shape, device=x.device) < self.rate, drawn, x)

    def view(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """As `Augment.view`; vectors are moved nowhere."""
        return self(x), torch.eye(2, 3, device=x.device).expand(len(x), 2, 3)

    def recolour(self, x: Tensor) -> Tensor:
        """As `Augment.recolour`: what does not move."""
        return self(x)


def augmentation(strength: Strength, shape: tuple[int, ...], flip: bool = True) -> Augment | Mask | Corrupt:
    """Random views of items of this shape: (channels, h, w) of images, (d,) of vectors.

    flip: False for spectrograms, where left and right differ in meaning.
    """
    if len(shape) == 1:
        return Corrupt(strength)
    return Augment(strength, shape[0], shape[1:]) if flip else Mask(strength)


def _relative(matrix: Tensor, height: int, width: int) -> Tensor:
    """[n, 3, 3] maps of input to output pixels as [n, 2, 3] maps of output to input places in [-1, 1], which hold at
    any resolution."""
    matrix = matrix.double()
    to_relative = matrix.new_tensor([[2 / width, 0, 1 / width - 1], [0, 2 / height, 1 / height - 1], [0, 0, 1]])
    return (to_relative @ torch.linalg.inv(to_relative @ matrix))[:, :2].float()


def moved(x: Tensor, move: Tensor) -> Tensor:
    """Images or feature maps [n, c, h, w], of any resolution, under the crop and flip `move` [n, 2, 3] of `view`."""
    grid = F.affine_grid(move, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)
