"""Mails as bytes in, literal records out: the usual ones, the broken ones, and any bytes at all."""

import base64
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving import mail
from serving.mail import read_mail

FACTS = ("links", "images", "html", "attachments", "recipients", "length")


def read(raw: bytes) -> tuple[str, str]:
    record = read_mail(raw)
    return str(record["subject"]), str(record["body"])


def record(subject: str, body: str, **facts: float) -> dict[str, str | float]:
    return {
        "subject": subject,
        "body": body,
        "links": 0.0,
        "images": 0.0,
        "html": 0.0,
        "attachments": 0.0,
        "recipients": 0.0,
        "length": float(len(body)),
        **facts,
    }


def test_plain_ascii() -> None:
    raw = b"""From: Ada <ada@example.com>
To: bob@example.com, "Lovelace, Ada" <ada@example.com>
Cc: eve@example.com (Eve, of course)
Subject: Lunch  on
 Tuesday?
X-Spam-Status: Yes, hits=99
Received: from nowhere

Hi Bob,\x20\x20

see http://example.com/menu and https://example.com/map.
Ada
"""
    assert read_mail(raw) == {
        "subject": "Lunch on Tuesday?",
        "body": "Hi Bob,\n\nsee http://example.com/menu and https://example.com/map.\nAda",
        "links": 2.0,
        "images": 0.0,
        "html": 0.0,
        "attachments": 0.0,
        "recipients": 3.0,
        "length": 69.0,
    }


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (b"=?ISO-8859-1?Q?Caf=E9_au_lait?=", "Café au lait"),
        (b"=?GB2312?B?xOO6w8rAvec=?=", "你好世界"),
        (b"=?gb2312?B?xOO6wx==?= =?gb2312?B?ysC95w==?= !", "你好世界 !"),
        (b"=?utf-8?B?5L2g5Q==?=\n =?UTF-8?B?pb0=?=", "你好"),  # one character cut between two words
        (b"=?utf-8?q?a?= =?iso-8859-1*en?q?=E9?= b =?utf-8?q?c?=", "aé b c"),
        (b"=?utf-8?Q?two words?= here", "two words here"),
        (b"=?no-such-charset?Q?Caf=C3=A9?=", "Café"),
        (b"=?utf-8?X?abc?= =?utf-8?Q?never closed", "=?utf-8?X?abc?= =?utf-8?Q?never closed"),
        (b"=?iso-2022-jp?B?GyRCRnxLXBsoQg==?=", "日本"),
        (b"Caf\xe9", "Café"),
        (b"Caf\xc3\xa9", "Café"),
        (b"a\x00b\x1b[0m\tc", "ab[0m c"),
    ],
)
def test_a_subject_is_decoded_to_one_line(written: bytes, shown: str) -> None:
    assert read(b"Subject: " + written + b"\n\nx\n") == (shown, "x")


def test_a_bare_8_bit_subject_is_read_by_the_charset_of_the_mail() -> None:
    raw = b"Subject: \xb1\xa4\xb0\xed\nContent-Type: text/plain; charset=ks_c_5601-1987\n\n\xb1\xa4\xb0\xed\n"
    assert read(raw) == ("광고", "광고")


def test_quoted_printable() -> None:
    raw = b"""Subject: qp
Content-Type: text/plain; charset="iso-8859-1"
Content-Transfer-Encoding: Quoted-Printable

Ein l=E4ngerer Satz, der =
weitergeht =3D gut, 5 =80 =ZZ"""
    assert read_mail(raw) == record("qp", "Ein längerer Satz, der weitergeht = gut, 5 € =ZZ")


def test_base64_with_html_only() -> None:
    page = b"""<html><head><title>not shown</title><style>p {color: red}</style></head><body>
<h1>Big&nbsp;sale</h1><p>Only   5&euro; &lt;now&gt;<br>Don&#39;t wait</p><script>alert("x < y")</script>
<!-- hidden --><a href="http://example.com/?a=1&amp;b=2">http://example.com</a> <A HREF='mailto:a@example.com'>write</a>
or https://example.org <a href="#top">up</a><img src=x.gif alt="A cat"><img src=y.gif></body></html>"""
    raw = b"Subject: html\nContent-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: base64\n\n"
    assert read_mail(raw + base64.encodebytes(page)) == record(
        "html",
        "Big sale\nOnly 5€ <now>\nDon't wait\nhttp://example.com write or https://example.org upA cat",
        links=3.0,
        images=2.0,
        html=1.0,
    )


def test_a_footer_below_base64_stays() -> None:
    raw = b"Subject: s\nContent-Transfer-Encoding: base64\n\nSGVsbG8h\nCg==\n____\nlist footer here\n"
    assert read(raw) == ("s", "Hello!\n____\nlist footer here")


def test_base64_that_is_cut_or_none_at_all() -> None:
    head = b"Subject: s\nContent-Transfer-Encoding: base64\n\n"
    assert read(head + b"SGVsbG8gd29ybG") == ("s", "Hello worl")
    assert read(head + b"SGVsb") == ("s", "Hel")
    assert read(head + b"Not at all, sorry.") == ("s", "Not at all, sorry.")


def test_of_alternatives_the_last_with_text_is_shown() -> None:
    raw = b"""Subject: alt
MIME-Version: 1.0
Content-Type: multipart/alternative; boundary="=_b"

This is a multi-part message in MIME format.
--=_b
Content-Type: text/plain

hidden words, http://example.com/1
--=_b
Content-Type: text/html

<p>seen words</p><a href="http://example.com/2">go</a>
--=_b
Content-Type: text/calendar

BEGIN:VCALENDAR
--=_b--
epilogue, not shown
"""
    assert read_mail(raw) == record("alt", "seen words\ngo", links=1.0, html=1.0)
    without_html = raw.replace(b"<p>seen words</p>", b"").replace(b">go<", b"><")
    assert read_mail(without_html) == record("alt", "hidden words, http://example.com/1", links=1.0, html=1.0)


def test_attachments_and_images_are_counted_and_not_shown() -> None:
    raw = b"""Subject: files
Content-Type: multipart/mixed; boundary=b1

--b1
Content-Type: multipart/related; boundary=b2

--b2
Content-Type: text/html

<img src="cid:1" alt=logo>text
--b2
Content-Type: image/png
Content-ID: <1>

\x89PNG
--b2--
--b1
Content-Type: application/pdf; name="a; b.pdf"
Content-Transfer-Encoding: base64

JVBERi0xLjQ=
--b1
Content-Type: text/plain
Content-Disposition: attachment; filename=notes.txt

not shown
--b1
Content-Type: text/x-patch; name=fix.patch
Content-Disposition: inline

+shown
--b1--
"""
    assert read_mail(raw) == record("files", "logotext\n\n+shown", images=2.0, html=1.0, attachments=3.0)


def test_a_mail_within_the_mail_is_shown_with_its_subject() -> None:
    raw = b"""Subject: Fwd
To: a@example.com
Content-Type: multipart/mixed; boundary=outer

--outer

see below
--outer
Content-Type: message/rfc822

Received: from nowhere
To: x@example.com, y@example.com
Subject: =?utf-8?q?inn=C3=A9r?=
Content-Type: text/plain; charset=latin1

fa\xe7ade
--outer--
"""
    assert read_mail(raw) == record("Fwd", "see below\n\ninnér\n\nfaçade", recipients=1.0)


@pytest.mark.parametrize(
    ("charset", "data", "shown"),
    [
        (b"", b"na\xefve \x93quoted\x94", "naïve “quoted”"),
        (b"", "naïve".encode(), "naïve"),
        (b"x-made-up", b"na\xefve", "naïve"),
        (b"us-ascii", b"na\xefve", "naïve"),
        (b"utf-8", b"na\xefve", "naïve"),  # declared wrongly
        (b"utf-8", "日本語".encode()[:-1], "日本\ufffd"),  # declared rightly, but cut
        (b"iso-8859-1", b"5 \x80", "5 €"),
        (b"gb2312", "你好，镕".encode("gbk"), "你好，镕"),  # the last one is in GBK alone
        (b"DEFAULT_CHARSET", "你好".encode(), "你好"),
        (b"CHINESEBIG5", "你好".encode("big5"), "你好"),
        (b"euc-kr", "광고".encode("euc-kr"), "광고"),
        (b"Shift_JIS", "日本①".encode("cp932"), "日本①"),
        (b"zlib", b"plain", "plain"),
        (b"punycode", b"plain", "plain"),
        (b"unicode_escape", b"\\q", "\\q"),
        (b"\xff\x00", b"plain", "plain"),
    ],
)
def test_charsets_missing_wrong_and_unknown(charset: bytes, data: bytes, shown: str) -> None:
    assert read(b"Subject: s\nContent-Type: text/plain; charset=" + charset + b"\n\n" + data) == ("s", shown)


def test_html_may_declare_its_own_charset() -> None:
    page = '<META http-equiv="Content-Type" content="text/html; charset=big5">你好'.encode("big5")
    assert read(b"Subject: s\nContent-Type: text/html\n\n" + page) == ("s", "你好")
    assert read(b"Subject: s\nContent-Type: text/html\n\n<meta charset=utf-16>caf\xe9") == ("s", "café")


@pytest.mark.parametrize(
    ("page", "shown"),
    [
        ("a < b > c", "a < b > c"),
        ("<b>bo</b>ld <td>cell<td>cell", "bold cell cell"),
        ('<a title="x > y">z</a>', "z"),
        ("one<!-- > two -->three<!doctype x>four<?xml?>five", "onethreefourfive"),
        ("one<!-- never closed", "one"),
        ("one<script>never closed", "one"),
        ('one<a href="never closed', "one"),
        ("<pre>two\n  lines</pre><p>one\n  line", "two\nlines\none line"),
        ("&amp;lt; &nosuch; &#0; &#xD800; &#x41", "&lt; &nosuch; \ufffd \ufffd A"),
        ("a<br><br><br><br>b", "a\n\nb"),
    ],
)
def test_html_as_text(page: str, shown: str) -> None:
    assert read(b"Subject: s\nContent-Type: text/html\n\n" + page.encode()) == ("s", shown)


def test_html_that_claims_to_be_plain_text() -> None:
    assert read_mail(b"Subject: s\n\n<HTML><b>bold</b></HTML>") == record("s", "bold", html=1.0)
    assert read_mail(b"Subject: s\n\nabout <HTML>") == record("s", "about <HTML>")


MULTIPART = b"Subject: cut\nContent-Type: multipart/mixed; boundary=b\n\n"


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (MULTIPART + b"--b\n\none\n--b\nContent-Type: text/html\n\n<p>two", "one\n\ntwo"),  # no closing line
        (MULTIPART + b"--b\nContent-Type: text/pl", ""),
        (MULTIPART + b"--b", ""),
        (MULTIPART + b"no part at all", "no part at all"),
        (MULTIPART.replace(b"; boundary=b", b"") + b"--q\nContent-Type: text/html\n\n<p>one\n--q--", "one"),
        (MULTIPART.replace(b"=b", b'*0="q";\n boundary*1=r') + b"--qr\n\none\n--qr--", "one"),
        (MULTIPART + b"--b\none line, no header\n--b--\n", "one line, no header"),
        (MULTIPART + b"--bb\n\nnot ours\n--b\n\nours\n--b--\n", "ours"),
    ],
)
def test_a_broken_multipart_is_read_as_well_as_can_be(raw: bytes, shown: str) -> None:
    assert read(raw) == ("cut", shown)


def test_malformed_header_lines_are_skipped() -> None:
    raw = b"""Subject : first
no colon here
Subject: second
: no name
To: a@example.com
To: "b, the second" <b@example.com>; undisclosed-recipients:;
Content-Type: text
Content-Transfer-Encoding: rot13

body
"""
    assert read_mail(raw) == record("first", "body", recipients=2.0)


def test_a_mail_without_a_blank_line_has_the_rest_as_body() -> None:
    assert read(b"Subject: s\nTo: a@example.com\nthe body\nhttp://example.com\n") == (
        "s",
        "the body\nhttp://example.com",
    )
    assert read(b"Subject: only\n") == ("only", "")
    assert read(b"only a body\n\nof two lines") == ("", "only a body\n\nof two lines")


def test_the_mbox_line_is_no_part_of_the_mail() -> None:
    raw = b"From ada@example.com  Thu Aug 22 12:36:23 2002\nSubject: s\n\nFrom here on: text\n"
    assert read_mail(raw) == record("s", "From here on: text")
    assert read_mail(b"\n\n>" + raw) == record("s", "From here on: text")


def test_line_ends_of_all_kinds() -> None:
    assert read(b"Subject: s\r\n\r\na\r\nb\rc\n\x0bd") == ("s", "a\nb\nc\n\nd")


def test_nul_bytes_and_other_invisible_characters_are_removed() -> None:
    assert read("Subject: a\x00b\n\n\x00x\x07y\u200b\u00adz\ufeff\ta\u00a0b\x00".encode()) == ("ab", "xyz\ta b")


def test_chinese_in_utf_8_and_nfc() -> None:
    raw = "Subject: 你好\nContent-Type: text/plain; charset=UTF-8\n\n免费，点击 http://example.cn。\nCafe\u0301\n".encode()
    assert read_mail(raw) == record("你好", "免费，点击 http://example.cn。\nCafé", links=1.0)


@pytest.mark.parametrize("raw", [b"", b"\n\n \r\n", b"\x00\x00", b"From nobody Thu Aug 22 2002\n\n"])
def test_an_empty_mail_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match="The mail is empty"):
        read_mail(raw)


def test_a_mail_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail, "MAX_BYTES", 20)
    assert read(b"Subject: s\n\n12345678") == ("s", "12345678")
    with pytest.raises(ValueError, match="The mail has 21 bytes, at most 20 are read"):
        read_mail(b"Subject: s\n\n123456789")


def test_nesting_is_read_to_its_limit_and_never_crashes() -> None:
    def nested(depth: int) -> bytes:
        return b"Content-Type: message/rfc822\n\n" * depth + b"Subject: core\n\ntext"

    assert read(nested(20)) == ("", "core\n\ntext")
    assert read(nested(21)) == ("", "core")
    assert read(nested(5000)) == ("", "")
    parts = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (i, i) for i in range(5000))
    assert read(parts) == ("", "")


@pytest.mark.parametrize(
    "unit", [b"<a ", b"<!--", b'<a x="', b"<![", b"<script>", b" \n", "\u0315\u0300".encode(), b"&#", b"<img a "]
)
def test_hostile_html_takes_time_in_proportion(unit: bytes) -> None:
    head = b"Subject: s\nContent-Type: text/html\n\n"
    started = time.process_time()
    read_mail(head + unit * (400_000 // len(unit)))  # html.parser: about an hour for b"<a "
    assert time.process_time() - started < 5.0


def check(raw: bytes) -> None:
    try:
        first = read_mail(raw)
    except ValueError as error:
        if not str(error).startswith("The mail is empty"):
            raise
        return
    assert list(first) == ["subject", "body", *FACTS]
    for name in ("subject", "body"):
        text = first[name]
        assert isinstance(text, str)
        assert text.encode().decode() == text == unicodedata.normalize("NFC", text)
        assert all(unicodedata.category(character) != "Cc" or character in "\n\t" for character in text)
    assert "\n" not in str(first["subject"])
    assert all(isinstance(first[name], float) and float(first[name]) >= 0.0 for name in FACTS)
    assert first["length"] == len(str(first["body"]))
    assert read_mail(raw) == first


@given(st.binary(max_size=300))
def test_any_bytes_give_a_record_or_are_refused_as_empty(raw: bytes) -> None:
    check(raw)


PIECES = (
    b"Subject: ", b"To: ", b"Content-Type: ", b"text/html", b"text/plain; charset=", b"multipart/alternative",
    b"; boundary=b", b"message/rfc822", b"Content-Transfer-Encoding: ", b"base64", b"quoted-printable", b"gb2312",
    b"iso-2022-jp", b"utf-7", b"utf-16", b"hz", b"\n", b"\n\n", b"\n--b\n", b"\n--b--\n", b"=?utf-8?B?", b"?=", b"=E4",
    b"QUJD", b"=", b"<a href=", b"<img alt='", b'"', b">", b"<!--", b"-->", b"&#55296;", b"\x1b$B", b"\xe4\xb8",
    b"\xff", b"http://x.y ", b"<pre>", b"</script>", b"<script", b"a@b, ", b"From ", b"+2AA-", b"~{", b"e\xcc\x81",
)  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=40).map(b"".join))
def test_pieces_of_mails_in_any_order_give_a_record_or_are_refused_as_empty(raw: bytes) -> None:
    check(raw)
