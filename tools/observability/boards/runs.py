"""The life of runs: from the question to the end."""

from typing import Final

from tools.observability.panels import Board, Panel, Query, Row, mean, quantile, rate, spread

FAILED: Final = 'state="failed"'

RUNS: Final = Board(
    uid="prosa-runs",
    title="Prosa: life of runs",
    description="Where the time of an answer goes, and how answers end.",
    rows=(
        Row(
            "In and out",
            (
                Panel(
                    title="Accepted",
                    description="Messages accepted a second, by model.",
                    unit="reqps",
                    kind="areas",
                    queries=(Query(rate("prosa_accepted_total", "model"), "{{model}}"),),
                ),
                Panel(
                    title="Ends",
                    description="Runs that ended a second: done and why, stopped, or failed with a code.",
                    unit="reqps",
                    kind="areas",
                    queries=(
                        Query(
                            f"{rate('prosa_runs_ended_total', 'state, finish, code')} > 0",
                            "{{state}} {{finish}} {{code}}",
                        ),
                    ),
                ),
                Panel(
                    title="Failed",
                    description="Runs that failed a second, by code and model.",
                    unit="reqps",
                    queries=(
                        Query(f"{rate('prosa_runs_ended_total', 'code, model', FAILED)} > 0", "{{code}} {{model}}"),
                    ),
                ),
                Panel(
                    title="Unfinished",
                    description="Runs without an end, by state, as the database counts them.",
                    unit="short",
                    kind="areas",
                    queries=(Query("max by (state) (prosa_runs)", "{{state}}"),),
                ),
            ),
        ),
        Row(
            "Where the time goes",
            (
                Panel(
                    title="1. Until it is stored",
                    description="From the frame or request to the stored message.",
                    unit="s",
                    width=6,
                    queries=spread("prosa_accept_seconds"),
                ),
                Panel(
                    title="2. In the queue",
                    description="From being queued to the first claim; first attempts only.",
                    unit="s",
                    width=6,
                    queries=spread("prosa_queue_seconds"),
                ),
                Panel(
                    title="3. The model's first piece",
                    description="From the call of the model to its first piece.",
                    unit="s",
                    width=6,
                    queries=spread("prosa_engine_first_seconds"),
                ),
                Panel(
                    title="4. The whole answer",
                    description="From the claim to the end of the run.",
                    unit="s",
                    width=6,
                    queries=spread("prosa_run_seconds"),
                ),
                Panel(
                    title="First words by model",
                    description="95 of 100 answers begin sooner: from being queued to the first text.",
                    unit="s",
                    queries=(Query(quantile(0.95, "prosa_first_token_seconds", "model"), "{{model}}"),),
                ),
                Panel(
                    title="The oldest by state",
                    description="How long the oldest run has been in its state. A queue that grows old has no slots.",
                    unit="s",
                    queries=(Query("max by (state) (prosa_oldest_run_seconds)", "{{state}}"),),
                ),
            ),
        ),
        Row(
            "Models",
            (
                Panel(
                    title="Calls by outcome",
                    description="Calls of models a second. What is neither ok nor stopped is a failure's code.",
                    unit="reqps",
                    queries=(Query(rate("prosa_engine_calls_total", "model, outcome"), "{{model}} {{outcome}}"),),
                ),
                Panel(
                    title="Tokens",
                    description="Tokens a second, as the engines count them.",
                    unit="short",
                    queries=(
                        Query(rate("prosa_prompt_tokens_total", "model"), "{{model}} read"),
                        Query(rate("prosa_completion_tokens_total", "model"), "{{model}} written"),
                    ),
                ),
                Panel(
                    title="Characters",
                    description="Characters of stored answers, a second.",
                    unit="short",
                    queries=(Query(rate("prosa_reply_characters_total", "model"), "{{model}}"),),
                ),
                Panel(
                    title="Length of answers in time",
                    description="The mean time from claim to end, by model.",
                    unit="s",
                    queries=(Query(mean("prosa_run_seconds", "model"), "{{model}}"),),
                ),
            ),
        ),
    ),
)
