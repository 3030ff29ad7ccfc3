"""The manifests in deploy/ against the options, variables and metrics of the program."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from keras_nmt.app.cli import build_parser
from keras_nmt.app.config import preset_names
from keras_nmt.app.server.engine.metrics import Metrics
from keras_nmt.app.training.machines.cluster import Cluster

DEPLOY = Path(__file__).resolve().parents[1] / "deploy"
INDEX = "metadata.annotations['batch.kubernetes.io/job-completion-index']"


@pytest.fixture(scope="module")
def training() -> dict[str, Any]:
    """Returns the documents of the training manifest by kind."""
    documents = yaml.safe_load_all((DEPLOY / "kubernetes-training.yaml").read_text(encoding="utf-8"))
    return {document["kind"]: document for document in documents}


def environment(container: dict[str, Any], index: int) -> dict[str, str]:
    """Returns the environment variables of pod `index`; Kubernetes replaces $(NAME) with an earlier variable."""
    values: dict[str, str] = {}
    for variable in container["env"]:
        if "valueFrom" in variable:
            assert variable["valueFrom"] == {"fieldRef": {"fieldPath": INDEX}}
            values[variable["name"]] = str(index)
        else:
            known = dict(values)
            text = re.sub(r"\$\((\w+)\)", lambda match: known.get(match[1], match[0]), variable["value"])  # noqa: B023
            values[variable["name"]] = text
    return values


def test_tf_config_names_each_training_pod_and_the_others(training, monkeypatch):
    service, job = training["Service"], training["Job"]
    pod = job["spec"]["template"]["spec"]
    container = pod["containers"][0]
    count = job["spec"]["completions"]
    assert count == job["spec"]["parallelism"] > 1
    assert job["spec"]["completionMode"] == "Indexed"
    assert service["spec"]["clusterIP"] == "None"
    assert service["metadata"]["name"] == pod["subdomain"]
    assert service["spec"]["selector"] == {"job-name": job["metadata"]["name"]}
    for index in range(count):
        monkeypatch.setenv("TF_CONFIG", environment(container, index)["TF_CONFIG"])
        cluster = Cluster.from_environment()
        assert (cluster.index, cluster.size) == (index, count)
        host, port = cluster.tasks[index].host_and_port
        assert host == f"{job['metadata']['name']}-{index}.{service['metadata']['name']}"
        assert port == container["ports"][0]["containerPort"] == service["spec"]["ports"][0]["port"]


def test_the_training_pod_runs_a_valid_command(training):
    name, *arguments = training["Job"]["spec"]["template"]["spec"]["containers"][0]["command"]
    assert name == "nmt"
    parsed = build_parser().parse_args(arguments)
    assert parsed.verb == "train"
    assert parsed.preset in preset_names()


def test_a_pod_that_lost_another_is_restarted_and_a_user_error_fails_the_job(training):
    codes = {
        code: rule["action"]
        for rule in training["Job"]["spec"]["podFailurePolicy"]["rules"]
        for code in rule.get("onExitCodes", {"values": []})["values"]
    }
    assert codes == {1: "FailJob", 2: "FailJob", os.EX_TEMPFAIL: "Ignore", 128 + 15: "Ignore"}
    assert training["Job"]["spec"]["template"]["spec"]["restartPolicy"] == "Never"  # or the rules are ignored


@pytest.fixture(scope="module")
def serving() -> dict[str, Any]:
    """Returns the documents of the server's manifest by kind."""
    documents = yaml.safe_load_all((DEPLOY / "kubernetes-serving.yaml").read_text(encoding="utf-8"))
    return {document["kind"]: document for document in documents}


def dockerfile(instruction: str) -> list[str]:
    """Returns the arguments of each occurrence of an instruction."""
    lines = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").splitlines()
    return [line.removeprefix(instruction).strip() for line in lines if line.startswith(f"{instruction} ")]


def test_the_image_contains_every_file_that_the_installation_reads():
    copied = " ".join(dockerfile("COPY")).split()
    project = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text(encoding="utf-8"))
    dynamic = project["tool"]["setuptools"]["dynamic"]
    files = [
        *dynamic["dependencies"]["file"],
        *(f for group in dynamic["optional-dependencies"].values() for f in group["file"]),
    ]
    packages = [package.rstrip("*") for package in project["tool"]["setuptools"]["packages"]["find"]["include"]]
    links = [path.resolve().name for path in (DEPLOY.parent / "keras_nmt").iterdir() if path.is_symlink()]
    assert len(links) == 3
    for needed in [*files, *packages, *links, project["project"]["readme"], *project["project"]["license-files"]]:
        assert needed in copied


def test_the_image_and_the_pod_run_a_valid_command(serving):
    _, *arguments = json.loads(dockerfile("ENTRYPOINT")[0])
    container = serving["Deployment"]["spec"]["template"]["spec"]["containers"][0]
    parsed = build_parser().parse_args([*arguments, *container["args"]])
    assert (parsed.verb, parsed.host) == ("serve", "0.0.0.0")
    assert str(parsed.exports) in [mount["mountPath"] for mount in container["volumeMounts"]]
    assert parsed.port == container["ports"][0]["containerPort"] == int(dockerfile("EXPOSE")[0])
    assert serving["Deployment"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > parsed.deadline


def test_the_autoscaler_uses_a_metric_of_the_server(serving):
    metric = serving["HorizontalPodAutoscaler"]["spec"]["metrics"][0]["pods"]["metric"]["name"]
    assert f"\n{metric} " in Metrics().page().decode()
    annotations = serving["Deployment"]["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(
        serving["Deployment"]["spec"]["template"]["spec"]["containers"][0]["ports"][0]["containerPort"]
    )


def test_both_services_of_compose_serve_the_same_export():
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"]
    mounts = {name: service["volumes"][0].rsplit(":", 2)[-2] for name, service in services.items()}
    assert mounts["server"].startswith("/exports/")
    assert f"--model_base_path={mounts['tensorflow-serving']}" in services["tensorflow-serving"]["command"]


@pytest.mark.slow
def test_the_manifests_match_the_schemas_of_kubernetes():
    command = [sys.executable, "-m", "kubernetes_validate", "--strict", *map(str, DEPLOY.glob("kubernetes-*.yaml"))]
    subprocess.run(command, check=True)
