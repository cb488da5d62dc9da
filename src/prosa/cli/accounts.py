"""``prosa user`` and ``prosa token``: the accounts."""

import asyncio
import sys
from enum import StrEnum
from typing import Annotated

import typer

from prosa import bootstrap
from prosa.cli.options import DataDir, Username, configured, existing
from prosa.core.account import ADMIN, MEMBER, Account
from prosa.core.policy import checked_name
from prosa.settings import Settings

user = typer.Typer(no_args_is_help=True, help="Accounts: add, list, change password or role, disable, enable.")

PasswordOnInput = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]


class Role(StrEnum):
    """What the command line takes for a role."""

    ADMIN = ADMIN
    MEMBER = MEMBER


def token(
    username: Username,
    days: Annotated[
        float | None, typer.Option(min=0.01, max=3650, help="How long it is valid (PROSA_SESSION_DAYS).")
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Print a new bearer token with which a program signs in as USER."""
    found = existing(data_dir)
    typer.echo(asyncio.run(_issue(found, username, days or found.session_days)))


@user.command("add")
def user_add(
    username: Username,
    admin: Annotated[
        bool, typer.Option("--admin", help="As an administrator; the first account is one anyway.")
    ] = False,
    password_stdin: PasswordOnInput = False,
    data_dir: DataDir = None,
) -> None:
    """Add an account."""
    checked_name(username)
    found = configured(data_dir)
    added = asyncio.run(_add(found, username, _new_password(password_stdin), "admin" if admin else None))
    typer.echo(f"Added {added}.")


@user.command("list")
def user_list(data_dir: DataDir = None) -> None:
    """List all accounts."""
    lines = asyncio.run(_list(existing(data_dir)))
    typer.echo("\n".join(lines) or "There are no accounts yet. `prosa user add NAME` adds one; so does the page.")


@user.command("passwd")
def user_passwd(username: Username, password_stdin: PasswordOnInput = False, data_dir: DataDir = None) -> None:
    """Set a new password; all sign-ins of the account end."""
    found = existing(data_dir)
    asyncio.run(_set_password(found, username, _new_password(password_stdin)))
    typer.echo(f"{username} has a new password; every sign-in has ended.")


@user.command("disable")
def user_disable(username: Username, data_dir: DataDir = None) -> None:
    """Keep an account and its chats, but let nobody in."""
    asyncio.run(_set_disabled(existing(data_dir), username, True))
    typer.echo(f"{username} is disabled; every sign-in has ended.")


@user.command("enable")
def user_enable(username: Username, data_dir: DataDir = None) -> None:
    """Let a disabled account in again."""
    asyncio.run(_set_disabled(existing(data_dir), username, False))
    typer.echo(f"{username} may sign in again.")


@user.command("role")
def user_role(
    username: Username,
    role: Annotated[Role, typer.Argument(help="What the account may do from now on.")],
    data_dir: DataDir = None,
) -> None:
    """Make an account an administrator, or a member again."""
    asyncio.run(_set_role(existing(data_dir), username, role))
    typer.echo(f"{username} is {'an administrator' if role is Role.ADMIN else 'a member'} now.")


async def _add(found: Settings, username: str, password: str, role: str | None) -> str:
    async with bootstrap.accounts(found) as accounts:
        added = await accounts.add(username, password, role)
    return f"{added.username} ({added.role})"


async def _list(found: Settings) -> list[str]:
    async with bootstrap.accounts(found) as accounts:
        rows = await accounts.all()
    return [_account(row) for row in rows]


async def _set_password(found: Settings, username: str, password: str) -> None:
    async with bootstrap.accounts(found) as accounts:
        await accounts.set_password(username, password)


async def _set_disabled(found: Settings, username: str, disabled: bool) -> None:
    async with bootstrap.accounts(found) as accounts:
        await accounts.set_disabled(username, disabled)


async def _set_role(found: Settings, username: str, role: Role) -> None:
    async with bootstrap.accounts(found) as accounts:
        await accounts.set_role(username, role.value)


async def _issue(found: Settings, username: str, days: float) -> str:
    async with bootstrap.accounts(found) as accounts:
        return await accounts.issue_token(username, days)


def _account(account: Account) -> str:
    state = "disabled" if account.user.disabled else "enabled"
    return f"{account.user.username:24}  {account.user.role:6}  {state:8}  {account.created_at:%Y-%m-%d}"


def _new_password(on_input: bool) -> str:
    if on_input:
        return sys.stdin.readline().rstrip("\r\n")
    answer: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    return answer
