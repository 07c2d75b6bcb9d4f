"""A finished search in, one HTML page out that needs no network: light and dark, wide and narrow."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from stages.tune import plots
from stages.tune.plots import Point

STYLE = """
:root{color-scheme:light dark;--bg:#fff;--soft:#f5f6f8;--line:#dfe3e8;--text:#1b2430;--dim:#5a6675;--path:#2f6fde;
--best:#c2410c;--good:#157347;--warn:#8a5a00}
@media(prefers-color-scheme:dark){:root{--bg:#12161c;--soft:#1a2029;--line:#2d3643;--text:#e6eaf0;--dim:#9aa6b5;
--path:#7db0ff;--best:#ffa066;--good:#5fd39a;--warn:#f2c14e}}
*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--text);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1100px;margin:0 auto;padding:24px 20px 60px}h1{font-size:24px;margin:0 0 4px}
h2{font-size:17px;margin:32px 0 8px}.dim{color:var(--dim)}.good{color:var(--good)}.warn{color:var(--warn)}
.box{background:var(--soft);border-radius:10px;padding:14px 16px;margin:16px 0}.box p{margin:4px 0}
pre{background:var(--soft);border-radius:10px;padding:12px 14px;overflow-x:auto;margin:8px 0}
pre,code{font:13px/1.45 ui-monospace,SFMono-Regular,Menlo,monospace}
.plots{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,420px),1fr));gap:14px}
.wide{overflow-x:auto}.wide svg{min-width:520px;max-width:820px}
svg{display:block;width:100%;height:auto;background:var(--soft);border-radius:10px}
svg text{fill:var(--dim);font-size:13px;font-family:inherit;paint-order:stroke;stroke:var(--soft);stroke-width:4px}
.grid{stroke:var(--line)}.axis{stroke:var(--dim)}
.now{stroke:var(--dim);stroke-dasharray:5 4}.path{fill:none;stroke:var(--path);stroke-width:1.6}
.dot{fill:var(--path)}.cut{fill:none;stroke:var(--dim)}.best{fill:var(--best)}.bar{fill:var(--path)}
table{border-collapse:collapse;width:100%;font-size:14px}th{text-align:left;color:var(--dim);font-weight:600}
th,td{padding:6px 12px 6px 0;border-bottom:1px solid var(--line);white-space:nowrap}tr.best td{color:var(--best)}
@media(max-width:640px){main{padding:16px 14px 40px}.plots svg text{font-size:15px}}
"""


def page(about: Mapping[str, Any], points: Sequence[Point], ranges: Mapping[str, Any]) -> str:
    """`about` is what `command.conclude` makes. Everything that comes from params.yaml is escaped."""
    pipeline, metric, sign = about["pipeline"], about["metric"], about["sign"]
    present = about["present"].get("value")
    body = [f"<h1>{escape(pipeline)}: search of {escape(about['model'])}</h1>", f"<p class=dim>{counts(about)}</p>"]
    body.append(f"<div class=box>{verdict(about)}</div>")
    body.append(
        f"<h2>The change</h2><pre>{escape(about['diff']) or 'none: the present setting is the best found'}</pre>"
    )
    body.append("<h2>Trials</h2><div class=plots>" + plots.history(points, present, sign, metric))
    body.append(importance(about["importance"]) + "</div>")
    body.append(
        "<p class=dim>Dashed: the present setting. Hollow: pruned, or without a score. "
        "Bars: importance, the share of the scores' variance that a parameter explains (fANOVA).</p>"
    )
    drawn = plots.parallel(ranges, points, present, sign, metric)
    body.append(f"<h2>All parameters together</h2><div class=wide>{drawn}</div>")
    each = "".join(plots.slices(name, of, points, present, sign) for name, of in ranges.items())
    body.append(f"<h2>Each parameter</h2><div class=plots>{each}</div>")
    body.append(f"<h2>Every trial</h2><div class=wide>{table(points, list(ranges), metric, about['best'])}</div>")
    return (
        '<!doctype html>\n<html lang=en><head><meta charset=utf-8><meta name=viewport content="width=device-width,'
        f'initial-scale=1"><title>{escape(pipeline)}: search</title><style>{STYLE}</style></head><body><main>'
        f"{''.join(body)}</main></body></html>\n"
    )


def counts(about: Mapping[str, Any]) -> str:
    return (
        f"{about['finished']} of {about['trials']} trials, {about['pruned']} of them pruned or without a score; "
        f"{about['rows']:,} validation rows; the test split was not read"
    )


def verdict(about: Mapping[str, Any]) -> str:
    metric = escape(about["metric"])
    lines = [f"<p>present setting: {metric} {interval(about['present'])}</p>"]
    lines.append(f"<p>best of the search (trial {about['best']}): {metric} {interval(about['winner'])}</p>")
    lines.append(f"<p>difference, paired on the same rows: {interval(about['difference'])}</p>")
    shade = "good" if about["shown"] else "warn"
    return "".join([*lines, f"<p class={shade}><b>{escape(about['words'])}</b></p>"])


def interval(score: Mapping[str, Any]) -> str:
    if "low" not in score:
        return escape(str(score.get("value", score.get("absent"))))
    return f"{score['value']:.4g} [{score['low']:.4g}, {score['high']:.4g}]"


def importance(found: Mapping[str, float] | str) -> str:
    if isinstance(found, str):
        return f"<p class=dim>Importance is not measured: {escape(found)}.</p>"
    return plots.importance(found)


def table(points: Sequence[Point], names: Sequence[str], metric: str, best: int | None) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in ("trial", metric, *names))
    rows = []
    for point in points:
        score = "pruned" if point.score is None else f"{point.score:.5g}"
        cells = [str(point.number), score, *(str(point.values[name]) for name in names)]
        shade = " class=best" if point.number == best else ""
        rows.append(f"<tr{shade}>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>")
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
