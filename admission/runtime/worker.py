"""One worker process of several: `python -m admission.runtime.worker`.

`admission.runtime.supervisor` alone starts it.

A worker stops when its supervisor ends: its standard input ends then.
"""

import asyncio
import os
import select
import shutil
import sys

import uvloop

from admission.config import describe_errors
from admission.config.load import load_settings
from admission.errors import ConfigError
from admission.runtime.process import serve_in_process
from admission.runtime.serve import stop_on_signals
from admission.runtime.worker_plan import LISTENING, METRICS_FOLDER, USAGE, WorkerPlan
from admission.telemetry import Telemetry, configure_logging


async def work(plan: WorkerPlan) -> None:
    """Serve until a signal, or until the supervisor ends."""
    environ, stop = dict(os.environ), asyncio.Event()
    settings = load_settings(plan.file, environ)
    configure_logging(settings.log, lambda: telemetry.count_dropped_line())
    telemetry = Telemetry(shared=environ.get(METRICS_FOLDER))
    with stop_on_signals(stop):
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), stop.set)
        await serve_in_process(
            plan.file,
            environ,
            settings,
            plan.applied_to(settings),
            stop,
            announce=plan.announces,
            on_listening=lambda _port: print(LISTENING, flush=True),
            telemetry=telemetry,
        )


def _is_orphan() -> bool:
    """Whether the supervisor has ended. The kernel closes its pipes before it reparents workers."""
    is_readable, _, _ = select.select([sys.stdin], [], [], 0)
    return bool(is_readable) and not os.read(sys.stdin.fileno(), 1)


def main() -> int:
    """Read the plan and work; the exit code is returned."""
    plan = WorkerPlan.decode(sys.stdin.readline())
    try:
        uvloop.run(work(plan))
    except ConfigError as fault:
        print(f"admission: {describe_errors(fault)}", file=sys.stderr)
        return USAGE
    finally:
        folder = os.environ.get(METRICS_FOLDER)
        if folder and _is_orphan():  # otherwise the supervisor removes it
            shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
