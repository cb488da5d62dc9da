"""Guesses whether a text is Portuguese: a pure count of telling words and letters, no model."""

import re
from collections.abc import Iterable
from typing import Final

_WORD: Final = re.compile(r"[a-zà-öø-ÿ']+")
_FOREIGN: Final = re.compile(r"[ñ¿¡]")
_LETTERS: Final = re.compile(r"[ãõçáéíóúâêôà]")

_PORTUGUESE_WORDS: Final = """
    à às ao aos agora ainda ajuda ajude algo algum alguma amigo ano anos aquele aquilo aqui assim até bem boa bom
    brasil cada casa coisa com como conte crie dá da das de dê dela dele depois desde dia dicas do dos diga e é ela
    ele eles em entre era escreva escreve essa esse esta está estão este eu explica explique faça faço favor faz
    fazer foi frase fui gosto história hoje isso isto já lá lhe liste mais mas me meu meus minha muito muita na nas
    não nem nessa nesse nesta neste ninguém no nos nós nossa nosso num numa o obrigada obrigado oi olá onde os ou
    outra outro para pela pelo piada pode poema poderia por porque posso pra qual quais quando quanto quantos que
    quem quero receita resuma são se sei sem ser será seu sim sobre somos sou sua suas também te tem tenho ter teu
    traduza tu tudo um uma umas uns usar vai vamos você vocês voce nao eh esta olha tchau noite tarde
"""
_ENGLISH_WORDS: Final = """
    a about an and any are as at be because but by can can't could did do does don't explain for from get give had
    has have he hello help her hey hi his how i i'm if in into is it it's its joke just know let like list make me
    my name no not of on one or our please poem she should so some story tell than thank thanks that the their them
    then there these they thing this to translate use was we were what what's when where which who why will with
    word would write yes you your
"""
_ONLY_PORTUGUESE: Final = frozenset(_PORTUGUESE_WORDS.split()) - frozenset(_ENGLISH_WORDS.split())
_ONLY_ENGLISH: Final = frozenset(_ENGLISH_WORDS.split()) - frozenset(_PORTUGUESE_WORDS.split())


def is_portuguese(text: str) -> bool | None:
    """True: Portuguese; False: something else; None: it does not tell (a name, a number, nothing)."""
    lower = text[:2000].casefold()
    if _FOREIGN.search(lower):
        return False
    words = _WORD.findall(lower)
    score = sum((word in _ONLY_PORTUGUESE) - (word in _ONLY_ENGLISH) for word in words)
    score += min(len(_LETTERS.findall(lower)), 1 + len(words) // 3)
    return None if score == 0 else score > 0


def speaks_portuguese(newest_first: Iterable[str]) -> bool:
    """The language of a conversation: its newest text that tells."""
    return next((guess for text in newest_first if (guess := is_portuguese(text)) is not None), False)
