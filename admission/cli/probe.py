"""`admission probe` and `admission check --probe`: the platforms of a file are asked once."""

import asyncio
import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from admission.cli.common import FAILED, OK, PLATFORMS, AsJson, command

app = typer.Typer()


@command(app, "probe", PLATFORMS, "admission probe my.toml")
def run_probe(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Configuration (TOML).")],
    as_json: AsJson = False,
) -> int:
    """Ask each platform of a file once, and show what came: of an Experience Portal also the
    settings that its WSDL asks for, of http_json what each expression gives."""
    from admission.config.load import load_settings

    results = probe_file(load_settings(file, os.environ), with_details=True)
    if as_json:
        print(json.dumps({"file": str(file), "probes": results}, indent=2, ensure_ascii=False))
    else:
        print_results(results)
    return OK if all(one["ok"] for one in results) else FAILED


def probe_file(settings: Any, *, with_details: bool) -> list[dict[str, Any]]:
    """Ask the platforms. Returns: the results as JSON objects."""
    from admission.sources.probe import probe

    return [one.to_json() for one in asyncio.run(probe(settings, with_details=with_details))]


def print_results(results: list[dict[str, Any]]) -> None:
    """Print the results, a line each, with their details and the next step."""
    for one in results:
        print(one["text"])
        for line in one["details"]:
            print(f"  {line}")
        if one["next_step"]:
            print(f"  next: {one['next_step']}")
