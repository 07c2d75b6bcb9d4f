"""A mail's bytes in, its record out.

The only reader of mails, in training and in the bundle: the same bytes give the same record on
every Python from 3.11 on. The record is what a reader sees: the subject, the body and six facts
about them. No other header goes in, so no trace of transport or of another filter can be learned.

The parsers are our own: `email` ends in RecursionError at 2,000 nested parts, and `html.parser`
needs 10 s for 24 kB of "<a " (Python 3.11.7), raises on "<![" and changes from patch to patch.
The patterns below consume what they scan, so time grows with the mail's size and not its square.
"""

import binascii
import codecs
import html
import itertools
import re
import unicodedata
from typing import NamedTuple

MAX_BYTES = 25 * 2**20
MAX_DEPTH = 20  # multiparts and mails within mails; what lies deeper is not shown
MAX_PARTS = 1000  # of one multipart; all further ones are left out
MAX_PARAMETERS = 4096  # bytes read of a content header, and of HTML to find its charset

ENVELOPE = re.compile(rb"\A\s*+(?:>?From [^\n]*+\n\s*+)*+")  # an mbox line is no part of a mail
FIELD = re.compile(rb"^([a-z][\w-]*+)[ \t]*+:(?!//)([^\n]*+(?:\n[ \t][^\n]*+)*+)", re.I | re.M)
PARAMETER = re.compile(r"""[;\s]([a-z-]++)(\*\d*+\*?)?\s*+=\s*+("[^"]*+|[^;\s]*+)""", re.I)
ADDRESS_NOISE = re.compile(rb'"[^"]*+"|\([^()]*+\)')
BASE64_LINES = re.compile(rb"(?:[a-z0-9+/]*+={0,2}[ \t]*+(?:\n|\Z))*+", re.I)
ENCODED_WORD = re.compile(r"=\?([^?\s*]{1,60})(?:\*[^?\s]*+)?\?([bq])\?([^?]*+)\?=", re.I)
ENCODED_RUN = re.compile(rf"{ENCODED_WORD.pattern}(?:\s*+{ENCODED_WORD.pattern})*+", re.I)

# Charsets of mails by Python's names: never idna, punycode (quadratic), unicode_escape (warns) or zlib.
TEXT_CODEC = re.compile(r"ascii|utf|iso|cp\d|koi8|gb|big5|euc|shift|hz|johab|mac|tis|kz|ptcp")
# A wider codec that agrees wherever the named one is defined (WHATWG Encoding Standard, section 4.2).
WIDER = {"iso8859-1": "cp1252", "iso8859-9": "cp1254", "tis-620": "cp874", "gb2312": "gb18030", "gbk": "gb18030",
         "big5": "big5hkscs", "euc_kr": "cp949", "shift_jis": "cp932"}  # fmt: skip
META_CHARSET = re.compile(rb"<meta[^>]{1,200}?charset\s*=\s*[\"']?(?!utf)([\w-]{1,40})", re.I)

HTML_START = re.compile(rb"\s*+<(?:!doctype html|html|head|body)\b", re.I)
TAG = re.compile(
    r"""<!--(?:-?>|.*?(?:--!?>|\Z))            # a comment
    |<(/?)([a-z][^\s/>]*+)                     # a tag: its end mark, name and attributes
      ((?:[^>"'=]++|=\s*+(?:"[^"]*+(?:"|\Z)|'[^']*+(?:'|\Z))?+|["'])*+)(?:>|\Z)
    |<[!?/][^>]*+>?                            # a declaration: shown no more than a comment""",
    re.I | re.S | re.X,
)
ATTRIBUTE = re.compile(r"""([^\s=/"'>]++)(?:\s*+=\s*+("[^"]*+|'[^']*+|[^\s>]*+))?+""")
BLOCK = frozenset(
    "address article aside blockquote body caption center dd dir div dl dt fieldset figure footer form "
    "h1 h2 h3 h4 h5 h6 header hr li main menu nav ol option p pre section select table tr ul".split()
)
SPACES = re.compile(r"[ \t\r\n\f]+")
URL = re.compile(r"""\b(?:https?://|mailto:)[^\s<>"']++""", re.I)

NOT_SHOWN = ("calendar", "css", "directory", "javascript", "rfc822-headers", "vcard", "x-vcard", "xml")
NEW_LINE = re.compile("\r\n?|[\x0b\x0c\u2028\u2029]")
INVISIBLE = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\xad\u200b\u2060\ufeff]")
NOT_ASCII = re.compile("[\x00-\x7f]?[^\x00-\x7f]{1,1000}")  # NFC is quadratic in a run of accents: bound it


class Shown(NamedTuple):
    """What a part shows (its text, links and img tags), and what it holds."""

    text: str = ""
    links: int = 0
    images: int = 0
    html: bool = False
    attachments: int = 0


def read_mail(raw: bytes) -> dict[str, str | float]:
    """Read one mail (RFC 5322, MIME RFC 2045 to 2049) as well as it can be read.

    `subject` is one line. `body` is the text that a mail program shows: of a multipart/alternative the
    last part with text (RFC 2046, 5.1.4), so that a plain twin that nobody sees cannot sway a decision;
    HTML as text, without link targets; a mail within the mail as its subject and its body.
    `links` counts http, https and mailto targets and the bare URLs outside them, `images` img tags and
    image parts, `attachments` parts with a file name or that disposition, `recipients` the addresses
    in To and Cc, `length` the characters of the body; `html` is 1.0 if any part is HTML.

    Raises ValueError for an empty mail and for one above MAX_BYTES, and nothing else.
    """
    if len(raw) > MAX_BYTES:
        raise ValueError(f"The mail has {len(raw)} bytes, at most {MAX_BYTES} are read; leave it out.")
    head, body = split_head(ENVELOPE.sub(b"", raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n")))
    shown = render(head, body)
    text = "\n".join(line.rstrip() for line in clean(shown.text).split("\n")).strip("\n")
    if not head and not text:
        raise ValueError("The mail is empty: it has neither a header nor a text; leave it out.")
    return {
        "subject": subject_of(head),
        "body": text,
        "links": float(shown.links),
        "images": float(shown.images),
        "html": float(shown.html),
        "attachments": float(shown.attachments),
        "recipients": float(count_addresses(head.get("recipients", b""))),
        "length": float(len(text)),
    }


def split_head(raw: bytes) -> tuple[dict[str, bytes], bytes]:
    """The fields by lower-case name (the first of equal ones; To and Cc joined as "recipients"), and the body."""
    if not FIELD.match(raw):
        return {}, raw
    block, blank, body = raw.partition(b"\n\n")
    fields: dict[str, bytes] = {}
    recipients: list[bytes] = []
    end = 0
    for field in FIELD.finditer(block):  # a line that is no field is skipped: a broken header has many
        name, end = field[1].decode("latin-1").lower(), field.end()
        fields.setdefault(name, field[2])
        if name in ("to", "cc"):
            recipients.append(field[2])
    fields["recipients"] = b",".join(recipients)
    return fields, body if blank else block[end:]


def subject_of(head: dict[str, bytes]) -> str:
    """The subject as one line; encoded words (RFC 2047) decoded, bare 8-bit ones by the mail's charset."""
    value = head.get("subject", b"")
    bare = value.isascii() and b"\x1b" not in value
    text = decode_text(value, "" if bare else parse_content(head)[2].get("charset", ""))
    return " ".join(clean(ENCODED_RUN.sub(decode_run, text)).split())


def decode_run(run: re.Match[str]) -> str:
    """Encoded words beside each other; a character may be cut between two of one charset."""
    texts = []
    for charset, words in itertools.groupby(ENCODED_WORD.findall(run[0]), key=lambda word: word[0].lower()):
        data = []
        for _, encoding, value in words:
            plain = value.encode("ascii", "replace")
            data.append(decode_base64(plain) if encoding in "bB" else binascii.a2b_qp(plain, header=True))
        texts.append(decode_text(b"".join(data), charset))
    return "".join(texts)


def parse_content(head: dict[str, bytes]) -> tuple[str, str, dict[str, str]]:
    """Main type, subtype and the parameters of Content-Type and Content-Disposition."""
    value = head.get("content-type", b"")[:MAX_PARAMETERS].decode("latin-1")
    kind = re.match(r"\s*([\w-]+)/([\w.+-]+)", value)
    main, sub = (kind[1].lower(), kind[2].lower()) if kind else ("text", "plain")
    value += ";" + head.get("content-disposition", b"")[:MAX_PARAMETERS].decode("latin-1")
    parameters: dict[str, str] = {}
    for name, section, text in PARAMETER.findall(value):
        known = parameters.setdefault(name.lower(), "")
        if section or not known:  # boundary*0=..., boundary*1=...: RFC 2231
            parameters[name.lower()] = known + text.strip('" ')
    return main, sub, parameters


def render(head: dict[str, bytes], body: bytes, depth: int = 0) -> Shown:
    """What a mail program shows of a part and of all parts within it."""
    main, sub, parameters = parse_content(head)
    attached = head.get("content-disposition", b"").strip().lower().startswith(b"attachment")
    holds = Shown(
        images=int(main == "image"),
        html=(main, sub) == ("text", "html"),
        attachments=int(attached or "filename" in parameters or "name" in parameters),
    )
    if depth > MAX_DEPTH:
        return holds
    if main == "multipart":
        return render_parts(sub, split_parts(body, parameters.get("boundary", "")), depth)
    data = decode_transfer(body, head.get("content-transfer-encoding", b"").strip().lower())
    if (main, sub) == ("message", "rfc822"):
        head, body = split_head(ENVELOPE.sub(b"", data))
        inner = render(head, body, depth + 1)
        text = f"{subject_of(head)}\n\n{inner.text}"
        return inner._replace(text=text, attachments=inner.attachments + holds.attachments)
    if main != "text" or sub in NOT_SHOWN or (attached and depth):
        return holds
    charset = parameters.get("charset", "")
    if holds.html or HTML_START.match(data):
        if not codec_of(charset) and (meta := META_CHARSET.search(data[:MAX_PARAMETERS])):
            charset = meta[1].decode()
        return render_html(decode_text(data, charset))._replace(attachments=holds.attachments)
    text = decode_text(data, charset)
    return holds._replace(text=text, links=len(URL.findall(text)))


def split_parts(body: bytes, boundary: str) -> list[bytes]:
    """The parts of a multipart; without its closing line, or its boundary parameter, as well as can be."""
    mark = re.escape(boundary.encode("latin-1"))
    if not boundary or not re.search(rb"^--" + mark + rb"[ \t]*$", body, re.M):
        guess = re.search(rb"^--([^\n]{1,70})\ncontent-", body, re.I | re.M)
        if not guess:
            return [b"\n" + body]  # a text without a header
        mark = re.escape(guess[1].rstrip())
    body = re.split(rb"^--" + mark + rb"--[ \t]*$", body, maxsplit=1, flags=re.M)[0]
    return re.split(rb"^--" + mark + rb"[ \t]*$\n?", body, maxsplit=MAX_PARTS + 1, flags=re.M)[1 : MAX_PARTS + 1]


def render_parts(sub: str, parts: list[bytes], depth: int) -> Shown:
    """All parts, one below the other; of alternatives the last one with text."""
    shown = []
    for part in parts:
        head, body = split_head(part)
        if sub == "digest":
            head.setdefault("content-type", b"message/rfc822")
        shown.append(render(head, body, depth + 1))
    with_text = [part for part in shown if part.text.strip()]
    seen = with_text[-1:] or shown[-1:] if sub == "alternative" else shown
    return Shown(
        text="\n\n".join(part.text.strip("\r\n") for part in seen if part.text.strip()),
        links=sum(part.links for part in seen),
        images=sum(part.images for part in seen),
        html=any(part.html for part in shown),
        attachments=sum(part.attachments for part in shown),
    )


def render_html(source: str) -> Shown:
    """The text that HTML shows, with the alternative text of its images."""
    pieces: list[str] = []
    links = images = position = 0
    in_link = in_pre = False
    while position < len(source):
        tag = TAG.search(source, position)
        if text := html.unescape(source[position : tag.start() if tag else None]):
            pieces.append(text if in_pre else SPACES.sub(" ", text))
            links += 0 if in_link or ":" not in text else len(URL.findall(text))
        if not tag:
            break
        position, end, name = tag.end(), tag[1], (tag[2] or "").lower()
        if name in BLOCK:
            pieces.append("\x01")
            in_pre = not end if name == "pre" else in_pre
        elif name == "br":
            pieces.append("\n")
        elif name in ("td", "th"):
            pieces.append(" ")
        elif name in ("script", "style", "title") and not end:
            closed = re.compile(f"</{name}", re.I).search(source, position)
            position = closed.start() if closed else len(source)
        elif name in ("a", "area", "img"):
            values = {key.lower(): html.unescape(value.strip("\"'")) for key, value in ATTRIBUTE.findall(tag[3])}
            images += name == "img" and not end
            pieces.append(values.get("alt", "") if name == "img" else "")
            is_link = bool(not end and URL.match(values.get("href", "").strip()))
            links += is_link
            in_link = is_link if name == "a" else in_link
    text = re.sub("[ \x01]*\x01[ \x01]*", "\n", re.sub(" +", " ", "".join(pieces)))
    return Shown(re.sub("\n{3,}", "\n\n", re.sub(" ?\n ?", "\n", text)), links, images, html=True)


def decode_transfer(data: bytes, encoding: bytes) -> bytes:
    """Undo base64 or quoted-printable. A list's footer below base64 stays as it is."""
    if encoding == b"quoted-printable":
        return binascii.a2b_qp(data)
    if encoding == b"base64" and (lines := BASE64_LINES.match(data)):
        return decode_base64(lines[0]) + data[lines.end() :]
    return data


def decode_base64(data: bytes) -> bytes:
    """Each run between paddings on its own; what is no base64 is skipped, a cut last group rounded down."""
    decoded = []
    for run in data.split(b"=", MAX_PARTS):
        run = re.sub(rb"[^A-Za-z0-9+/]+", b"", run)
        run = run[:-1] if len(run) % 4 == 1 else run
        decoded.append(binascii.a2b_base64(run + b"=" * (-len(run) % 4)))
    return b"".join(decoded)


def codec_of(charset: str) -> str:
    """Python's name for the codec of a charset, or "" for an unknown one."""
    name = re.sub(r"[^a-z0-9_.-]|^x-", "", charset.lower())[:40]
    name = next((known for known in ("big5", "gb2312") if known in name), name)
    try:
        codec = codecs.lookup(name).name
    except LookupError:
        return ""
    return WIDER.get(codec, codec) if TEXT_CODEC.match(codec) else ""


def decode_text(data: bytes, charset: str) -> str:
    """By the declared charset, else as UTF-8, else as the one of them that fits mostly, else as Windows-1252."""
    declared = codec_of(charset)
    for codec in (declared or "utf-8", "utf-8"):
        try:
            return data.decode(codec)
        except UnicodeError:
            continue
    guess = data.decode(declared or "utf-8", "replace")
    wide = len(guess) - len(guess.encode("ascii", "ignore"))
    return guess if 2 * guess.count("\ufffd") < wide else data.decode("cp1252", "replace")


def count_addresses(value: bytes) -> int:
    return sum(b"@" in address for address in re.split(rb"[,;]", ADDRESS_NOISE.sub(b"", value)))


def clean(text: str) -> str:
    """Without invisible characters, with plain spaces and line ends, in Unicode NFC, encodable as UTF-8."""
    text = INVISIBLE.sub("", NEW_LINE.sub("\n", text)).replace("\xa0", " ")
    text = re.sub("[\ud800-\udfff]", "\ufffd", text)
    return NOT_ASCII.sub(lambda run: unicodedata.normalize("NFC", run[0]), text)
