"""Files of weights that timm and torchvision fetch: from their caches, or from their hubs where these answer soon.

The libraries' own downloads try again for minutes where there is no network; here it is one line within seconds.
"""

import urllib.request
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch

from xkd_bench.errors import UsageError

TIMEOUT = 5.0
"""Seconds to wait for a hub's first answer."""


def huggingface_file(teacher: str, repository: str, names: list[str], fetch: bool) -> Path | None:
    """The first of these files of a repository that is in the cache, or else is fetched into it.

    fetch: if false, None where nothing is cached and the hub answers. UsageError where it does not.
    """
    from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache

    for name in names:
        if isinstance(found := try_to_load_from_cache(repository, name), str):
            return Path(found)
    url = f"{constants.ENDPOINT}/{repository}"
    if constants.HF_HUB_OFFLINE:
        raise _unreachable(teacher, url, "HF_HUB_OFFLINE is set")
    _check_reachable(teacher, url)
    return _first(teacher, url, [partial(hf_hub_download, repository, name) for name in names]) if fetch else None


def url_file(teacher: str, url: str, fetch: bool) -> Path | None:
    """A file by its address, in the folder where torchvision and timm keep such: see `huggingface_file`."""
    file = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]
    if file.is_file():
        return file
    _check_reachable(teacher, url)

    def download() -> Path:
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(file), progress=False)
        return file

    return _first(teacher, url, [download]) if fetch else None


def _first(teacher: str, url: str, downloads: list[Callable[[], Any]]) -> Path:
    for download in downloads:
        try:
            return Path(download())
        except Exception as error:  # network, proxy, disk, no such entry: the libraries have many kinds
            last = error
    raise _unreachable(teacher, url, last) from last


@cache
def _check_reachable(teacher: str, url: str) -> None:
    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=TIMEOUT).close()
    except OSError as error:  # an HTTPError too: what is refused cannot be fetched
        raise _unreachable(teacher, url, error) from error


def _unreachable(teacher: str, url: str, why: object) -> UsageError:
    reason = (str(why).splitlines() or [type(why).__name__])[0]
    return UsageError(
        f"teacher '{teacher}': its weights are not on this machine, and {url.split('/')[2]} gives none ({reason}): "
        "fetch them where it does, or give a file of weights"
    )
