"""Dashboards in Grafana's own shape, by its foundation SDK."""

import json
from itertools import count
from typing import Any, Final

from grafana_foundation_sdk.builders import common as options
from grafana_foundation_sdk.builders import dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    BigValueGraphMode,
    DataSourceRef,
    LegendDisplayMode,
    StackingMode,
    TooltipDisplayMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    GridPos,
    Threshold,
    ThresholdsMode,
)

from tools.observability.panels import HEIGHTS, WIDTH, Board, Panel, Row, Step

SOURCE: Final = DataSourceRef(type_val="prometheus", uid="${datasource}")
TAG: Final = "prosa"


def rendered(board: Board) -> str:
    """The JSON of a dashboard's file."""
    made = (
        dashboard.Dashboard(board.title)
        .uid(board.uid)
        .description(board.description)
        .tags([TAG])
        .readonly()
        .timezone("browser")
        .time("now-1h", "now")
        .refresh("10s")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .link(dashboard.DashboardLink("Prosa").type(DashboardLinkType.DASHBOARDS).tags([TAG]).as_dropdown(True))
    )
    top, ids = 0, count(1)
    for row in board.rows:
        made.with_row(dashboard.Row(row.title).id(next(ids)).grid_pos(GridPos(h=1, w=WIDTH, x=0, y=top)))
        for panel, place in placed(row, top + 1):
            made.with_panel(_panel(panel).id(next(ids)).grid_pos(place))
            top = max(top, place.y + place.h)
    return json.dumps(made.build(), cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def placed(row: Row, top: int) -> list[tuple[Panel, GridPos]]:
    """From left to right, and in a new line where there is no room."""
    places, left, height = [], 0, 0
    for panel in row.panels:
        if left + panel.width > WIDTH:
            top, left, height = top + height, 0, 0
        height = max(height, HEIGHTS[panel.kind])
        places.append((panel, GridPos(h=HEIGHTS[panel.kind], w=panel.width, x=left, y=top)))
        left += panel.width
    return places


def _panel(panel: Panel) -> Any:  # noqa: ANN401 - the SDK's builders have all but a base in common
    made = _drawn(panel).title(panel.title).description(panel.description).unit(panel.unit).datasource(SOURCE)
    for number, query in enumerate(panel.queries):
        target = prometheus.Dataquery().ref_id(chr(ord("A") + number)).expr(query.expr).datasource(SOURCE)
        target = target.range() if panel.kind in ("lines", "areas") else target.instant()
        made.with_target(target.legend_format(query.legend or "__auto"))
    if panel.steps:
        made.thresholds(_thresholds(panel.steps))
    return made


def _drawn(panel: Panel) -> Any:  # noqa: ANN401
    match panel.kind:
        case "number":
            latest = options.ReduceDataOptions().calcs(["lastNotNull"])
            return stat.Panel().graph_mode(BigValueGraphMode.NONE).reduce_options(latest)
        case "table":
            return table.Panel()
        case _:
            return _lines(stacked=panel.kind == "areas")


def _lines(*, stacked: bool) -> timeseries.Panel:
    legend = options.VizLegendOptions().display_mode(LegendDisplayMode.LIST).show_legend(True)
    tooltip = options.VizTooltipOptions().mode(TooltipDisplayMode.MULTI)
    made = timeseries.Panel().min(0).line_width(1).legend(legend).tooltip(tooltip)
    if stacked:
        return made.fill_opacity(40).stacking(options.StackingConfig().mode(StackingMode.NORMAL))
    return made.fill_opacity(8)


def _thresholds(steps: tuple[Step, ...]) -> dashboard.ThresholdsConfig:
    made = [Threshold(value=step.value, color=step.colour) for step in steps]
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(made)
