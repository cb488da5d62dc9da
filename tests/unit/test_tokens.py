"""Ids, claims and secrets."""

from prosa.adapters.tokens import SystemTokens


def test_ids_sort_by_the_time_they_were_made() -> None:
    tokens = SystemTokens()
    made = [tokens.uuid() for _ in range(1000)]
    assert made == sorted(made)
    assert len(set(made)) == 1000
    assert made[0].version == 7


def test_a_claim_fits_a_signed_column_of_64_bits() -> None:
    claims = [SystemTokens().claim() for _ in range(1000)]
    assert all(0 <= claim < 2**63 for claim in claims)
    assert len(set(claims)) == 1000
    assert max(claims) > 2**56


def test_a_secret_cannot_be_guessed_and_only_its_digest_is_stored() -> None:
    tokens = SystemTokens()
    secret = tokens.secret()
    assert len(secret) >= 43
    assert tokens.secret() != secret
    assert tokens.digest(secret) == tokens.digest(secret) != tokens.digest(secret + "x")
    assert len(tokens.digest(secret)) == 64


def test_a_token_that_is_no_unicode_has_a_digest_like_any_wrong_one() -> None:
    assert len(SystemTokens().digest("\udcff")) == 64
