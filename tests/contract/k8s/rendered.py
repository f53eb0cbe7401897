"""The base as a cluster would get it: what kustomize makes of it, as far as the base uses kustomize."""

from pathlib import Path
from typing import Any

import yaml

from tests.tidy.tree import ROOT

BASE = ROOT / "deploy/k8s/base"
CHECKPOINTS = ROOT / "deploy/k8s/checkpoints"
Object = dict[str, Any]


def render(folder: Path = BASE) -> list[Object]:
    """Every object. Raises ValueError for a part of kustomize that is not read here."""
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    unread = set(kustomization) - {"apiVersion", "kind", "labels", "resources", "configMapGenerator"}
    if unread:
        raise ValueError(f"this reader does not know kustomize's {sorted(unread)}")
    objects = [
        each
        for file in kustomization["resources"]
        for each in yaml.safe_load_all((folder / file).read_text())
        if each is not None
    ]
    objects += [_config_map(folder, generator) for generator in kustomization.get("configMapGenerator", [])]
    for each in objects:
        for labels in kustomization["labels"]:
            each["metadata"].setdefault("labels", {}).update(labels["pairs"])
    return objects


def _config_map(folder: Path, generator: dict[str, Any]) -> Object:
    lines = [line.strip() for file in generator["envs"] for line in (folder / file).read_text().splitlines()]
    pairs = [line.split("=", 1) for line in lines if line and not line.startswith("#")]
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": generator["name"]},
        "data": dict(pairs),
    }
