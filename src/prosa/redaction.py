"""What may be shown of a text that can hold a secret."""

import re
from typing import Final

HIDDEN: Final = "***"
_URL_PASSWORD: Final = re.compile(r"(://[^/@\s:]*:)[^/\s]*@")
_PARAMETER: Final = re.compile(r"(?i)([?&](?:\w*password|\w*token|\w*key)=)[^&\s]*")
_BEARER: Final = re.compile(r"(?i)(bearer[ .])[\w~+/=-]+")


def hidden(text: str) -> str:
    """The text without passwords in addresses, secret parameters and bearer tokens."""
    return _BEARER.sub(rf"\1{HIDDEN}", _PARAMETER.sub(rf"\1{HIDDEN}", _URL_PASSWORD.sub(rf"\1{HIDDEN}@", text)))
