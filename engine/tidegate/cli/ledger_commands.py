"""The commands of `tidegate ledger`, their options and their help; `ledger.py` does the work."""

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

ledger = typer.Typer(
    help="""Make, check and read the ledger: what happened, provable to strangers.

    Exit code 0: it is so. 1: a fault was found, or a proof does not hold. 2: wrong usage, or something cannot be read.
    """,
    no_args_is_help=True,
)

Config = Annotated[
    Path | None,
    typer.Option("--config", help="Settings that say where the data directory is.", metavar="FILE", show_default=False),
]
Folder = Annotated[
    Path | None,
    typer.Option("--ledger", help="The ledger's folder; without it `ledger` in the data directory.", metavar="FOLDER"),
]
Json = Annotated[bool, typer.Option("--json", help="For machines.")]
Keys = Annotated[
    list[Path] | None,
    typer.Option("--key", help="A file or folder of public keys; may be repeated.", metavar="PATH", show_default=False),
]


@ledger.command("init")
def init_command(
    origin: Annotated[
        str,
        typer.Option(help="The log's name for ever, like a URL without its scheme: `example.org/ledger`."),
    ],
    ledger: Folder = None,
    checkpoints: Annotated[
        str, typer.Option(help="Where the newest checkpoint is kept; best on another disk.", metavar="FOLDER")
    ] = "checkpoints",
    config: Config = None,
) -> None:
    """Make a ledger: keys, an empty log and its first checkpoint."""
    from tidegate.cli.ledger import init

    for line in init(ledger, origin, checkpoints, config, os.environ):
        typer.echo(line)


@ledger.command("verify")
def verify_command(
    log: Annotated[
        Path | None, typer.Argument(help="A ledger, or a copy of its `log` folder.", show_default=False)
    ] = None,
    key: Keys = None,
    checkpoints: Annotated[
        Path | None,
        typer.Option(help="The folder with the newest checkpoint, if you have it.", metavar="FOLDER"),
    ] = None,
    receipt: Annotated[
        list[Path] | None,
        typer.Option(help="A receipt that the log must agree with; may be repeated.", metavar="FILE"),
    ] = None,
    json: Json = False,
    config: Config = None,
) -> None:
    """Prove the log from its files and public keys alone; name the place of every fault, and end with code 1."""
    from tidegate.cli.ledger import verify

    checked = verify(log, key or [], checkpoints, receipt or [], config, os.environ)
    typer.echo(checked.text(json))
    raise typer.Exit(checked.code)


@ledger.command("fsck")
def fsck_command(ledger: Folder = None, json: Json = False, config: Config = None) -> None:
    """Verify, and look at journals, index and keys beside the log; end with code 1 where something is wrong."""
    from tidegate.cli.ledger import check, find

    checked = check(find(ledger, config, os.environ))
    typer.echo(checked.text(json))
    raise typer.Exit(checked.code)


@ledger.command("prove")
def prove_command(
    run: Annotated[str, typer.Argument(help="The run's id, as the client was told: 26 hexadecimal digits.")],
    kind: Annotated[
        Literal["", "intent", "outcome", "aborted"], typer.Option(help="Of which record; without it the last.")
    ] = "",
    ledger: Folder = None,
    config: Config = None,
) -> None:
    """Print a receipt: proof that a run's record is in the log, for whoever has the public key."""
    from tidegate.cli.ledger import find, prove

    typer.echo(prove(find(ledger, config, os.environ), run, kind), nl=False)


@ledger.command("check-receipt")
def check_receipt_command(
    file: Annotated[Path, typer.Argument(help="The receipt.")],
    key: Keys = None,
    json: Json = False,
    ledger: Folder = None,
    config: Config = None,
) -> None:
    """Tell what a receipt proves; end with code 1 where it proves nothing. Without --key, by the ledger's own keys."""
    from tidegate.cli.ledger import check_proof, find, public_keys

    verifiers = public_keys(key) if key else find(ledger, config, os.environ).known()
    text, code = check_proof(file, verifiers, json)
    typer.echo(text)
    raise typer.Exit(code)


@ledger.command("tail")
def tail_command(
    count: Annotated[int, typer.Option("-n", "--count", min=0, help="How many.")] = 20,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on with what comes.")] = False,
    json: Json = False,
    ledger: Folder = None,
    config: Config = None,
) -> None:
    """Print the last entries, one a line."""
    from tidegate.cli.ledger import find, tail

    for line in tail(find(ledger, config, os.environ), count, follow, json):
        typer.echo(line)


@ledger.command("stats")
def stats_command(ledger: Folder = None, json: Json = False, config: Config = None) -> None:
    """Print how large the ledger is and how far its parts are."""
    from tidegate.cli.ledger import find, stats

    typer.echo(stats(find(ledger, config, os.environ), json))


@ledger.command("erase")
def erase_command(
    tenant: Annotated[str, typer.Option(help="Whose user or key it is, or the tenant itself.")],
    user: Annotated[str, typer.Option(help="A user of the tenant.", show_default=False)] = "",
    key: Annotated[str, typer.Option(help="A key of the tenant.", show_default=False)] = "",
    ledger: Folder = None,
    config: Config = None,
) -> None:
    """Destroy a subject's key: what the ledger says of it is nobody's from then on, and every proof stays valid."""
    from tidegate.cli.ledger import erase, find

    if user and key:
        raise typer.BadParameter("either --user or --key")
    kind: Literal["user", "key", "tenant"] = "user" if user else "key" if key else "tenant"
    typer.echo(erase(find(ledger, config, os.environ), tenant, kind, user or key))


@ledger.command("keys")
def keys_command(
    add: Annotated[bool, typer.Option("--add", help="Make new ones, which sign beside those there are.")] = False,
    retire: Annotated[str, typer.Option(help="Delete the private half of this one.", metavar="ID")] = "",
    ledger: Folder = None,
    config: Config = None,
) -> None:
    """Print the log's public keys, for whoever is to verify it; add or retire some."""
    from tidegate.cli.ledger import find, rotate

    for line in rotate(find(ledger, config, os.environ), add, retire):
        typer.echo(line)
