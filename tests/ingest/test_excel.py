"""Workbooks made by hand, cell by cell: dates, merged cells, blank rows and wrong names."""

import io
import zipfile

import pytest

from stages.core.errors import DataError
from stages.ingest import excel

TYPES = (
    '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="xml" ContentType="application/xml"/></Types>'
)
MAIN = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
DOCUMENT = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
RELS = '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{}</Relationships>'
STYLES = (  # style 1 is a date, style 2 a date with time
    f'<styleSheet {MAIN}><numFmts count="1"><numFmt numFmtId="164" formatCode="yyyy\\-mm\\-dd hh:mm"/></numFmts>'
    '<cellXfs count="3"><xf numFmtId="0"/><xf numFmtId="14"/><xf numFmtId="164"/></cellXfs></styleSheet>'
)


def xlsx(sheets: dict[str, tuple[list[list[str]], list[str]]]) -> bytes:
    """{name: (rows of cells as XML without their place, merged ranges)} as a workbook."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as book:
        book.writestr("[Content_Types].xml", TYPES)
        book.writestr(
            "_rels/.rels",
            RELS.format(f'<Relationship Id="r" Type="{DOCUMENT}/officeDocument" Target="xl/workbook.xml"/>'),
        )
        listing = "".join(f'<sheet name="{name}" sheetId="{i}" r:id="r{i}"/>' for i, name in enumerate(sheets, 1))
        book.writestr("xl/workbook.xml", f'<workbook {MAIN} xmlns:r="{DOCUMENT}"><sheets>{listing}</sheets></workbook>')
        links = [f'<Relationship Id="r{i + 1}" Type="{DOCUMENT}/worksheet" Target="worksheets/s{i + 1}.xml"/>'
                 for i in range(len(sheets))]  # fmt: skip
        style = f'<Relationship Id="s" Type="{DOCUMENT}/styles" Target="styles.xml"/>'
        book.writestr("xl/_rels/workbook.xml.rels", RELS.format("".join(links) + style))
        book.writestr("xl/styles.xml", STYLES)
        for i, (rows, merged) in enumerate(sheets.values(), 1):
            book.writestr(f"xl/worksheets/s{i}.xml", sheet(rows, merged))
    return out.getvalue()


def sheet(rows: list[list[str]], merged: list[str]) -> str:
    body = "".join(
        f'<row r="{r}">' + "".join(f'<c r="{chr(65 + c)}{r}"{cell}' for c, cell in enumerate(cells) if cell) + "</row>"
        for r, cells in enumerate(rows, 1)
    )
    ranges = "".join(f'<mergeCell ref="{ref}"/>' for ref in merged)
    merge = f'<mergeCells count="{len(merged)}">{ranges}</mergeCells>' if merged else ""
    return f"<worksheet {MAIN}><sheetData>{body}</sheetData>{merge}</worksheet>"


def text(value: str) -> str:
    return f' t="inlineStr"><is><t xml:space="preserve">{value}</t></is></c>'


def number(value: str, style: int = 0) -> str:
    return f' s="{style}"><v>{value}</v></c>'


TABLE = [
    [text("id"), text("day"), text("amount"), text("ok")],
    [text("007"), number("43861", 1), number("3"), ' t="b"><v>1</v></c>'],
    [],
    ["", number("43861.5", 2), number("1.25"), ' t="b"><v>0</v></c>'],
]


@pytest.fixture
def rows(reader):
    return reader(excel)


def test_cells_become_text_dates_iso_and_blank_rows_are_passed_over(rows):
    records, malformed = rows({"a.xlsx": xlsx({"one": (TABLE, [])})})
    assert records == [
        {"id": "007", "day": "2020-01-31", "amount": "3", "ok": "true", "_file": "a.xlsx", "_record": 1},
        {"id": None, "day": "2020-01-31T12:00:00", "amount": "1.25", "ok": "false", "_file": "a.xlsx", "_record": 3},
    ]
    assert malformed == []


def test_merged_cells_hold_their_value_everywhere(rows):
    table = [[text("shop"), text("n")], [text("north"), number("1")], ["", number("2")], [text("south"), number("3")]]
    records, _ = rows({"a.xlsx": xlsx({"one": (table, ["A2:A3"])})})
    assert [(row["shop"], row["n"]) for row in records] == [("north", "1"), ("north", "2"), ("south", "3")]


def test_a_sheet_and_a_header_row_are_chosen(rows):
    book = xlsx({"first": ([[text("x")]], []), "Data 2020": ([[text("A report")], [], *TABLE], [])})
    records, _ = rows({"a.xlsx": book}, sheet="Data 2020", header_row=3, columns=("amount",))
    assert [(row["amount"], row["_record"]) for row in records] == [("3", 1), ("1.25", 3)]


def test_a_wrong_sheet_or_header_is_named(rows):
    book = xlsx({"Data": (TABLE, [])})
    with pytest.raises(
        DataError, match=r"a\.xlsx has no sheet 'Date'\. Did you mean 'Data'\? It has: Data\. Set ingest\.sheet"
    ):
        rows({"a.xlsx": book}, sheet="Date")
    with pytest.raises(DataError, match=r"a\.xlsx: row 3 is empty\. Set ingest\.header_row"):
        rows({"a.xlsx": book}, header_row=3)
    with pytest.raises(DataError, match=r"a\.xlsx: row 1 names id twice"):
        rows({"a.xlsx": xlsx({"one": ([[text("id"), text("id")]], [])})})


@pytest.mark.parametrize(
    "content", [b"id,n\n1,2\n", b"", xlsx({"one": (TABLE, [])})[:-300]], ids=["csv", "empty", "cut"]
)
def test_what_is_no_workbook_is_a_data_error(rows, content):
    with pytest.raises(DataError, match=r"a\.xlsx cannot be read as a workbook: .*fetch it again"):
        rows({"a.xlsx": content})


def test_an_absent_column_is_named_beside_those_that_are_there(run):
    with pytest.raises(DataError, match=r"no column 'amont'.*Did you mean 'amount'\? Found: id, day, amount, ok"):
        run({"a.xlsx": xlsx({"one": (TABLE, [])})}, {"format": "excel"}, {"amont": {"type": "number"}})


def test_open_document_sheets_are_read(rows):
    out = io.BytesIO()
    office, table = (
        "urn:oasis:names:tc:opendocument:xmlns:office:1.0",
        "urn:oasis:names:tc:opendocument:xmlns:table:1.0",
    )
    words = "urn:oasis:names:tc:opendocument:xmlns:text:1.0"
    cell = '<table:table-cell office:value-type="string"><text:p>{}</text:p></table:table-cell>'
    rows_xml = "".join(f"<table:table-row>{cell.format(word)}</table:table-row>" for word in ("word", "é"))
    content = (
        f'<office:document-content xmlns:office="{office}" xmlns:table="{table}" xmlns:text="{words}"><office:body>'
        f'<office:spreadsheet><table:table table:name="one">{rows_xml}</table:table></office:spreadsheet>'
        "</office:body></office:document-content>"
    )
    with zipfile.ZipFile(out, "w") as book:
        book.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        book.writestr("content.xml", content)
        book.writestr("META-INF/manifest.xml", "<manifest/>")
    assert rows({"a.ods": out.getvalue()})[0] == [{"word": "é", "_file": "a.ods", "_record": 1}]
