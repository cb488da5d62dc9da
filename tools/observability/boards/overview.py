"""At a glance: do people get their answers?"""

from typing import Final

from tools.observability.objectives import FIRST_TOKEN_SECONDS, NOT_ACCEPTED, OBJECTIVES
from tools.observability.panels import Board, Panel, Query, Row, Step, quantile, rate, spread

ANSWERS, FIRST = OBJECTIVES
BURNING: Final = (Step(None, "green"), Step(1, "orange"), Step(6, "red"))
LEFT: Final = (Step(None, "red"), Step(0, "orange"), Step(0.25, "green"))
HOW_FAST: Final = "1 uses it up in just 30 days. Over 14.4 for an hour, or over 6 for six hours, wakes somebody."


def _kept(name: str) -> str:
    bad, all_ = f"prosa:{name}_bad:rate5m", f"prosa:{name}_all:rate5m"
    return f"1 - avg_over_time({bad}[30d]) / avg_over_time({all_}[30d])"


def _left(name: str, budget: float) -> str:
    bad, all_ = f"prosa:{name}_bad:rate5m", f"prosa:{name}_all:rate5m"
    return f"1 - avg_over_time({bad}[30d]) / avg_over_time({all_}[30d]) / {budget:g}"


def _burn(name: str, budget: float, window: str) -> str:
    return f"prosa:{name}_bad:rate{window} / prosa:{name}_all:rate{window} / {budget:g}"


OVERVIEW: Final = Board(
    uid="prosa-overview",
    title="Prosa: overview",
    description="Whether people get their answers, and how soon.",
    rows=(
        Row(
            "Objectives over 30 days",
            (
                Panel(
                    title="Accepted and answered",
                    description="Messages that were accepted and whose answers did not fail by our fault. "
                    "The objective is 99.9 %.",
                    unit="percentunit",
                    kind="number",
                    width=6,
                    queries=(Query(_kept("answers"), "answered"),),
                    steps=(Step(None, "red"), Step(ANSWERS.target, "green")),
                ),
                Panel(
                    title="Budget left: answers",
                    description="What is left of the 0.1 % that may fail. Below 0 the objective is missed.",
                    unit="percentunit",
                    kind="number",
                    width=6,
                    queries=(Query(_left("answers", ANSWERS.budget), "left"),),
                    steps=LEFT,
                ),
                Panel(
                    title="First words in time",
                    description=f"Answers whose first words came within {FIRST_TOKEN_SECONDS} s of being queued. "
                    "The objective is 95 %.",
                    unit="percentunit",
                    kind="number",
                    width=6,
                    queries=(Query(_kept("first_tokens"), "in time"),),
                    steps=(Step(None, "red"), Step(FIRST.target, "green")),
                ),
                Panel(
                    title="Budget left: first words",
                    description="What is left of the 5 % that may come later. Below 0 the objective is missed.",
                    unit="percentunit",
                    kind="number",
                    width=6,
                    queries=(Query(_left("first_tokens", FIRST.budget), "left"),),
                    steps=LEFT,
                ),
                Panel(
                    title="How fast the budget of answers burns",
                    description=HOW_FAST,
                    unit="short",
                    queries=tuple(Query(_burn("answers", ANSWERS.budget, w), w) for w in ("5m", "1h", "6h", "3d")),
                    steps=BURNING,
                ),
                Panel(
                    title="How fast the budget of first words burns",
                    description=HOW_FAST,
                    unit="short",
                    queries=tuple(Query(_burn("first_tokens", FIRST.budget, w), w) for w in ("5m", "1h", "6h", "3d")),
                    steps=BURNING,
                ),
            ),
        ),
        Row(
            "Now",
            (
                Panel(
                    title="Alerts",
                    description="What fires now. Each has its page in docs/runbooks.",
                    unit="short",
                    kind="table",
                    queries=(Query('sum by (alertname, severity) (ALERTS{alertstate="firing"})'),),
                ),
                Panel(
                    title="Asked and answered",
                    description="Messages accepted, and runs ended, a second.",
                    unit="reqps",
                    queries=(
                        Query(rate("prosa_accepted_total"), "accepted"),
                        Query(rate("prosa_runs_ended_total", "state"), "{{state}}"),
                    ),
                ),
                Panel(
                    title="Time to the first words",
                    description="From being queued to the first text of the answer; first attempts only.",
                    unit="s",
                    queries=spread("prosa_first_token_seconds"),
                ),
                Panel(
                    title="Time until a message is acknowledged",
                    description="From its frame or request to the stored message.",
                    unit="s",
                    queries=spread("prosa_accept_seconds"),
                ),
                Panel(
                    title="Unfinished runs",
                    description="Waiting for their owner's other runs, queued for a slot, or running.",
                    unit="short",
                    kind="areas",
                    queries=(Query("max by (state) (prosa_runs)", "{{state}}"),),
                ),
                Panel(
                    title="Refused",
                    description="Requests refused, by the error's code; not accepted are those that we could not take.",
                    unit="reqps",
                    queries=(
                        Query(rate("prosa_refused_total", "code"), "{{code}}"),
                        Query(f"{rate('prosa_refused_total', labels=NOT_ACCEPTED)} or vector(0)", "not accepted"),
                    ),
                ),
            ),
        ),
        Row(
            "Processes",
            (
                Panel(
                    title="Open sockets",
                    description="Client sockets, by gateway.",
                    unit="short",
                    kind="areas",
                    width=8,
                    queries=(Query('sum by (instance) (prosa_sockets{job="prosa-gateway"})', "{{instance}}"),),
                ),
                Panel(
                    title="Targets that answer",
                    description="Those whom Prometheus can scrape, by job.",
                    unit="short",
                    width=8,
                    queries=(Query("sum by (job) (up)", "{{job}}"),),
                ),
                Panel(
                    title="Lag of the event loops",
                    description="One time in a hundred a task was woken so late or later, by process.",
                    unit="s",
                    width=8,
                    queries=(Query(quantile(0.99, "prosa_loop_lag_seconds", "instance"), "{{instance}}"),),
                ),
                Panel(
                    title="What runs here",
                    description="Processes by version and role: two versions beside each other are a deploy.",
                    unit="short",
                    kind="table",
                    queries=(Query("count by (version, role) (prosa_build_info)"),),
                ),
                Panel(
                    title="Memory",
                    description="Resident memory, by process.",
                    unit="bytes",
                    queries=(Query('process_resident_memory_bytes{job=~"prosa-.*"}', "{{instance}}"),),
                ),
            ),
        ),
    ),
)
