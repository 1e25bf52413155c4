"""Debian's Kamailio on loopback, set up by the lines of its page, and real calls through it.

The test's own part of the configuration is what a trunk does: it carries so many calls, and refuses
further ones with 503. Such a refusal is an over-launch where the call was granted.
"""

import asyncio
import re
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.paths import ROOT
from tests.support.tools import tool

PAGE = ROOT / "docs/platforms/http-json.md"
SIPP = ROOT / "tests/files/sipp"
PACKAGED = Path("/etc/kamailio/kamailio.cfg")
NO_PORT = "over-launch: no free port"


def free_port() -> int:
    """A port that is free for UDP and for TCP."""
    while True:
        with socket.socket() as stream, socket.socket(type=socket.SOCK_DGRAM) as datagram:
            stream.bind(("127.0.0.1", 0))
            port = int(stream.getsockname()[1])
            try:
                datagram.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def page_lines() -> list[str]:
    """The lines of the page, from the installation to the first grant."""
    block = re.search(r"```sh\n(apt-get install -y kamailio\n.*?)```", PAGE.read_text(), re.DOTALL)
    assert block
    return block[1].splitlines()


def page_settings(port: int) -> str:
    """The configuration of the service that the page writes, for Kamailio's port here."""
    [line] = [one for one in page_lines() if one.endswith("> sbc.toml")]
    shown = re.findall(r"'([^']*)'|\"((?:[^\"\\]|\\.)*)\"", line.partition("printf '%s\\n'")[2])
    text = "\n".join(plain or quoted.replace('\\"', '"') for plain, quoted in shown)
    assert ":5060/" in text
    return text.replace(":5060/", f":{port}/")


class Kamailio:
    """A running Kamailio and a called party.

    Attributes:
        port: of SIP over UDP and of HTTP.
        carries: calls at the same time.
    """

    def __init__(self, folder: Path, carries: int) -> None:
        self.port, self.callee, self.carries = free_port(), free_port(), carries
        self._folder = folder
        self._log = folder / "kamailio.log"
        self._callers: list[asyncio.subprocess.Process] = []

    @property
    def over_launches(self) -> int:
        """Calls that the trunk refused."""
        return self._log.read_text().count(NO_PORT)

    @asynccontextmanager
    async def run(self) -> AsyncIterator["Kamailio"]:
        self._configure()
        programs = [await self._start_kamailio(), await self._start_callee()]
        try:
            await self._wait_until_it_listens(programs[0])
            yield self
        finally:
            for one in (*self._callers, *programs):
                if one.returncode is None:
                    one.terminate()
            await asyncio.gather(*(one.wait() for one in (*self._callers, *programs)))

    async def call(self, talk_ms: int, calls: int = 1) -> bool:
        """Place calls. Returns, at their end, whether all were carried."""
        program = await self._start_caller(talk_ms, calls)
        return await program.wait() == 0

    async def hold_calls(self, calls: int) -> None:
        """Place calls that last as long as this runs, as other users of the trunk do."""
        self._callers.append(await self._start_caller(600_000, calls))

    def _configure(self) -> None:
        shutil.copy(PACKAGED, self._folder / "kamailio.cfg")
        for line in page_lines():
            if "/etc/kamailio/" in line:
                self._run_line(line.replace("/etc/kamailio", str(self._folder)))
        local = self._folder / "kamailio-local.cfg"
        with local.open("a") as file:
            file.write(f"listen=udp:127.0.0.1:{self.port}\nlisten=tcp:127.0.0.1:{self.port}\n")
        main = self._folder / "kamailio.cfg"
        text = main.read_text()
        assert "\t\tdlg_manage();" in text
        text = text.replace("\t\tdlg_manage();", "\t\troute(TRUNK);\n\t\tdlg_manage();\n\t\t"
                            'set_dlg_profile("ports");')  # fmt: skip
        # Callers on this machine may call beyond it, which the packaged file does not allow.
        text = text.replace("if(uri!=myself) {", "if(uri!=myself && src_ip!=127.0.0.1) {")
        text += "\n".join(self._write_trunk()) + "\n"
        main.write_text(re.sub(r"^(children|tcp_children)=.*", r"\1=1", text, flags=re.M))

    def _run_line(self, line: str) -> None:
        subprocess.run(["sh", "-c", line], check=True)

    def _write_trunk(self) -> Iterator[str]:
        yield 'modparam("dialog", "profiles_no_value", "ports")'
        yield "route[TRUNK] {"
        yield '  get_profile_size("ports", "$var(calls)");'
        yield f"  if ($var(calls) >= {self.carries}) {{"
        yield f'    xlog("L_ERR", "{NO_PORT}\\n"); sl_send_reply("503", "No port"); exit;'
        yield "  }"
        yield "}"

    async def _start_kamailio(self) -> asyncio.subprocess.Process:
        run = self._folder / "run"
        run.mkdir()
        arguments = ["-f", "kamailio.cfg", "-Y", str(run), "-P", str(run / "pid"), "-DD", "-E"]
        with self._log.open("wb") as log:
            return await asyncio.create_subprocess_exec(
                tool("kamailio"), *arguments, "-m", "32", "-M", "4",
                cwd=self._folder, stdout=log, stderr=log,
            )  # fmt: skip

    async def _start_callee(self) -> asyncio.subprocess.Process:
        return await self._start_sipp("-sf", str(SIPP / "callee.xml"), "-p", str(self.callee))

    async def _start_caller(self, talk_ms: int, calls: int) -> asyncio.subprocess.Process:
        return await self._start_sipp(
            f"127.0.0.1:{self.port}", "-sf", str(SIPP / "caller.xml"),
            "-key", "callee", str(self.callee),
            "-m", str(calls), "-r", str(calls), "-d", str(talk_ms), "-p", str(free_port()),
        )  # fmt: skip

    async def _start_sipp(self, *arguments: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            tool("sipp"), *arguments, "-i", "127.0.0.1", "-mi", "127.0.0.1", "-nostdin",
            "-deadcall_wait", "0",
            cwd=self._folder, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip

    async def _wait_until_it_listens(self, program: asyncio.subprocess.Process) -> None:
        async with asyncio.timeout(30):
            while True:
                assert program.returncode is None, self._log.read_text()
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except OSError:
                    await asyncio.sleep(0.02)
                    continue
                writer.close()
                return
