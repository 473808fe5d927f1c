"""A Kafka broker in a container, where there is a Docker engine and the package testcontainers."""

import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.support.kafka_dev.broker import (
    KAFKA_VERSION,
    STOP_LIMIT_S,
    DevBroker,
    ProxyPorts,
    answers,
    settings_of,
    wait_until_it_answers,
)

_IMAGE = f"apache/kafka:{KAFKA_VERSION}"
_DOCKER_SOCKETS = (Path("/var/run/docker.sock"), Path.home() / ".docker/run/docker.sock")


class DockerBroker:
    """Kafka in a container."""

    def __init__(self, container: Any, port: int, proxy: ProxyPorts | None) -> None:
        self.bootstrap = f"127.0.0.1:{port}"
        self.proxy = proxy
        self._container = container
        self._port = port
        self._made = False

    def start(self) -> None:
        """Make the container the first time, start it again afterwards."""
        if self._made:
            self._container.get_wrapped_container().start()
        else:
            self._container.start()
            self._made = True
        wait_until_it_answers(self._port, lambda: False)

    def stop(self) -> None:
        """Stop the container and keep it."""
        self._container.get_wrapped_container().stop(timeout=int(STOP_LIMIT_S))

    def pause(self) -> None:
        """Stop all processes of the container for now."""
        self._container.get_wrapped_container().pause()

    def resume(self) -> None:
        """Let them go on."""
        self._container.get_wrapped_container().unpause()

    def answers(self) -> bool:
        """Whether it answers now."""
        return self._made and answers(self._port)

    def kill(self) -> None:
        """Remove the container."""
        if self._made:
            self._made = False
            self._container.stop(force=True)


def _docker_listens() -> bool:
    """Asked first, since the Docker client does not clean up after itself where there is no engine."""
    if os.environ.get("DOCKER_HOST"):
        return True
    for path in _DOCKER_SOCKETS:
        with socket.socket(socket.AF_UNIX) as probe, suppress(OSError):
            probe.connect(str(path))
            return True
    return False


def docker_broker(port: int, proxy: ProxyPorts | None) -> DevBroker | None:
    if not _docker_listens():
        return None
    try:
        import docker  # neither is a dependency of the package: whoever has them can use them
        from testcontainers.core.container import DockerContainer

        docker.from_env(timeout=5).ping()
    except Exception:  # noqa: BLE001 - whatever is wrong with Docker, there is another way
        return None
    container = DockerContainer(_IMAGE).with_bind_ports(port, port)
    if proxy is not None:
        container = container.with_bind_ports(proxy.behind, proxy.behind)
    controller = port + 1 if port < 65535 else port - 1
    for name, value in settings_of(port, controller, "0.0.0.0", proxy).items():  # noqa: S104 - inside the container
        container.with_env("KAFKA_" + name.upper().replace(".", "_"), value)
    return DockerBroker(container, port, proxy)
