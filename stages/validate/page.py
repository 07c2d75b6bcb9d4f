"""A report in, one HTML page out that needs no network: light and dark, wide and narrow."""

from collections.abc import Iterable, Mapping
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
.verdict>b{font-size:18px}.good{color:var(--good)}.bad{color:var(--bad)}.warn{color:var(--warn)}
.verdict.good{background:var(--good-bg)}.verdict.bad{background:var(--bad-bg)}.verdict.warn{background:var(--warn-bg)}
.verdict li{margin:6px 0}.verdict ul{margin:8px 0 0;padding-left:20px;color:var(--text)}li{overflow-wrap:anywhere}
table{border-collapse:collapse;width:100%;font-size:14px;table-layout:fixed}col.m{width:86px}col.w{width:110px}
th{text-align:left;color:var(--dim);font-weight:600}
th,td{padding:7px 10px 7px 0;border-bottom:1px solid var(--line);vertical-align:top}
td{overflow-wrap:anywhere}.mark{white-space:nowrap;font-weight:600}.way{color:var(--dim);white-space:nowrap}
code{font:13px/1.45 ui-monospace,SFMono-Regular,Menlo,monospace}summary{cursor:pointer;color:var(--dim)}
.kwargs{color:var(--dim)}
@media(max-width:640px){main{padding:16px 14px 40px}thead{display:none}tr{display:block;padding:9px 0;
border-bottom:1px solid var(--line)}td{display:block;border:0;padding:1px 0}.way::before{content:"computed: "}}
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
    """What failed, and what is warned of, before everything else."""
    failed = [result for result in report["results"] if not result["success"]]
    refusing = [result for result in failed if result.get("severity") != "warn"]
    warned = [result for result in failed if result.get("severity") == "warn"]
    shade, word = ("good", "Passed") if report["passed"] else ("bad", "Not passed")
    lines = [line(result) for result in refusing] or [escape(reason) for reason in report["reasons"]]
    blocks = box(shade, word, lines)
    return blocks + (
        box("warn", f"{len(warned)} warning{'s' * (len(warned) > 1)}", map(line, warned)) if warned else ""
    )


def line(result: Mapping[str, Any]) -> str:
    return f"{expected(result)}<br>{found(result)}"


def box(shade: str, word: str, lines: Iterable[str]) -> str:
    listed = "".join(f"<li>{line}</li>" for line in lines)
    return f'<div class="verdict {shade}"><b class={shade}>{word}</b>{f"<ul>{listed}</ul>" if listed else ""}</div>'


def section(title: str, results: list[Mapping[str, Any]]) -> str:
    """A table of results: those that failed first."""
    if not results:
        return ""
    ordered = sorted(results, key=lambda item: (item["success"], item.get("severity") == "warn"))
    rows = "".join(row(item) for item in ordered)
    head = "<colgroup><col class=m><col><col><col class=w></colgroup>"
    head += "<thead><tr><th></th><th>expected</th><th>found</th><th>computed</th></tr></thead>"
    return f"<h2>{escape(title)}</h2><table>{head}<tbody>{rows}</tbody></table>"


def row(result: Mapping[str, Any]) -> str:
    warn = result.get("severity") == "warn"
    shade, mark = ("good", "✓ met") if result["success"] else ("warn", "! warned") if warn else ("bad", "✗ failed")
    way = escape(WAYS.get(result.get("computed", ""), ""))
    return (
        f'<tr><td class="mark {shade}">{mark}</td><td>{expected(result)}</td><td>{found(result)}</td>'
        f"<td class=way>{way}</td></tr>"
    )


def expected(result: Mapping[str, Any]) -> str:
    """The column in bold, then the expectation in words, then its arguments."""
    asked = ", ".join(f"{key} {short(value)}" for key, value in result["kwargs"].items() if key != "column")
    about = f"<b>{escape(str(result['kwargs']['column']))}</b> " if "column" in result["kwargs"] else ""
    name = result["type"].removeprefix("expect_").replace("_", " ")
    name = name.removeprefix("column ") if about else name
    return f"{about}{escape(name)} <span class=kwargs>{escape(asked)}</span>"


def found(result: Mapping[str, Any]) -> str:
    """What was found; of unexpected values some, folded away where the expectation is met."""
    if result.get("error"):
        return f"<span class=dim>{escape(short(result['error'], 400))}</span>"
    seen = result["observed"]
    if "unexpected_count" in seen and "element_count" in seen:
        said = f"{seen['unexpected_count']:,} of {seen['element_count']:,} rows unexpected"
        said += f" ({short(seen['unexpected_percent'])}%)" if seen.get("unexpected_percent") else ""
        said += f", {seen['missing_count']:,} without a value" if seen.get("missing_count") else ""
        saved = seen.get("failing_rows_saved", 0)
        said += f"; {saved:,} kept" if saved else ""
    else:
        said = ", ".join(f"{key.replace('_', ' ')} {short(value)}" for key, value in seen.items() if key not in LISTS)
    text = f"<span class=dim>{escape(said or 'as expected')}</span>"
    for key in LISTS:
        if seen.get(key) and any(value is not None for value in seen[key]):
            values = ", ".join(dict.fromkeys(short(quoted(value), 40) for value in seen[key]))
            shown = f"<code>{escape(values)}</code>"
            text += f"<details><summary>such as</summary>{shown}</details>" if result["success"] else f"<br>{shown}"
    return text


def quoted(value: Any) -> Any:
    return f"“{value}”" if isinstance(value, str) else value


def short(value: Any, limit: int = 120) -> str:
    said = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else f"{value}"
    said = f"{value:.6g}" if isinstance(value, float) else said
    return said if len(said) <= limit else said[: limit - 1] + "…"
