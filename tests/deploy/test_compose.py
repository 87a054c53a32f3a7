"""The containers: no engine is needed to see that what they are told fits the command line, the images and each other."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from bank_nodes.config import load_config
from riskfed.serving.configuration import ServingSettings
from tests.deploy.proxy import DEPLOY
from tests.deploy.test_units import settings

ROOT = DEPLOY.parent
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
OFFICIAL = {"nginx:1.28-alpine": {"/etc/nginx/conf.d", "/etc/riskfed/tls"}}
"""Images of others, and folders in them; a file that is mounted makes its folder."""
TOOL = shutil.which("docker-compose")


def stages() -> dict[str, list[str]]:
    """Name of a stage -> its lines."""
    found: dict[str, list[str]] = {}
    for line in DOCKERFILE.splitlines():
        if start := re.match(r"FROM \S+ AS (\S+)", line):
            lines = found.setdefault(start[1], [])
        elif line and not line.startswith("#"):
            lines.append(line)
    return found


def folders(image: str) -> set[str]:
    """What the image has made under /etc, /srv, /var and /run."""
    if image in OFFICIAL:
        return OFFICIAL[image]
    made = " ".join(stages()[image.removeprefix("riskfed-")])
    return {path for command in made.split("&&") if "install -d" in command for path in re.findall(r" (/\S+)", command)}


def mounts(name: str) -> list[tuple[str, str, bool]]:
    """Source, target, read only."""
    found = [volume.split(":") for volume in SERVICES[name]["volumes"]] if "volumes" in SERVICES[name] else []
    return [(parts[0], parts[1], parts[2:] == ["ro"]) for parts in found]


@pytest.mark.skipif(TOOL is None, reason="docker-compose is not installed (apt-get install docker-compose)")
def test_compose_reads_it_and_refuses_a_misspelt_key(tmp_path: Path) -> None:
    def read(text: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "compose.yaml").write_text(text)
        command = [
            str(TOOL),
            "-f",
            str(tmp_path / "compose.yaml"),
            "--profile",
            "operator",
            "--profile",
            "bank",
            "config",
            "-q",
        ]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    text = (DEPLOY / "compose.yaml").read_text()
    assert (done := read(text)).returncode == 0, done.stderr
    assert read(text.replace("cap_drop", "cap_dropp")).returncode != 0


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_hardened(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["ulimits"]["core"] == 0
    assert not {"privileged", "cap_add", "devices", "pid", "ipc", "userns_mode"} & set(service)
    assert not any("docker.sock" in source for source, _, _ in mounts(name))


@pytest.mark.parametrize("name", SERVICES)
def test_no_container_runs_as_root(name: str) -> None:
    image = SERVICES[name]["image"]
    told = SERVICES[name].get("user")
    if told is None:
        (told,) = [line.split()[1] for line in stages()[image.removeprefix("riskfed-")] if line.startswith("USER")]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", told)
    if image not in OFFICIAL:
        assert f"--uid {told.partition(':')[0]} " in DOCKERFILE


def test_only_proxy_and_session_are_open_to_other_machines() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert [port for port in published if not port.startswith("127.0.0.1:")] == ["443:443", "8443:8443"]
    assert SERVICES["proxy"]["network_mode"] == "service:superlink"
    assert "listen 443 ssl" in (DEPLOY / "nginx" / "riskfed-fleet.conf").read_text()
    run = tomllib.loads((DEPLOY / "run.example.toml").read_text())
    assert run["session"]["port"] == 8443
    assert "--host=127.0.0.1" in SERVICES["superlink"]["command"]


def test_the_vault_has_no_network_and_shares_the_socket_alone() -> None:
    vault, courier = SERVICES["vault"], SERVICES["courier"]
    assert vault["network_mode"] == "none"
    assert not {"networks", "ports", "links"} & set(vault)
    assert vault["user"] != courier["user"]
    assert vault["group_add"] == [courier["user"].partition(":")[2]]
    shared = {source for source, _, _ in mounts("vault")} & {source for source, _, _ in mounts("courier")}
    assert shared == {"socket", "./bank.toml"}
    assert ("socket", "/run/riskfed", True) in mounts("courier")
    assert COMPOSE["networks"]["tracking"] == {"internal": True}


def test_what_the_node_file_names_is_mounted_where_it_is_needed() -> None:
    config = load_config(DEPLOY / "bank.toml")
    assert config.flower is not None

    def has(name: str, path: Path | None, *, writable: bool) -> bool:
        assert path is not None
        found = [read_only for _, target, read_only in mounts(name) if path.is_relative_to(target)]
        return bool(found) and not (writable and all(found))

    for path in (config.data.path, config.loan_schema.file, config.consortium.file, config.keys.identity):
        assert has("vault", path, writable=False), path
    for path in (config.vault.socket, config.vault.log, config.vault.models, config.vault.checkpoints):
        assert has("vault", path, writable=True), path
    for path in (config.flower.private_key, config.flower.root_certificates, config.vault.socket):
        assert has("courier", path, writable=False), path
    assert has("courier", config.flower.home, writable=True)
    for path in (config.data.path, config.keys.identity, config.vault.log, config.vault.models):
        assert not has("courier", path, writable=False), path


def test_the_scoring_service_has_what_its_file_names_and_asks_for_keys() -> None:
    scoring, told = SERVICES["scoring"], ServingSettings.read(DEPLOY / "scoring.toml")
    (option,) = scoring["command"][2:]
    assert ("./scoring.toml", option.removeprefix("--config="), True) in mounts("scoring")
    for path in (told.listen.certificate, told.listen.key, told.access.keys):
        assert any(read_only and Path(str(path)).is_relative_to(target) for _, target, read_only in mounts("scoring"))
    assert ("scoring-state", str(told.records.folder), False) in mounts("scoring")
    assert scoring["ports"] == [f"127.0.0.1:{told.listen.port}:{told.listen.port}"]
    assert scoring["environment"] == {"RISKFED_SERVING__MODEL__TRACKING_URI": "http://mlflow:5000"}


@pytest.mark.parametrize("name", SERVICES)
def test_mounted_places_exist_in_the_image(name: str) -> None:
    existing = folders(SERVICES[name]["image"])
    for source, target, _ in mounts(name):
        if source.startswith("./"):
            assert target in existing or str(Path(target).parent) in existing, target
        else:
            assert source in COMPOSE["volumes"]
            assert target in existing, "a new volume takes owner and mode of the image's folder"


def test_images_are_built_from_what_exists() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    wanted = [extra for names in re.findall(r'"\.\[([\w,]+)\]"', DOCKERFILE) for extra in names.split(",")]
    assert wanted
    assert set(wanted) <= set(extras)
    for name, service in SERVICES.items():
        if "build" in service:
            assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).samefile(
                DEPLOY / "Dockerfile"
            )
            assert service["build"]["target"] in stages(), name
        elif service["image"] not in OFFICIAL:
            assert any(other.get("image") == service["image"] and "build" in other for other in SERVICES.values()), name
    allowed = {
        line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")
    }
    copied = {part for line in stages()["builder"] if line.startswith("COPY") for part in line.split()[1:-1]}
    assert copied == allowed
    assert all((ROOT / part).exists() for part in copied)


def test_containers_and_units_start_the_same_commands() -> None:
    for unit in ("vault", "courier"):
        (start,) = settings(f"riskfed-{unit}")["ExecStart"]
        assert (
            SERVICES[unit]["command"]
            == start.replace("/opt/riskfed/bin/", "").replace("--config ", "--config=").split()
        )
    (start,) = settings("riskfed-superlink")["ExecStart"]
    expected = re.sub(r"(--[\w-]+) (?!-)", r"\1=", start.replace("/opt/riskfed/bin/", "")).split()
    assert SERVICES["superlink"]["command"] == expected


@pytest.mark.slow
@pytest.mark.parametrize(("name", "tool"), [("mlflow", "mlflow"), ("scoring", "riskfed")])
def test_the_other_commands_take_their_options(name: str, tool: str) -> None:
    program, command, *options = SERVICES[name]["command"]
    assert program == tool
    found = shutil.which(program, path=str(Path(sys.executable).parent))
    shown = subprocess.run(
        [str(found), command, "--help"], capture_output=True, text=True, timeout=120, check=True
    ).stdout
    for option in options:
        assert option.partition("=")[0] in shown
