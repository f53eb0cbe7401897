"""The manifests against the API's own schemas, and against the code they start."""

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import click
import jsonschema
import kubernetes_validate
import pytest
import yaml
from dispatcher.settings import Settings as Dispatcher
from handsent.__main__ import main
from handsent.settings import StackSettings
from projections.settings import Settings as Projections
from pydantic_settings import BaseSettings
from scheduler.settings import Settings as Scheduler
from send_intake.settings import Settings as SendIntake

from schemas.topics import TOPICS
from tests.contract.k8s.rendered import BASE, CHECKPOINTS, Object, render
from tests.tidy.tree import ROOT, SERVICES, table

OLDEST, NEWEST = "1.29", kubernetes_validate.latest_version()
TOPIC_SCHEMA = json.loads(Path(__file__).with_name("kafka-topic.schema.json").read_text())
SETTINGS: dict[str, type[BaseSettings]] = {
    "send-intake": SendIntake,
    "scheduler": Scheduler,
    "dispatcher": Dispatcher,
    "projections": Projections,
}
PORT = {"send-intake": "intake_port"}  # the others are named after their service
OBJECTS = render()
[CHECKPOINT] = render(CHECKPOINTS)


def of(kind: str) -> dict[str, Object]:
    return {each["metadata"]["name"]: each for each in OBJECTS if each["kind"] == kind}


def pod(service: str) -> dict[str, Any]:
    spec: dict[str, Any] = of("Deployment")[service]["spec"]["template"]["spec"]
    return spec


def container(service: str) -> dict[str, Any]:
    (only,) = pod(service)["containers"]
    assert isinstance(only, dict)
    return only


def environment(service: str) -> dict[str, str]:
    """Setting -> its value, or `secret/key` where it comes from a Secret."""
    found: dict[str, str] = {}
    for source in container(service)["envFrom"]:
        found |= of("ConfigMap")[source["configMapRef"]["name"]]["data"]
    for variable in container(service)["env"]:
        reference = variable["valueFrom"]["secretKeyRef"]
        found[variable["name"]] = f"{reference['name']}/{reference['key']}"
    return found


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("each", [*OBJECTS, CHECKPOINT], ids=lambda each: f"{each['kind']}-{each['metadata']['name']}")
def test_every_object_is_what_the_api_takes(each: Object, version: str) -> None:
    if each["kind"] == "KafkaTopic":
        jsonschema.validate(each, TOPIC_SCHEMA)
    else:
        kubernetes_validate.validate(each, version, strict=True)


def test_no_object_is_there_twice_and_no_secret_at_all() -> None:
    names = [(each["kind"], each["metadata"]["name"]) for each in OBJECTS]
    assert len(set(names)) == len(names)
    assert not of("Secret")
    assert not [name for name in of("ConfigMap")["handsent-settings"]["data"] if name.endswith(("_KEY", "_SECRET"))]


def test_the_topics_are_the_registry_s() -> None:
    assert {name: topic["spec"] for name, topic in of("KafkaTopic").items()} == {
        topic.name: {
            "partitions": topic.partitions_production,
            "replicas": 3,
            "config": {
                "cleanup.policy": topic.cleanup_policy,
                "retention.ms": topic.retention_ms,
                "min.insync.replicas": 2,
            },
        }
        for topic in TOPICS.values()
    }


def test_the_topics_belong_to_the_cluster_the_services_talk_to() -> None:
    (cluster,) = {topic["metadata"]["labels"]["strimzi.io/cluster"] for topic in of("KafkaTopic").values()}
    assert of("ConfigMap")["handsent-settings"]["data"]["KAFKA_BOOTSTRAP"] == f"{cluster}-kafka-bootstrap:9092"


@pytest.mark.parametrize("kind", ["Deployment", "Service", "ServiceAccount", "PodDisruptionBudget"])
def test_every_service_has_one(kind: str) -> None:
    assert set(of(kind)) == set(SERVICES)


@pytest.mark.parametrize("service", SERVICES)
def test_a_pod_runs_its_service_on_its_port(service: str) -> None:
    port = SETTINGS[service].model_fields[PORT.get(service, f"{service}_port")].default
    assert container(service)["args"] == [SERVICES[service]]
    assert container(service)["ports"] == [{"name": "http", "containerPort": port}]
    assert of("Service")[service]["spec"]["ports"] == [{"name": "http", "port": port, "targetPort": "http"}]
    probes = {name: container(service)[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert probes == {
        "startupProbe": {"path": "/healthz", "port": "http"},
        "livenessProbe": {"path": "/healthz", "port": "http"},
        "readinessProbe": {"path": "/readyz", "port": "http"},
    }


@pytest.mark.parametrize("service", SERVICES)
def test_everything_selects_the_service_s_pods(service: str) -> None:
    deployment = of("Deployment")[service]["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    selectors = [
        deployment["selector"]["matchLabels"],
        of("Service")[service]["spec"]["selector"],
        of("PodDisruptionBudget")[service]["spec"]["selector"]["matchLabels"],
    ]
    assert selectors == [labels] * 3


@pytest.mark.parametrize("service", SERVICES)
def test_a_rollout_takes_nothing_away_before_its_time(service: str) -> None:
    spec = of("Deployment")[service]["spec"]
    assert spec["replicas"] == 2
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    assert pod(service)["terminationGracePeriodSeconds"] == 40
    assert of("PodDisruptionBudget")[service]["spec"]["minAvailable"] < spec["replicas"]


@pytest.mark.parametrize("service", SERVICES)
def test_a_pod_may_do_nothing_it_need_not(service: str) -> None:
    user = re.search(r"^USER (\d+):(\d+)$", (ROOT / "deploy/Dockerfile").read_text(), flags=re.MULTILINE)
    assert user
    assert pod(service)["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": int(user[1]),
        "runAsGroup": int(user[2]),
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container(service)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod(service)["serviceAccountName"] == service
    assert pod(service)["automountServiceAccountToken"] is False
    assert of("ServiceAccount")[service]["automountServiceAccountToken"] is False
    assert container(service)["volumeMounts"] == [{"name": "tmp", "mountPath": "/tmp"}]
    assert [list(volume) for volume in pod(service)["volumes"]] == [["name", "emptyDir"]]
    assert set(container(service)["resources"]) == {"requests", "limits"}


@pytest.mark.parametrize("service", SERVICES)
def test_no_cluster_variable_is_taken_for_a_setting(service: str) -> None:
    # A Service named dispatcher would put DISPATCHER_PORT=tcp://… into every pod.
    assert pod(service)["enableServiceLinks"] is False


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_gets_every_setting_it_requires_and_can_be_reached(service: str) -> None:
    required = {name.upper() for name, field in SETTINGS[service].model_fields.items() if field.is_required()}
    assert required <= set(environment(service))
    assert environment(service)["BIND_HOST"] == "0.0.0.0"


@pytest.mark.parametrize("service", SERVICES)
def test_the_settings_given_are_good_ones(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment(service).items():
        secret = "postgresql://login@host/database" if name == "DATABASE_URL" else "s" * 40
        monkeypatch.setenv(name, secret if "/" in value and "handsent-" in value.split("/")[0] else value)
    assert SETTINGS[service]().model_dump()["bind_host"] == "0.0.0.0"


def test_every_variable_is_a_setting_of_its_reader() -> None:
    settings = {service: {name.upper() for name in each.model_fields} for service, each in SETTINGS.items()}
    assert set(of("ConfigMap")["handsent-settings"]["data"]) <= set().union(*settings.values())
    for service in SERVICES:
        assert {variable["name"] for variable in container(service)["env"]} <= settings[service]


def test_services_find_each_other() -> None:
    data = of("ConfigMap")["handsent-settings"]["data"]
    for name, service in {"DISPATCHER_URL": "dispatcher", "PROJECTIONS_URL": "projections"}.items():
        assert data[name] == f"http://{service}:{of('Service')[service]['spec']['ports'][0]['port']}"


def test_the_readme_lists_every_secret() -> None:
    listed = {(row["Secret"].strip("`"), row["key"].strip("`")) for row in table((BASE / "README.md").read_text())}
    referred = {tuple(v.split("/")) for s in SERVICES for v in environment(s).values() if re.match(r"handsent-\w+/", v)}
    assert listed == referred


def test_the_image_is_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert {container(service)["image"] for service in SERVICES} == {f"handsent:{version}"}


def test_the_checkpoint_s_job_is_confined_as_a_service_is_and_has_what_the_command_reads() -> None:
    spec = CHECKPOINT["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (job,) = spec["containers"]
    own = {name: value for name, value in spec["securityContext"].items() if name != "fsGroup"}
    assert own == pod("scheduler")["securityContext"]
    assert job["securityContext"] == container("scheduler")["securityContext"]
    assert job["image"] == container("scheduler")["image"]
    assert spec["enableServiceLinks"] is spec["automountServiceAccountToken"] is False
    assert {variable["name"].lower() for variable in job["env"]} <= set(StackSettings.model_fields)
    assert {mount["name"] for mount in job["volumeMounts"]} == {volume["name"] for volume in spec["volumes"]}
    module, *arguments = job["args"]
    assert module == "handsent"
    command = main
    for word in arguments:
        if isinstance(command, click.Group):
            found = command.get_command(click.Context(command), word)
            assert found is not None, word
            command = found
    command.make_parser(click.Context(command)).parse_args(arguments[2:])  # raises for an option that is none


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl here to compare with")
def test_kubectl_renders_the_same() -> None:
    told = subprocess.run(["kubectl", "kustomize", str(BASE)], capture_output=True, text=True, check=True, timeout=60)
    # A generated ConfigMap's name ends in a hash of its content, so that a changed setting rolls the pods.
    plain = re.sub(r"\b(handsent-settings)-[a-z0-9]{10}\b", r"\1", told.stdout)
    assert sorted(yaml.safe_load_all(plain), key=_name) == sorted(OBJECTS, key=_name)


def _name(each: Object) -> tuple[str, str]:
    return each["kind"], each["metadata"]["name"]
