"""Hosts of a test's own on one machine: each has its own network addresses, and names that resolve to them.

A host is a network namespace and a mount namespace, and nothing of it is left when its processes have ended. Only root
may make one.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).parents[2]
PROGRAMS = ("dnsmasq", "ip", "mount", "nsenter", "unshare")
_STEP_S = 30.0


def cannot_be_made() -> str | None:
    """Why there can be no hosts here, as a sentence; None where there can."""
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    if absent:
        return f"there is no {', '.join(absent)} (on Debian: apt-get install dnsmasq-base iproute2)"
    return None if os.geteuid() == 0 else "only root may make network namespaces"


class Host:
    """One host; it lives until `close`, or until the test's process ends."""

    def __init__(self) -> None:
        # Its first process ends when the pipe from this process does.
        self._first = subprocess.Popen(
            ["/usr/bin/env", "unshare", "--net", "--mount", "sh", "-c", "echo made; exec cat"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._first.stdout is not None
        assert self._first.stdout.readline() == b"made\n"
        self._started: list[subprocess.Popen[bytes]] = []
        self.set_up("ip", "link", "set", "lo", "up")

    @property
    def pid(self) -> int:
        """The process whose namespaces are this host's."""
        return self._first.pid

    def set_up(self, *words: object) -> None:
        """Run a command that has to succeed."""
        self.run([str(word) for word in words], os.environ).check_returncode()

    def mount(self, file: Path, over: str) -> None:
        """Have this host find `file` at the path `over`."""
        self.set_up("mount", "--bind", file, over)

    def run(
        self, words: Sequence[str], environment: Mapping[str, str], sent: bytes = b""
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command here to its end."""
        return subprocess.run(
            self._entering(words),
            env={**environment},
            input=sent,
            capture_output=True,
            timeout=_STEP_S,
            check=False,
        )

    def start(self, words: Sequence[str], environment: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
        """Start a command here; what it prints goes to the file `log`."""
        with log.open("ab") as output:
            process = subprocess.Popen(
                self._entering(words),
                env={**environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._started.append(process)
        return process

    def close(self) -> None:
        """Kill whatever was started here; the host itself ends with that."""
        for process in self._started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._first.communicate()

    def _entering(self, words: Sequence[str]) -> list[str]:
        return ["nsenter", f"--target={self.pid}", "--net", "--mount", "--wd", "--", *words]


class Networks:
    """Networks between hosts, and the machine that they all are on, which reaches each network.

    A name resolves, on every network, to the addresses that hosts of that name have there.
    """

    def __init__(self, networks: Mapping[str, IPv4Network], folder: Path) -> None:
        self._networks = networks
        self._folder = folder
        self._names = folder / "names"
        self._stack = ExitStack()
        self._links = 0

    def __enter__(self) -> Self:
        self.machine = self._made()
        for name, network in self._networks.items():
            self.machine.set_up("ip", "link", "add", name, "type", "bridge")
            self.machine.set_up("ip", "address", "add", f"{network[1]}/{network.prefixlen}", "dev", name)
            self.machine.set_up("ip", "link", "set", name, "up")
        self._names.mkdir()
        words = ["dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--localise-queries", "--user=root"]
        words += ["--pid-file=", "--log-facility=-", f"--hostsdir={self._names}"]
        self.machine.start(words, os.environ, self._folder / "dnsmasq.log")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def host(self, name: str, addresses: Mapping[str, IPv4Address]) -> Host:
        """A new host of that name with these addresses, by network; other hosts may have the same name."""
        host = self._made()
        for network, address in addresses.items():
            self._links += 1
            link, prefix = f"link{self._links}", self._networks[network].prefixlen
            host.set_up("ip", "link", "add", network, "type", "veth", "peer", "name", link, "netns", self.machine.pid)
            host.set_up("ip", "address", "add", IPv4Interface((address, prefix)), "dev", network)
            host.set_up("ip", "link", "set", network, "up")
            self.machine.set_up("ip", "link", "set", link, "master", network, "up")
        resolver = self._folder / f"resolver{self._links}"
        resolver.write_text("".join(f"nameserver {self._networks[network][1]}\n" for network in addresses))
        host.mount(resolver, "/etc/resolv.conf")
        (self._names / f"{name}{self._links}").write_text("".join(f"{one} {name}\n" for one in addresses.values()))
        return host

    def _made(self) -> Host:
        host = Host()
        self._stack.callback(host.close)
        return host
