"""What may be shown of a text that can hold a secret."""

import re
from typing import Final

from pydantic import SecretStr

HIDDEN: Final = "***"
_URL_PASSWORD: Final = re.compile(r"(://[^/@\s:]*:)[^/\s]*@")
_PARAMETER: Final = re.compile(r"(?i)([?&](?:\w*password|\w*token|\w*key)=)[^&\s]*")
_DETAIL: Final = re.compile(r"(?s)\bDETAIL:.*?(?=\n\[SQL|\n\n|\Z)")
"""PostgreSQL's, in errors: the values of the row that it refuses."""
_BEARER: Final = re.compile(r"(?i)(bearer[ .])[\w~+/=-]+")


def hidden(text: str) -> str:
    """The text without passwords in addresses, secret parameters, bearer tokens and the values of refused rows."""
    # Most texts are ids and names: each expression is asked only where what it cannot do without is there.
    if "DETAIL:" in text:
        text = _DETAIL.sub(f"DETAIL: {HIDDEN}", text)
    if "://" in text:
        text = _URL_PASSWORD.sub(rf"\1{HIDDEN}@", text)
    if "=" in text:
        text = _PARAMETER.sub(rf"\1{HIDDEN}", text)
    if "bearer" in text.lower():
        text = _BEARER.sub(rf"\1{HIDDEN}", text)
    return text


def shown(value: object) -> str:
    """A setting's value, for a person."""
    match value:
        case SecretStr():
            return HIDDEN
        case None:
            return "(none)"
        case bool():
            return str(value).lower()
        case tuple():
            return ", ".join(map(str, value)) or "(none)"
        case _:
            return hidden(str(value))
