"""The database, as our processes and postgres_exporter see it."""

from typing import Final

from tools.observability.panels import Board, Panel, Query, Row, mean, quantile, rate

POSTGRESQL: Final = Board(
    uid="prosa-postgresql",
    title="Prosa: PostgreSQL",
    description="The truth: every message and every answer is here. The second half needs postgres_exporter.",
    rows=(
        Row(
            "As our processes see it",
            (
                Panel(
                    title="Connected",
                    description="Processes whose latest call of the database worked, and those whose did not.",
                    unit="short",
                    queries=(
                        Query("sum(prosa_store_connected)", "connected"),
                        Query("count(prosa_store_connected) - sum(prosa_store_connected)", "away"),
                    ),
                ),
                Panel(
                    title="Errors",
                    description="Calls that failed a second: the database was away, or had no room.",
                    unit="reqps",
                    queries=(Query(rate("prosa_store_errors_total", "code"), "{{code}}"),),
                ),
                Panel(
                    title="Calls",
                    description="Calls a second, by what they are for.",
                    unit="reqps",
                    kind="areas",
                    queries=(Query(rate("prosa_store_seconds_count", "call"), "{{call}}"),),
                ),
                Panel(
                    title="Slow calls",
                    description="95 of 100 calls are quicker, by what they are for.",
                    unit="s",
                    queries=(Query(quantile(0.95, "prosa_store_seconds", "call"), "{{call}}"),),
                ),
                Panel(
                    title="Calls at a time",
                    description="How many calls are under way on average: what connections are needed for.",
                    unit="short",
                    queries=(Query(rate("prosa_store_seconds_sum", "job"), "{{job}}"),),
                ),
                Panel(
                    title="Mean time of a call",
                    description="By what it is for.",
                    unit="s",
                    queries=(Query(mean("prosa_store_seconds", "call"), "{{call}}"),),
                ),
            ),
        ),
        Row(
            "As postgres_exporter sees it",
            (
                Panel(
                    title="Transactions",
                    description="Committed and rolled back, a second.",
                    unit="reqps",
                    width=8,
                    queries=(
                        Query(rate("pg_stat_database_xact_commit"), "committed"),
                        Query(rate("pg_stat_database_xact_rollback"), "rolled back"),
                    ),
                ),
                Panel(
                    title="Connections",
                    description="Sessions by state, and how many the server takes.",
                    unit="short",
                    width=8,
                    queries=(
                        Query("sum by (state) (pg_stat_activity_count)", "{{state}}"),
                        Query("max(pg_settings_max_connections)", "limit"),
                    ),
                ),
                Panel(
                    title="The oldest transaction",
                    description="One that stays open holds back the vacuum.",
                    unit="s",
                    width=8,
                    queries=(Query("max(pg_stat_activity_max_tx_duration)", "oldest"),),
                ),
                Panel(
                    title="Rows written",
                    description="Rows inserted, updated and deleted a second.",
                    unit="cps",
                    width=8,
                    queries=(
                        Query(rate("pg_stat_database_tup_inserted"), "inserted"),
                        Query(rate("pg_stat_database_tup_updated"), "updated"),
                        Query(rate("pg_stat_database_tup_deleted"), "deleted"),
                    ),
                ),
                Panel(
                    title="Blocks from memory",
                    description="The share of blocks that PostgreSQL had in its own memory.",
                    unit="percentunit",
                    width=8,
                    queries=(
                        Query(
                            f"{rate('pg_stat_database_blks_hit')} / ({rate('pg_stat_database_blks_hit')} + "
                            f"{rate('pg_stat_database_blks_read')})",
                            "from memory",
                        ),
                    ),
                ),
                Panel(
                    title="Size",
                    description="Bytes of each database on disk.",
                    unit="bytes",
                    width=8,
                    queries=(Query('max by (datname) (pg_database_size_bytes{datname!~"template.*"})', "{{datname}}"),),
                ),
                Panel(
                    title="Locks",
                    description="Locks held or waited for, by mode.",
                    unit="short",
                    queries=(Query("sum by (mode) (pg_locks_count) > 0", "{{mode}}"),),
                ),
                Panel(
                    title="Deadlocks and conflicts",
                    description="A second. There should be none.",
                    unit="reqps",
                    queries=(
                        Query(rate("pg_stat_database_deadlocks"), "deadlocks"),
                        Query(rate("pg_stat_database_conflicts"), "conflicts"),
                    ),
                ),
            ),
        ),
    ),
)
