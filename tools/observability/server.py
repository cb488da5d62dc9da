"""What Prometheus is started with where time runs faster: the files of ``deploy/prometheus``, with other targets."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Final

from tools.observability.files import DEPLOY, rules
from tools.observability.rules import Scale

SCRAPE_SECONDS: Final = 1
CLOCK: Final = re.compile(r"(?m)^(\s*(?:scrape_interval|scrape_timeout|evaluation_interval): ).*$")

Targets = Mapping[str, Sequence[str]]
"""Addresses (host and port) by the name of their file."""


def shortened(configuration: str) -> str:
    """Prometheus' own configuration, scraping and looking every second; all else stays."""
    return CLOCK.sub(rf"\g<1>{SCRAPE_SECONDS}s", configuration)


def laid_out(targets: Targets, scale: Scale) -> dict[str, str]:
    """The files by their path: ``prometheus.yml``, the rules at this scale, these targets.

    Raises KeyError for a file of targets that is not there: each job is scraped, and nothing is that has no job.
    """
    folder = DEPLOY / "prometheus"
    names = {path.stem for path in (folder / "targets").glob("*.yml")}
    if names != targets.keys():
        raise KeyError(f"The files of targets are {sorted(names)}, not {sorted(targets)}.")
    files = {"prometheus.yml": shortened((folder / "prometheus.yml").read_text("utf-8"))}
    files |= {f"rules/{name}": text for name, text in rules(scale).items()}
    # JSON is YAML.
    return files | {f"targets/{name}.yml": json.dumps([{"targets": found}]) for name, found in targets.items()}
