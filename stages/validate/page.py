"""A report in, one HTML page out that needs no network: light and dark, wide and narrow."""

from collections.abc import Mapping
from html import escape
from typing import Any

STYLE = """
:root{color-scheme:light dark;--bg:#fff;--soft:#f5f6f8;--line:#dfe3e8;--text:#1b2430;--dim:#5a6675;
--good:#157347;--bad:#b3261e;--warn:#8a5a00;--bad-bg:#fdeceb;--warn-bg:#fff5dc;--good-bg:#e8f5ee}
@media(prefers-color-scheme:dark){:root{--bg:#12161c;--soft:#1a2029;--line:#2d3643;--text:#e6eaf0;--dim:#9aa6b5;
--good:#5fd39a;--bad:#ff8a80;--warn:#f2c14e;--bad-bg:#35191a;--warn-bg:#33290f;--good-bg:#132a20}}
*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--text);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1100px;margin:0 auto;padding:24px 20px 60px}h1{font-size:24px;margin:0 0 4px}
h2{font-size:17px;margin:32px 0 8px}.dim{color:var(--dim)}.verdict{padding:14px 16px;border-radius:10px;margin:16px 0}
.verdict b{font-size:18px}.good{color:var(--good)}.bad{color:var(--bad)}.warn{color:var(--warn)}
.verdict.good{background:var(--good-bg)}.verdict.bad{background:var(--bad-bg)}.verdict.warn{background:var(--warn-bg)}
.verdict ul{margin:8px 0 0;padding-left:20px;color:var(--text)}li{overflow-wrap:anywhere}
table{border-collapse:collapse;width:100%;font-size:14px}th{text-align:left;color:var(--dim);font-weight:600}
th,td{padding:7px 10px 7px 0;border-bottom:1px solid var(--line);vertical-align:top}
td{overflow-wrap:anywhere}.mark{white-space:nowrap;font-weight:600}.way{color:var(--dim);white-space:nowrap}
code{font:13px/1.45 ui-monospace,SFMono-Regular,Menlo,monospace}summary{cursor:pointer;color:var(--dim)}
.kwargs{color:var(--dim)}
@media(max-width:640px){main{padding:16px 14px 40px}thead{display:none}tr{display:block;padding:9px 0;
border-bottom:1px solid var(--line)}td{display:block;border:0;padding:1px 0}.way::before{content:"computed by "}}
"""
WAYS = {"chunks": "chunks", "arrow": "Arrow", "duckdb": "DuckDB", "whole": "the whole table"}
ORIGINS = {
    "contract": "From the contract",
    "user": "Your own",
    "drift": "Drift",
    "freshness": "Freshness",
    "clean": "Rejects",
}
LISTS = ("partial_unexpected_list", "partial_missing_list")


def page(pipeline: str, report: Mapping[str, Any]) -> str:
    """The whole page. Everything that comes from data is escaped."""
    groups = dict.fromkeys([*ORIGINS, *(result["from"] for result in report["results"])])
    sections = "".join(
        section(ORIGINS.get(origin, origin), [item for item in report["results"] if item["from"] == origin])
        for origin in groups
    )
    notes = "".join(f"<p class=dim>{escape(note)}</p>" for note in report.get("notes", []))
    saved = report.get("failing_rows_saved", 0)
    rows = f"{report.get('rows', 0):,} rows, {len(report['results']):,} expectations"
    rows += f"; {saved:,} failing rows in <code>failing.parquet</code>" if saved else ""
    return (
        '<!doctype html>\n<html lang=en><head><meta charset=utf-8><meta name=viewport content="width=device-width,'
        f'initial-scale=1"><title>{escape(pipeline)}: validation</title><style>{STYLE}</style></head><body><main>'
        f"<h1>{escape(pipeline)}: validation</h1><p class=dim>{rows}</p>{verdict(report)}{notes}{sections}"
        "</main></body></html>\n"
    )


def verdict(report: Mapping[str, Any]) -> str:
    warnings = report.get("warnings", [])
    shade, word = ("good", "Passed") if report["passed"] else ("bad", "Not passed")
    blocks = [box(shade, word, report["reasons"])]
    if warnings:
        blocks.append(box("warn", f"{len(warnings)} warning{'s' * (len(warnings) > 1)}", warnings))
    return "".join(blocks)


def box(shade: str, word: str, lines: list[str]) -> str:
    listed = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<div class="verdict {shade}"><b class={shade}>{word}</b>{f"<ul>{listed}</ul>" if listed else ""}</div>'


def section(title: str, results: list[Mapping[str, Any]]) -> str:
    """A table of results: those that failed first."""
    if not results:
        return ""
    ordered = sorted(results, key=lambda item: (item["success"], item.get("severity") == "warn"))
    rows = "".join(row(item) for item in ordered)
    head = "<thead><tr><th></th><th>expected</th><th>found</th><th>computed by</th></tr></thead>"
    return f"<h2>{escape(title)}</h2><table>{head}<tbody>{rows}</tbody></table>"


def row(result: Mapping[str, Any]) -> str:
    warn = result.get("severity") == "warn"
    shade, mark = ("good", "✓ met") if result["success"] else ("warn", "! warned") if warn else ("bad", "✗ failed")
    kwargs = {key: value for key, value in result["kwargs"].items() if key != "column"}
    about = f"<b>{escape(str(result['kwargs']['column']))}</b> " if "column" in result["kwargs"] else ""
    name = escape(result["type"].removeprefix("expect_").replace("_", " "))
    asked = ", ".join(f"{key} {short(value)}" for key, value in kwargs.items())
    return (
        f'<tr><td class="mark {shade}">{mark}</td><td>{about}{name} <span class=kwargs>{escape(asked)}</span></td>'
        f"<td>{found(result)}</td><td class=way>{escape(WAYS.get(result.get('computed', ''), ''))}</td></tr>"
    )


def found(result: Mapping[str, Any]) -> str:
    """What was found; of unexpected values some, folded away where the expectation is met."""
    if result.get("error"):
        return f"<span class=bad>{escape(short(result['error'], 400))}</span>"
    seen = result["observed"]
    said = ", ".join(f"{key.replace('_', ' ')} {short(value)}" for key, value in seen.items() if key not in LISTS)
    text = escape(said or "as expected")
    for key in LISTS:
        if seen.get(key):
            values = ", ".join(short(value, 40) for value in seen[key][:10])
            shown = f"<code>{escape(values)}</code>"
            text += f"<details><summary>some</summary>{shown}</details>" if result["success"] else f"<br>{shown}"
    return text


def short(value: Any, limit: int = 120) -> str:
    said = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else f"{value}"
    said = f"{value:.6g}" if isinstance(value, float) else said
    return said if len(said) <= limit else said[: limit - 1] + "…"
