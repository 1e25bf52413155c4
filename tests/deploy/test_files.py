"""What deploy/ ships is sound by its own rules, and fits the service."""

import hashlib
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from admission import __version__
from admission.config.load import load_settings
from tests.support.paths import ROOT
from tests.support.tools import tool

DEPLOY = ROOT / "deploy"
CONFIG = DEPLOY / "admission.toml"
SECRETS = {"REDIS_PASSWORD": "r", "EPM_PASSWORD": "e"}
MANIFESTS = [
    document
    for path in sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    for document in yaml.safe_load_all(path.read_text("utf-8"))
]
EXPOSURE_MAX = 20  # tenths, by `systemd-analyze security`: 0 is a locked box, 100 the usual unit


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return said


def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((DEPLOY / "docker" / "compose.yaml").read_text("utf-8")))


def workloads() -> dict[str, dict[str, Any]]:
    return {
        one["metadata"]["name"]: one["spec"]["template"]
        for one in MANIFESTS
        if one["kind"] in ("Deployment", "StatefulSet")
    }


def test_the_first_configuration_is_sound() -> None:
    settings = load_settings(CONFIG, SECRETS)
    assert settings.zones["East"].shadow


def test_the_systemd_unit_is_sound(tmp_path: Path) -> None:
    unit = tmp_path / "admission.service"
    text = (DEPLOY / "systemd" / "admission.service").read_text("utf-8")
    # The command must exist where the unit is verified.
    unit.write_text(text.replace("/opt/admission/bin/admission", sys.executable), "utf-8")
    analyze = tool("systemd-analyze")
    assert run(analyze, "verify", unit) == ""
    run(analyze, "security", "--offline=yes", f"--threshold={EXPOSURE_MAX}", unit)


def test_the_systemd_unit_waits_longer_than_the_service_takes_to_end() -> None:
    text = (DEPLOY / "systemd" / "admission.service").read_text("utf-8")
    found = re.search(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)
    assert found
    assert int(found[1]) * 1000 > shutdown_ms()


def shutdown_ms() -> int:
    server = load_settings(CONFIG, SECRETS).server
    return server.shutdown_delay_ms + server.shutdown_grace_ms


def test_the_compose_file_follows_the_specification() -> None:
    schema = ("--builtin-schema", "vendor.compose-spec")
    run(sys.executable, "-m", "check_jsonschema", *schema, DEPLOY / "docker" / "compose.yaml")


def test_what_the_compose_file_mounts_is_there() -> None:
    mounted = [
        volume.partition(":")[0]
        for service in compose()["services"].values()
        for volume in service.get("volumes", ())
        if volume.startswith(".")
    ]
    assert mounted
    assert [one for one in mounted if not (DEPLOY / "docker" / one).is_file()] == []


FAKE_DOCKER = """#!/bin/sh
# As `docker buildx imagetools inspect --format TEMPLATE IMAGE` prints it.
[ "$1 $2 $3 $4 $5" = "buildx imagetools inspect --format {{.Manifest.Digest}}" ] || exit 1
echo "sha256:$(printf %s "$6" | sha256sum | cut -c 1-64)"
"""


def test_every_image_gets_its_digest_and_a_second_run_renews_it(tmp_path: Path) -> None:
    for name in ("docker", "kubernetes"):
        shutil.copytree(DEPLOY / name, tmp_path / name)
    shutil.copy(DEPLOY / "pin-images", tmp_path)
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text(FAKE_DOCKER, "utf-8")
    docker.chmod(0o755)
    for _ in range(2):
        environ = {"PATH": f"{docker.parent}:/usr/bin:/bin"}
        subprocess.run([tmp_path / "pin-images"], env=environ, check=True, capture_output=True)
    texts = [path.read_text("utf-8") for path in tmp_path.glob("*/*") if path != docker]
    lines = re.findall(r"^(?:FROM| +image:) (\S+)", "\n".join(texts), re.MULTILINE)
    ours = {one for one in lines if one.startswith("admission")}
    assert ours == {"admission", f"admission:{__version__}"}
    foreign = [
        re.fullmatch(r"([\w:.-]+)@sha256:([0-9a-f]{64})", one) for one in lines if one not in ours
    ]
    assert len(foreign) == 5
    for found in foreign:
        assert found
        assert found[2] == hashlib.sha256(found[1].encode()).hexdigest()
    (stage,) = re.findall(
        r"^FROM \S+ (AS \w+)$", (tmp_path / "docker/Dockerfile").read_text(), re.M
    )
    assert stage == "AS build"


def test_an_image_without_a_digest_changes_nothing(tmp_path: Path) -> None:
    for name in ("docker", "kubernetes"):
        shutil.copytree(DEPLOY / name, tmp_path / name)
    shutil.copy(DEPLOY / "pin-images", tmp_path)
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text("#!/bin/sh\necho unauthorized\n", "utf-8")
    docker.chmod(0o755)
    environ = {"PATH": f"{docker.parent}:/usr/bin:/bin"}
    done = subprocess.run([tmp_path / "pin-images"], env=environ, capture_output=True, text=True)
    assert (done.returncode, "no digest of" in done.stderr) == (1, True)
    assert "@sha256" not in (tmp_path / "docker/compose.yaml").read_text("utf-8")


def test_the_systemd_unit_is_restarted_for_ever_and_reads_secrets_from_credentials() -> None:
    text = (DEPLOY / "systemd" / "admission.service").read_text("utf-8")
    head, _, service = text.partition("[Service]")
    assert "\nStartLimitIntervalSec=0\n" in head  # in [Service] systemd would ignore it
    assert re.findall(r"^LoadCredential=(.+)$", service, re.MULTILINE) == [
        "redis-password",
        "epm-password",
    ]


def copied() -> list[str]:
    """What the image is made from."""
    text = (DEPLOY / "docker" / "Dockerfile").read_text("utf-8")
    lines = re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE)
    return [source for line in lines for source in line.split()]


def test_the_image_gets_all_that_it_copies_and_runs_without_rights() -> None:
    kept = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text("utf-8"), re.MULTILINE)
    assert set(copied()) <= set(kept)
    text = (DEPLOY / "docker" / "Dockerfile").read_text("utf-8")
    users = re.findall(r"^USER (\d+)", text, re.MULTILINE)
    assert [int(user) > 0 for user in users] == [True]


def test_the_package_can_be_built_from_what_the_image_copies(tmp_path: Path) -> None:
    for name in copied():
        source, target = ROOT / name, tmp_path / "src" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=tmp_path / "src", check=True, capture_output=True, timeout=120)
    (wheel,) = tmp_path.glob("*.whl")
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("admission/")}
    tree = [path for path in (ROOT / "admission").rglob("*") if path.is_file()]
    wanted = {str(path.relative_to(ROOT)) for path in tree if "__pycache__" not in path.parts}
    scripts = {
        f"admission/{path.relative_to(ROOT)}"
        for path in (ROOT / "lua").rglob("*")
        if path.is_file()
    }
    assert inside == wanted | scripts


@pytest.mark.parametrize("manifest", sorted((DEPLOY / "kubernetes").glob("*.yaml")), ids=str)
def test_the_manifests_follow_the_schema_of_kubernetes(manifest: Path) -> None:
    run(sys.executable, "-m", "kubernetes_validate", "--strict", manifest)


def test_every_selector_finds_the_pods_that_it_means() -> None:
    labels = [template["metadata"]["labels"] for template in workloads().values()]
    selectors = [selector for one in MANIFESTS for selector in selectors_of(one)]
    assert len(selectors) >= len(MANIFESTS) - 1
    assert [one for one in selectors if one not in labels] == []


def selectors_of(manifest: dict[str, Any]) -> list[dict[str, str]]:
    spec = manifest["spec"]
    found = spec.get("selector") or spec.get("podSelector") or {}
    return [found.get("matchLabels", found)]


def test_the_pods_end_later_than_the_service_takes_to_end() -> None:
    pod = workloads()["admission"]["spec"]
    assert pod["terminationGracePeriodSeconds"] * 1000 > shutdown_ms()
    grace = compose()["services"]["admission-1"]["stop_grace_period"]
    assert int(grace.removesuffix("s")) * 1000 > shutdown_ms()


def test_every_container_has_probes_and_no_rights() -> None:
    for name, template in workloads().items():
        (container,) = template["spec"]["containers"]
        probes = {"startupProbe", "livenessProbe", "readinessProbe"}
        assert probes <= container.keys(), name
        assert template["spec"]["securityContext"]["runAsNonRoot"] is True
        rights = container["securityContext"]
        assert (rights["allowPrivilegeEscalation"], rights["readOnlyRootFilesystem"]) == (
            False,
            True,
        )
        assert rights["capabilities"] == {"drop": ["ALL"]}


def test_the_pods_run_this_version() -> None:
    (container,) = workloads()["admission"]["spec"]["containers"]
    assert container["image"] == f"admission:{__version__}"


@pytest.mark.parametrize("where", ["compose", "kubernetes"])
def test_what_the_environment_overrides_is_a_setting(where: str) -> None:
    (container,) = workloads()["admission"]["spec"]["containers"]
    environ = {
        "compose": compose()["services"]["admission-1"]["environment"],
        "kubernetes": {one["name"]: one.get("value", "secret") for one in container["env"]},
    }[where]
    settings = load_settings(CONFIG, environ)
    assert settings.redis.url.startswith("redis://")
    assert "127.0.0.1" not in settings.redis.url
