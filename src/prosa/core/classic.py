"""What the classic socket says: one JSON object a frame, the bot's whole replies and the system's sentences.

Whoever reads it reads Portuguese. The system's sentences are found by the stable code of an error.
"""

from enum import StrEnum
from typing import Final
from uuid import UUID

import msgspec

from prosa.core.run import End, RunState


class Opened(msgspec.Struct, frozen=True):
    """A chat that may be opened by its id: whose it is, and the ordinal up to which its replies were told."""

    user: UUID
    told: int


class Sender(StrEnum):
    SYSTEM = "SYSTEM"
    BOT = "BOT"


class Saying(msgspec.Struct, frozen=True):
    """One frame to the reader. The bot says only whole replies, never an error."""

    sender: Sender
    content: str


RECEIVED: Final = Saying(Sender.SYSTEM, "Mensagem recebida e em processamento...")
STOPPED: Final = Saying(Sender.SYSTEM, "A resposta foi interrompida antes do fim. O que foi dito está na conversa.")

SENTENCES: Final = {
    # Why a message was not taken.
    "bad_frame": "Só mensagens de texto são aceitas. Envie a mensagem como texto.",
    "bad_text": "A mensagem está vazia ou tem caracteres inválidos. Corrija o texto e envie de novo.",
    "text_too_long": "A mensagem é longa demais. Envie um texto mais curto ou divida-o em partes.",
    "not_found": "Esta conversa não existe mais. Abra outra.",
    "too_many_waiting": "Há mensagens demais na fila. Espere algumas respostas e envie esta de novo.",
    "store_unavailable": "O banco de dados não respondeu e a mensagem pode não ter sido guardada. Envie-a de novo.",
    "storage_full": "O disco do servidor está cheio e a mensagem não foi guardada. Avise o administrador.",
    "overloaded": "O servidor está sobrecarregado. Espere um pouco e envie a mensagem de novo.",
    # Why a reply did not become whole.
    "model_unreachable": "Não foi possível falar com o modelo. Envie a mensagem de novo mais tarde.",
    "model_timeout": "O modelo demorou demais para responder. Envie a mensagem de novo.",
    "model_overloaded": "O modelo está ocupado. Espere um pouco e envie a mensagem de novo.",
    "model_refused": "O modelo recusou a mensagem. Mude o texto ou avise o administrador.",
    "model_broke": "A resposta do modelo foi cortada no meio. Envie a mensagem de novo.",
    "prompt_too_long": "A conversa ficou longa demais para o modelo. Comece uma nova.",
    "model_missing": "O modelo não está disponível. Avise o administrador.",
    "no_worker": "Ninguém pôde responder a tempo. Envie a mensagem de novo mais tarde.",
    "timeout": "A resposta passou do tempo permitido. Envie a mensagem de novo ou peça menos.",
    "worker_lost": "A resposta falhou várias vezes. Envie a mensagem de novo ou mude o texto.",
    "internal": "Houve um erro interno no servidor. Envie a mensagem de novo.",
}
_OTHER: Final = "Houve um erro ({code}). Envie a mensagem de novo ou avise o administrador."

_encoder: Final = msgspec.json.Encoder()


def answer(text: str, end: End) -> Saying:
    """What is said of a reply that is over."""
    if end.failure is not None:
        return sorry(end.failure.code)
    return Saying(Sender.BOT, text) if end.state is RunState.DONE else STOPPED


def sorry(code: str) -> Saying:
    """The sentence for the code of a refusal or failure."""
    return Saying(Sender.SYSTEM, SENTENCES.get(code) or _OTHER.format(code=code))


def encode(saying: Saying) -> str:
    """One frame's JSON text."""
    return _encoder.encode(saying).decode()
