"""requirements.lock is what pyproject.toml asks for: each package by version and hash, and no registry by name."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.forks import ROOT

LOCKED = ("data", "teachers", "logging", "cluster")
"""Extras that the file is for; the Dockerfile names them too."""
TEXT = (ROOT / "requirements.lock").read_text(encoding="utf-8")
ENTRIES = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)(.*?)(?=^[A-Za-z0-9]|\Z)", TEXT, re.M | re.S)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
ASKED = [*PROJECT["dependencies"], *(text for extra in LOCKED for text in PROJECT["optional-dependencies"][extra])]


@pytest.mark.parametrize("asked", ASKED)
def test_every_dependency_is_locked_at_a_version_that_will_do(asked):
    wanted = Requirement(asked)
    versions = [v for name, v, _ in ENTRIES if canonicalize_name(name) == canonicalize_name(wanted.name)]
    assert versions, f"{wanted.name} is not in requirements.lock: make it anew, its head says how"
    assert all(wanted.specifier.contains(v) for v in versions), versions


def test_every_package_has_hashes_and_no_registry_is_named():
    assert len(ENTRIES) > 100
    assert all("--hash=sha256:" in rest for _, _, rest in ENTRIES)
    assert "://" not in TEXT


def test_the_image_for_cpus_has_the_same_extras():
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert re.findall(r"--extra (\w+)", text) == list(LOCKED)
    assert re.findall(r"--extra (\w+)", TEXT) == list(LOCKED)
