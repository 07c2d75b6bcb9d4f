"""A column's name in, what its words suggest out: an id, a count, a share, personal data, a target."""

import re

ENTITIES = (
    "customer user client order patient product item session account device passenger employee driver store member "
    "invoice transaction shop subject person case event record row student booking stock household player card"
).split()
ID_WORDS = set(
    "id ids uuid guid ref sku isbn ean identifier key hash token index idx rowid 编号 序号 编码 单号 号码".split()
)
WEAK_ID_WORDS = set("no nr num number code nummer numero ticket".split())
JOINED_ID = re.compile(rf"({'|'.join(ENTITIES)})(id|no|nr|key|number|code)")
GROUP_WORDS = set(ENTITIES) - {"record", "row", "event", "transaction", "item"} | {"客户", "用户", "kunde", "kunden"}
COUNT_WORDS = set(
    "count qty quantity age seats visits orders items units number num n pieces clicks views days months years hours "
    "minutes seconds duration rooms children anzahl alter menge nombre edad 数量 年龄 次数 天数".split()
)
SHARE_WORDS = set("share rate ratio prob probability fraction anteil 比例 率".split())
PERCENT_WORDS = set("pct percent percentage prozent % 百分比".split())
TIME_WORDS = set("time date ts timestamp epoch created updated at datetime seen 日期 时间".split())
PART_WORDS = set("year month day week quarter part split fold batch chunk partition 年 月".split())
PERSONAL = {
    "email": "email mail 邮箱 correo".split(),
    "phone": "phone telephone mobile tel fax telefon cell 手机 电话 手机号".split(),
    "name": "firstname lastname surname fullname forename nachname vorname nom prenom 姓名".split(),
    "address": "address street adresse strasse straße 地址".split(),
    "identity": "ssn passport iban nino 身份证 身份证号".split(),
    "date of birth": "dob birthdate birthday birth geburtsdatum 生日".split(),
    "network address": "ip ipaddress".split(),
}
NAME_OWNERS = set("first last full customer client patient person user passenger employee contact".split())
STRONG_TARGETS = set("target label class y outcome survived 标签 类别 情感 ziel zielvariable".split())
TARGETS = set(
    "churn churned exited left fraud isfraud spam sentiment diagnosis species result converted conversion clicked won "
    "cancelled canceled returned response defaulted default approved accepted purchased bought subscribed readmitted "
    "attrition quality rating stars failed failure risk winner category type status grade gekündigt 流失 结果".split()
)


def words_of(name: str) -> list[str]:
    """The words of `CustomerID`, `customer_id` and `customer id`, in lower case."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)
    return [word for word in re.split(r"[^0-9a-z%\u00df-\uffff]+", spaced.lower()) if word]


def has(name: str, words: set[str]) -> bool:
    return bool(words & set(words_of(name)))


def is_id(name: str) -> bool:
    """Whether a name says outright that it is an identifier."""
    words = words_of(name)
    named = bool(words) and (words[-1] in ID_WORDS or words[0] in ID_WORDS - {"index", "token", "key"})
    return named or JOINED_ID.fullmatch("".join(words)) is not None


def is_weak_id(name: str) -> bool:
    """Whether a name may be that of an identifier; `number of rooms` and `num_rooms` are counts."""
    words = words_of(name)
    return bool(words) and words[-1] in WEAK_ID_WORDS


def personal(name: str) -> str | None:
    """The kind of personal data that a name promises."""
    words = words_of(name)
    joined = "".join(words)
    for kind, known in PERSONAL.items():
        if any(word in words or word == joined for word in known):
            return kind
    if words and words[-1] == "name" and (len(words) == 1 or set(words[:-1]) & NAME_OWNERS):
        return "name"
    return None


def target_score(name: str) -> float:
    """How much a name sounds like what one wants to predict, 0 … 1."""
    words = words_of(name)
    if not words:
        return 0.0
    if set(words) & STRONG_TARGETS or "".join(words) in STRONG_TARGETS:
        return 1.0
    if set(words) & TARGETS or "".join(words) in TARGETS:
        return 0.7
    if words[0] in ("is", "has", "will", "was", "did"):
        return 0.5
    return 0.0
